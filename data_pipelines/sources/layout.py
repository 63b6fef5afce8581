"""What several dataset layouts need: a root that exists, small JSON files, a share held out for validation."""

import hashlib
import json
import pathlib
from typing import Any

from dfdetect_jax.errors import UserError

VAL_SHARE = 0.1  # of the training identities, where the authors give no validation split


def require_root(root: pathlib.Path | None, source: str, expected: str, *names: str) -> pathlib.Path:
  """Checks that `root` looks like the dataset.

  Args:
    root: what the user gave as --root.
    source: name of the source, for the message.
    expected: what the root should hold, for the message.
    names: files or folders of which at least one must be there.

  Raises:
    UserError: it does not.
  """
  if root is None:
    raise UserError(f"the source '{source}' needs --root=DIR, a folder with {expected}.")
  if not root.is_dir():
    raise UserError(f"--root={root} is not a folder; '{source}' expects one with {expected}.")
  if not any((root / name).exists() for name in names):
    inside = ", ".join(sorted(p.name for p in root.iterdir())[:8]) or "nothing"
    raise UserError(f"--root={root} is not laid out as '{source}': it holds {inside}; expected is {expected}.")
  return root


def read_json(path: pathlib.Path) -> Any:
  """Reads a JSON file.

  Raises:
    UserError: it is missing or broken.
  """
  try:
    return json.loads(path.read_text(encoding="utf-8-sig"))
  except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
    raise UserError(f"{path} cannot be read as JSON ({error}): download it again.") from error


def held_out(key: str, share: float = VAL_SHARE) -> bool:
  """Whether `key` (an identity, a source video) belongs to the validation share; the same answer everywhere."""
  return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") < share * 2**64
