"""What lies below a dataset's root: looked at once, taken by name, and what nobody took told by reason.

A source takes the videos that its lists and folders name. Whatever else lies there (an extra folder, an archive that
was not unpacked, a part without metadata, `._a.mp4`) is no video of the dataset, but the user may think that it is:
`Tree.omitted` names it. Folders that are links are followed, once; extensions are compared without case.
"""

import os
import pathlib
from collections.abc import Iterable

VIDEO_SUFFIXES = frozenset(
  ".mp4 .mov .m4v .mkv .webm .avi .mpg .mpeg .m2ts .mts .ts .wmv .flv .3gp .ogv .gif .264 .h264 .265 .hevc".split()
)
PICTURE_SUFFIXES = frozenset(".png .jpg .jpeg .webp .bmp".split())
_ARCHIVES = frozenset(".zip .tar .gz .tgz .bz2 .xz .7z .rar".split())
_PARTIAL = frozenset(".part .partial .crdownload .download .tmp .aria2 .filepart .opdownload".split())
# What accompanies a dataset and is no video of it; not told of.
_DOCUMENTS = frozenset(
  ".txt .md .rst .pdf .json .jsonl .csv .tsv .xml .yaml .yml .html .log .py .sh .m .mat .npy .npz .pkl .ini".split()
)
_DOCUMENT_NAMES = frozenset({"readme", "license", "licence", "copying", "changelog", "citation", "version"})
UNNAMED = "left out: videos that no list names"


class Tree:
  """The files below a folder.

  Attributes:
    root: the folder.
    files: path below the root of every file that can be read, its suffix in lower case -> as it is on the disk.
    closed: folders that cannot be read, and links that lead nowhere or to what was read already, with the reason.
  """

  def __init__(self, root: pathlib.Path, pictures: bool = False):
    """Walks the whole folder, links last, so that a folder is known by its own name rather than by a link's.

    Args:
      root: the folder.
      pictures: whether pictures are wanted; elsewhere a folder of extracted frames is one omission, not thousands.
    """
    self.root = root
    self._pictures = pictures
    self.files: dict[str, str] = {}
    self.closed: dict[str, str] = {}
    self._same: dict[str, str] = {}  # a link to what was read already -> the name it was read by
    self._taken: set[str] = set()
    self._excused: dict[str, str] = {}
    self._by_folder: dict[str, list[str]] = {}
    seen: dict[tuple[int, int], str] = {}
    folders: list[str] = [""]
    links: list[str] = []
    while folders or links:
      inside = folders.pop() if folders else links.pop(0)
      self._read(inside, seen, folders, links)

  def _read(self, inside: str, seen: dict[tuple[int, int], str], folders: list[str], links: list[str]) -> None:
    """Notes the files of one folder, and the folders in it for later."""
    try:
      status = os.stat(self.root / inside)
      first = seen.setdefault((status.st_dev, status.st_ino), inside)
      if first != inside:
        self.closed[inside] = f"left out: links to {first or 'the root'}, which is read already"
        self._same[inside] = first
        return
      with os.scandir(self.root / inside) as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
      self.closed[inside] = f"cannot be read: {error.strerror or error}"
      return
    below = []
    for entry in found:
      path = f"{inside}/{entry.name}" if inside else entry.name
      try:
        if entry.is_dir():
          if entry.is_symlink():
            links.append(path)
          elif entry.name.startswith("."):
            self.closed[path] = "left out: hidden"
          else:
            below.append(path)
        elif entry.is_file():
          canonical = _canonical(path)
          if not self._pictures and canonical.endswith(tuple(PICTURE_SUFFIXES)):
            self.closed[inside or "."] = "left out: folders with pictures"
          elif canonical not in self.files or path == canonical:
            self.files[canonical] = path
          else:
            self.closed[path] = f"left out: differs from {self.files[canonical]} in case only"
        else:
          self.closed[path] = "left out: a link to nothing" if entry.is_symlink() else "left out: no file"
      except OSError as error:  # a link to itself
        self.closed[path] = f"cannot be read: {error.strerror or error}"
    folders.extend(reversed(below))

  def names(self, folder: str, suffixes: Iterable[str] = (".mp4",)) -> list[str]:
    """Names of the files of a kind that lie in a folder itself, sorted, suffixes in lower case; no hidden ones."""
    if not self._by_folder:
      for path in self.files:
        parent, _, name = path.rpartition("/")
        self._by_folder.setdefault(parent, []).append(name)
    folder = self._as_read(folder)
    return sorted(
      name for name in self._by_folder.get(folder, ()) if name.endswith(tuple(suffixes)) and not name.startswith(".")
    )

  def below(self, folder: str, suffixes: Iterable[str] = VIDEO_SUFFIXES) -> list[str]:
    """Paths below the root of the files of a kind at any depth below a folder, sorted; no hidden ones."""
    folder = self._as_read(folder)
    start, ends = (f"{folder}/" if folder else ""), tuple(suffixes)
    return sorted(p for p in self.files if p.startswith(start) and p.endswith(ends) and not _hidden(p))

  def take(self, path: str) -> pathlib.Path | None:
    """The file of that path below the root, whatever the case of its suffix; from now on it counts as taken.

    Returns:
      Where it lies, None if it does not.
    """
    canonical = self._as_read(_canonical(path))
    if canonical not in self.files:
      return None
    self._taken.add(canonical)
    return self.root / self.files[canonical]

  def _as_read(self, path: str) -> str:
    """The name that a file or folder was read by: of two links to one folder the source may want the other."""
    for link, first in self._same.items():
      if path == link or path.startswith(f"{link}/"):
        self.closed.pop(link, None)  # no omission any more
        return f"{first}{path[len(link) :]}".lstrip("/")
    return path

  def has_folder(self, folder: str) -> bool:
    """Whether there is such a folder, which need not be readable."""
    return (self.root / folder).is_dir()

  def why_absent(self, path: str) -> str:
    """Why `take` gave nothing: in a folder that cannot be read, downloaded in part, or just not there."""
    parts = path.split("/")
    for depth in range(len(parts)):
      if (reason := self.closed.get("/".join(parts[:depth]))) and reason.startswith("cannot"):
        return f"its folder {reason}"
    if any(f"{path}{suffix}" in self.files for suffix in _PARTIAL):
      return "no such file: a partial download of it lies there"
    return "no such file"

  def excuse(self, folder: str, reason: str) -> None:
    """Says why the videos of a folder (or a file) are not taken, instead of the general reason; the nearest one counts.

    "" says nothing of all that lies there: the user has asked for something else.
    """
    self._excused[folder] = reason

  def omitted(self, suffixes: Iterable[str] = (".mp4",)) -> list[tuple[str, str]]:
    """What lies below the root and was not taken, as (path, reason); documents are no omission.

    Args:
      suffixes: of what the source's videos are made; other kinds of videos are told of as such.
    """
    kinds = frozenset(suffixes)
    left = [(path, path, reason) for path, reason in self.closed.items()]
    left += [
      (c, path, reason) for c, path in self.files.items() if c not in self._taken and (reason := _reason(c, kinds))
    ]
    omitted = []
    for canonical, path, reason in left:
      excuse = self._excuse(canonical)
      if excuse != "":
        omitted.append((path, excuse if excuse and reason == UNNAMED else reason))
    return sorted(omitted)

  def _excuse(self, path: str) -> str | None:
    """What `excuse` was told of the nearest folder around a path, None if nothing."""
    while True:
      if path in self._excused:
        return self._excused[path]
      if not path:
        return None
      path = path.rpartition("/")[0]


def _canonical(path: str) -> str:
  """A path with its suffix in lower case."""
  stem, suffix = os.path.splitext(path)
  return stem + suffix.lower()


def _hidden(path: str) -> bool:
  return path.rpartition("/")[2].startswith(".")


def _reason(path: str, kinds: frozenset[str]) -> str | None:
  """Why a file that lies there is none of the dataset's videos; None for what nobody takes for one."""
  name = path.rpartition("/")[2]
  suffix = os.path.splitext(name)[1]
  if name.startswith("."):
    return "left out: hidden" if suffix in kinds | VIDEO_SUFFIXES or name.startswith("._") else None
  if suffix in kinds:
    return UNNAMED
  if suffix in _PARTIAL:
    return "left out: a partial download"
  if suffix in VIDEO_SUFFIXES:
    return f"left out: {suffix} files, which this dataset has none of"
  if suffix in _ARCHIVES:
    return "left out: archives that are not unpacked"
  if suffix in _DOCUMENTS or name.lower() in _DOCUMENT_NAMES:
    return None
  return f"left out: files of an unknown kind ({suffix or 'no suffix'})"
