"""Lists of videos that come with a dataset or are written by hand, read whatever editor they went through.

Line ends, a byte order mark, blank lines and backslashes do not matter. A name that stands twice, or that leads out of
the dataset, is refused: somebody has put the list together wrongly.
"""

import pathlib
import re

from data_pipelines.sources.layout import read_text, require_inside
from dfdetect_jax.errors import UserError


def read_names(file: pathlib.Path, why: str) -> dict[str, int]:
  """Names of a text file with one on each line, with the numbers of their lines.

  Args:
    file: the list.
    why: what it is needed for, for the message.

  Raises:
    UserError: missing, no text, empty, a name twice, or a name that leads out of the dataset.
  """
  names: dict[str, int] = {}
  for number, line in lines_of(file, why):
    name = normal(line)
    require_inside(name, file)
    once(names, name, number, file)
  return names


def lines_of(file: pathlib.Path, why: str) -> list[tuple[int, str]]:
  """Numbers and contents of a list's lines, blank ones left out.

  Raises:
    UserError: missing, no text, or empty.
  """
  lines = [(n, line.strip()) for n, line in enumerate(read_text(file, why).splitlines(), 1) if line.strip()]
  if not lines:
    raise UserError(f"{file} is empty: {why}.")
  return lines


def normal(name: str) -> str:
  """A path with forward slashes, without what only says "here"."""
  return re.sub(r"^(\./)+", "", name.strip().replace("\\", "/"))


def once(names: dict[str, int], name: str, number: int, file: pathlib.Path) -> None:
  """Adds a name with its line.

  Raises:
    UserError: it is there already.
  """
  if name in names:
    raise UserError(
      f"{file}, line {number}: '{name}' stands in line {names[name]} already. Remove one of the two lines, or download "
      "the list again."
    )
  names[name] = number


class Wanted:
  """The videos of a user's list (--only): a name on each line, with or without folders and suffix.

  A name with folders wants the video whose path ends so, a bare one every video called so. Whatever stands before the
  dataset's own folders (`/data/DFDC/test/a.mp4`, `C:\\DFDC\\test\\a.mp4`) does not matter, nor what follows a comma or
  a space after the name (a label).
  """

  def __init__(self, file: pathlib.Path):
    """Reads the list; see `lines_of` for what is refused."""
    self.file = file
    self.names = dict.fromkeys(
      _stem(normal(re.split(r"[,;\t]|\s+[01]$", line)[0]))
      for _, line in lines_of(file, "--only says which videos are wanted")
    )
    self._bare: dict[str, list[str]] = {}
    for name in self.names:
      self._bare.setdefault(name.rpartition("/")[2], []).append(name)
    self.found: set[str] = set()

  def holds(self, path: str) -> bool:
    """Whether the video of that path is wanted."""
    path = _stem(normal(path))
    for name in self._bare.get(path.rpartition("/")[2], ()):
      if "/" not in name or f"/{path}".endswith(f"/{name}") or f"/{name}".endswith(f"/{path}"):
        self.found.add(name)
        return True
    return False


def _stem(name: str) -> str:
  """Without the suffix of a video or an archive."""
  return re.sub(r"\.(mp4|mov|avi|mkv|webm|tar\.gz|tgz|tar)$", "", name, flags=re.IGNORECASE)
