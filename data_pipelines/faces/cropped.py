"""Datasets that ship face crops instead of videos: archives (tar, tar.gz) or folders of numbered pictures.

Each folder of pictures inside is one sequence; a sequence is cut where its numbers jump, so that frames which stand
together in a track stood together in the video.
"""

import bz2
import collections
import dataclasses
import functools
import gzip
import hashlib
import io
import lzma
import pathlib
import re
import tarfile
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import cv2
import numpy as np
from PIL import Image

from data_pipelines.video import encoding
from data_pipelines.video.decode import BrokenVideo

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
MOST_BYTES = 2**30  # of an archive unpacked, whose members are held in memory
MOST_PIXELS = 2**24  # of a face crop, before the decoder reserves memory for it


@dataclasses.dataclass(frozen=True, eq=False)
class CropSequence:
  """Consecutive face crops of one person.

  Attributes:
    first: number of the first picture.
    pictures: encoded pictures in order.
    notes: what of the video is in none of its sequences, the same for all of them.
  """

  first: int
  pictures: list[bytes]
  notes: tuple[str, ...] = ()

  def crops(self, size: int) -> Iterator[np.ndarray]:
    """Yields the crops `[size, size, 3]` uint8 RGB.

    Raises:
      BrokenVideo: a picture does not decode.
    """
    for number, data in enumerate(self.pictures):
      try:
        with Image.open(io.BytesIO(data)) as header:
          if header.width * header.height > MOST_PIXELS:
            raise BrokenVideo(f"absurd picture {self.first + number}: {header.width}x{header.height} pixels")
        image = encoding.decode(data)
      except Image.DecompressionBombError as error:
        raise BrokenVideo(f"absurd picture {self.first + number}: {error}") from error
      except (ValueError, OSError, SyntaxError) as error:
        raise BrokenVideo(f"picture {self.first + number} is damaged") from error
      shrinks = image.shape[0] > size
      yield cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)


def crop_sequences(
  path: str | pathlib.Path, max_frames: int, max_tracks: int, min_frames: int, inside: str = ""
) -> list[CropSequence]:
  """Reads the sequences of an archive or a folder, longest first.

  Args:
    path: tar archive, compressed or not, or folder; pictures may lie in folders of folders.
    max_frames: use only so many first pictures of each folder, 0 = all.
    max_tracks: take so many longest sequences, 0 = all.
    min_frames: leave out shorter ones.
    inside: only the pictures of this folder in it, "." = of its top, "" = all of them.

  Raises:
    BrokenVideo: missing, damaged, unsafe, or without a sequence of that length.
  """
  folders: dict[str, list[tuple[int, bytes]]] = collections.defaultdict(list)
  for name, data in _pictures(pathlib.Path(path), inside):
    where = pathlib.PurePosixPath(name)
    folders[str(where.parent)].append((_number(where.stem), data))
  if not folders:
    raise BrokenVideo("no picture in it")
  runs = []
  for name in sorted(folders):
    runs += _runs(sorted(folders[name], key=lambda item: item[0])[: max_frames or None])
  longest = max(len(run.pictures) for run in runs)
  runs = sorted((run for run in runs if len(run.pictures) >= min_frames), key=lambda run: -len(run.pictures))
  if not runs:
    raise BrokenVideo(f"no sequence of at least {min_frames} consecutive pictures (the longest has {longest})")
  chosen = runs[: max_tracks or None]
  left = sum(len(own) for own in folders.values()) - sum(len(run.pictures) for run in chosen)
  notes = (
    (f"{left} pictures are in no track: runs shorter than {min_frames}, or beyond what was asked for",) if left else ()
  )
  return [dataclasses.replace(run, notes=notes) for run in chosen]


def sequences_in(path: pathlib.Path) -> list[str]:
  """The folders of an archive that hold pictures, sorted; "" is its top.

  Raises:
    BrokenVideo: damaged, unsafe, or without a picture.
  """
  folders = {_parent(name) for name, _ in _archive(path, lambda folder: False)}
  if not folders:
    raise BrokenVideo("no picture in it")
  return sorted(folders)


def sequence_sha256(path: str | pathlib.Path, inside: str) -> str:
  """Checksum of the pictures of one folder, with their names, in an archive or in what was unpacked from it."""
  checksum = hashlib.sha256()
  for name, data in sorted(_pictures(pathlib.Path(path), inside)):
    checksum.update(f"{pathlib.PurePosixPath(name).name}\0{len(data)}\0".encode())
    checksum.update(data)
  return checksum.hexdigest()


def _pictures(path: pathlib.Path, inside: str) -> list[tuple[str, bytes]]:
  """Names and contents of the pictures; an archive that several videos lie in is kept from one to the next."""
  if not path.exists():
    raise BrokenVideo("no such file")
  folder = "" if inside == "." else inside
  if path.is_dir():
    return list(_folder(path / inside, deep=not inside))
  status = path.stat()
  if not inside:
    return list(_archive(path))
  if status.st_size > MOST_BYTES:  # too large to be kept: its other sequences are passed by
    return [(n, data) for n, data in _archive(path, lambda one: one == folder) if _parent(n) == folder]
  return [(n, data) for n, data in _kept(str(path), status.st_size, status.st_mtime_ns) if _parent(n) == folder]


@functools.lru_cache(maxsize=1)
def _kept(path: str, size: int, time: int) -> list[tuple[str, bytes]]:
  return list(_archive(pathlib.Path(path)))


def _parent(name: str) -> str:
  parent = str(pathlib.PurePosixPath(name).parent)
  return "" if parent == "." else parent


def _runs(pictures: list[tuple[int, bytes]]) -> list[CropSequence]:
  """Cuts a folder's pictures where their numbers jump by more than usual (the usual step need not be one)."""
  numbers = np.array([number for number, _ in pictures])
  steps = np.diff(numbers)
  usual = np.bincount(np.clip(steps, 0, 1000)).argmax() if len(steps) else 1
  ends = [0, *(np.nonzero(steps > max(usual, 1))[0] + 1).tolist(), len(pictures)]
  return [CropSequence(int(numbers[a]), [data for _, data in pictures[a:b]]) for a, b in zip(ends, ends[1:])]


def _number(stem: str) -> int:
  digits = re.findall(r"\d+", stem)
  if not digits:
    raise BrokenVideo(f"picture '{stem}' has no number to order it by")
  return int(digits[-1][-9:])


def _folder(path: pathlib.Path, deep: bool) -> Iterator[tuple[str, bytes]]:
  found = path.rglob("*") if deep else path.glob("*")
  for file in sorted(p for p in found if p.is_file() and p.suffix.lower() in PICTURES and not p.name.startswith(".")):
    yield file.relative_to(path).as_posix(), file.read_bytes()


def _archive(path: pathlib.Path, wanted: Callable[[str], bool] | None = None) -> Iterator[tuple[str, bytes]]:
  """Members that are pictures, read into memory; nothing is ever written where a member's name points.

  Args:
    path: the archive.
    wanted: whether the pictures of a folder are read; of the others nothing but the name is. None = all of them.
  """
  total = 0
  # What is passed by is not held, and pictures do not shrink: what unpacks to many times its size is a trap.
  most = MOST_BYTES if wanted is None else max(MOST_BYTES, 20 * path.stat().st_size)
  try:
    with (
      _Unpacked(path, most) as stream,
      tarfile.open(fileobj=stream, mode="r:") as archive,  # type: ignore[call-overload]  # asks for `write` to read
    ):
      for member in archive:
        name = pathlib.PurePosixPath(member.name)
        if name.is_absolute() or ".." in name.parts:
          raise BrokenVideo(f"unsafe archive: a member is called '{member.name}'")
        if member.issym() or member.islnk():
          raise BrokenVideo(f"unsafe archive: '{member.name}' is a link")
        total += member.size  # of every member: what is skipped is unpacked as well, and holes are filled
        if total > most:
          raise _absurd(most)
        if not member.isfile() or name.suffix.lower() not in PICTURES or name.name.startswith("."):
          continue
        if wanted is not None and not wanted(_parent(str(name))):
          yield str(name), b""
          continue
        file = archive.extractfile(member)
        assert file is not None, "a regular file"
        yield str(name), file.read()
      stream.finish()
  except (tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, OSError, ValueError) as error:
    raise BrokenVideo(f"damaged archive: {error}") from error


class _Unpacked:
  """A tar's bytes, of which so many can be read: members' headers, which may be as long as they like, count as well."""

  def __init__(self, path: pathlib.Path, most: int):
    with open(path, "rb") as file:
      magic = file.read(6)
    openers: dict[bytes, Callable[..., Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open}
    opener = next((opener for start, opener in openers.items() if magic.startswith(start)), open)
    self._stream, self._most = opener(path, "rb"), most
    self.seek, self.tell = self._stream.seek, self._stream.tell

  def read(self, size: int = -1) -> bytes:
    """Reads so many bytes, which must be told.

    Raises:
      BrokenVideo: it is more than there may be.
    """
    if size < 0 or self.tell() + size > self._most:
      raise _absurd(self._most)
    return self._stream.read(size)

  def finish(self) -> None:
    """Reads what follows the archive: only at the end is the checksum of what was unpacked compared.

    Raises:
      OSError: it differs.
    """
    while self._stream.read(1 << 16):
      if self.tell() > self._most:
        raise _absurd(self._most)

  def __enter__(self) -> "_Unpacked":
    return self

  def __exit__(self, *error: object) -> None:
    self._stream.close()


def _absurd(most: int) -> BrokenVideo:
  return BrokenVideo(f"absurd archive: more than {most >> 20} MiB in it")
