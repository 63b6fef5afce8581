"""What several dataset layouts need: a root that exists, lists that can be read, a share held out for validation."""

import hashlib
import json
import pathlib
import re
from collections.abc import Iterable
from typing import Any

from dfdetect_jax.errors import UserError

VAL_SHARE = 0.1  # of the training identities, where the authors give no validation split


def require_root(root: pathlib.Path | None, source: str, expected: str, *names: str) -> pathlib.Path:
  """Checks that `root` looks like the dataset.

  Args:
    root: what the user gave as --root.
    source: name of the source, for the message.
    expected: what the root should hold, for the message.
    names: files or folders of which at least one must be there; none = any folder will do.

  Raises:
    UserError: it does not.
  """
  if root is None:
    raise UserError(f"the source '{source}' needs --root=DIR, a folder with {expected}.")
  if not root.is_dir():
    raise UserError(f"--root={root} is not a folder; '{source}' expects one with {expected}.")
  if names and not any((root / name).exists() for name in names):
    raise wrong_root(root, source, expected)
  return root


def wrong_root(root: pathlib.Path, source: str, expected: str) -> UserError:
  """The error that tells what a folder holds and what it should hold."""
  inside = ", ".join(sorted(p.name for p in root.iterdir())[:8]) or "nothing"
  return UserError(f"--root={root} is not laid out as '{source}': it holds {inside}; expected is {expected}.")


def read_text(path: pathlib.Path, why: str) -> str:
  """Reads a dataset's list, with or without byte order mark.

  Args:
    path: the list.
    why: what the list is needed for, for the message.

  Raises:
    UserError: it is missing or no text.
  """
  try:
    return path.read_text(encoding="utf-8-sig")
  except FileNotFoundError as error:
    raise UserError(f"{path} is missing: {why}.") from error
  except (OSError, UnicodeDecodeError) as error:
    raise UserError(f"{path} cannot be read as text ({error}): download it again.") from error


def read_json(path: pathlib.Path) -> Any:
  """Reads a JSON file.

  Raises:
    UserError: it is missing or broken, or an object in it names something twice.
  """

  def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):  # json would keep the last one, whatever the first said
      names = [name for name, _ in pairs]
      twice = next(name for name in names if names.count(name) > 1)
      raise UserError(f"{path} names '{twice}' twice: remove one of the two entries, or download the file again.")
    return content

  try:
    return json.loads(read_text(path, "it says which video is what"), object_pairs_hook=unique)
  except (ValueError, RecursionError) as error:
    raise UserError(f"{path} cannot be read as JSON ({error}): download it again.") from error


def read_entries(path: pathlib.Path, example: str) -> dict[str, dict]:
  """Reads a JSON file that maps the names of videos to what is known about them.

  Raises:
    UserError: it is missing, broken, something else, or a name leads out of the dataset.
  """
  content = read_json(path)
  if not isinstance(content, dict) or not all(isinstance(entry, dict) for entry in content.values()):
    raise UserError(f"{path} must map names of videos to objects, such as {example}.")
  for name in content:
    require_inside(name, path)
  return content


def require_inside(name: str, where: pathlib.Path) -> None:
  """Checks that the name of a video in a downloaded list stays below the dataset's folder.

  Raises:
    UserError: it is empty, absolute, or climbs with `..`.
  """
  pure = pathlib.PurePath(name)
  if not pure.parts or pure.is_absolute() or ".." in pure.parts or "\0" in name:
    raise UserError(f"{where}: '{name}' is not the name of a video below the dataset's folder.")


def printable(name: str) -> str:
  """A file's name as a line of text: bytes that are no UTF-8 and control characters are escaped, all else stays."""
  text = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
  return re.sub(r"[\x00-\x1f\x7f]", lambda match: match[0].encode("unicode_escape").decode(), text)


def held_out(key: str, share: float = VAL_SHARE) -> bool:
  """Whether `key` (an identity, a source video) belongs to the validation share; the same answer everywhere."""
  return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") < share * 2**64


def held_out_of(keys: Iterable[str], prefix: str) -> set[str]:
  """The keys of the validation share; where chance holds out none of them, the one whose turn comes first.

  Args:
    keys: what is held out as a whole (an original with its forgeries).
    prefix: put before each for `held_out`, so that two datasets draw apart.
  """
  keys = set(keys)
  held = {key for key in keys if held_out(f"{prefix}/{key}")}
  return held or ({min(keys, key=lambda key: hashlib.sha256(f"{prefix}/{key}".encode()).digest())} if keys else set())
