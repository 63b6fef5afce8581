"""Datasets that ship face crops instead of videos: archives (tar, tar.gz) or folders of numbered pictures.

Each folder of pictures inside is one sequence; a sequence is cut where its numbers jump, so that frames which stand
together in a track stood together in the video.
"""

import collections
import dataclasses
import io
import pathlib
import re
import tarfile
import zlib
from collections.abc import Iterator

import cv2
import numpy as np
from PIL import Image

from data_pipelines.video import encoding
from data_pipelines.video.decode import BrokenVideo

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
MOST_BYTES = 2**30  # of an archive's members, which are held in memory
MOST_PIXELS = 2**24  # of a face crop, before the decoder reserves memory for it


@dataclasses.dataclass(frozen=True, eq=False)
class CropSequence:
  """Consecutive face crops of one person.

  Attributes:
    first: number of the first picture.
    pictures: encoded pictures in order.
  """

  first: int
  pictures: list[bytes]

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


def crop_sequences(path: str | pathlib.Path, max_frames: int, max_tracks: int, min_frames: int) -> list[CropSequence]:
  """Reads the sequences of an archive or a folder, longest first.

  Args:
    path: tar archive, compressed or not, or folder; pictures may lie in folders of folders.
    max_frames: use only so many first pictures of each folder, 0 = all.
    max_tracks: take so many longest sequences, 0 = all.
    min_frames: leave out shorter ones.

  Raises:
    BrokenVideo: missing, damaged, unsafe, or without a sequence of that length.
  """
  path = pathlib.Path(path)
  if not path.exists():
    raise BrokenVideo("no such file")
  folders: dict[str, list[tuple[int, bytes]]] = collections.defaultdict(list)
  for name, data in _folder(path) if path.is_dir() else _archive(path):
    where = pathlib.PurePosixPath(name)
    folders[str(where.parent)].append((_number(where.stem), data))
  if not folders:
    raise BrokenVideo("no picture in it")
  runs = []
  for name in sorted(folders):
    runs += _runs(sorted(folders[name], key=lambda item: item[0])[: max_frames or None])
  runs = sorted((run for run in runs if len(run.pictures) >= min_frames), key=lambda run: -len(run.pictures))
  if not runs:
    raise BrokenVideo(f"no sequence of at least {min_frames} consecutive pictures")
  return runs[: max_tracks or None]


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


def _folder(path: pathlib.Path) -> Iterator[tuple[str, bytes]]:
  files = sorted(p for p in path.rglob("*") if p.is_file() and p.suffix.lower() in PICTURES)
  for file in files:
    yield file.relative_to(path).as_posix(), file.read_bytes()


def _archive(path: pathlib.Path) -> Iterator[tuple[str, bytes]]:
  """Members that are pictures, read into memory; nothing is ever written where a member's name points."""
  total = 0
  try:
    with tarfile.open(path) as archive:
      for member in archive:
        name = pathlib.PurePosixPath(member.name)
        if name.is_absolute() or ".." in name.parts:
          raise BrokenVideo(f"unsafe archive: a member is called '{member.name}'")
        if member.issym() or member.islnk():
          raise BrokenVideo(f"unsafe archive: '{member.name}' is a link")
        total += member.size  # of every member: what is skipped is unpacked as well
        if total > MOST_BYTES:
          raise BrokenVideo(f"absurd archive: more than {MOST_BYTES >> 20} MiB in it")
        if not member.isfile() or name.suffix.lower() not in PICTURES or name.name.startswith("."):
          continue
        yield str(name), archive.extractfile(member).read()
  except (tarfile.TarError, zlib.error, EOFError, OSError, ValueError) as error:
    raise BrokenVideo(f"damaged archive: {error}") from error
