"""Checksums of a checkpoint's files: written into it before it counts, compared when it is read.

Neither Orbax nor TensorStore would notice a flipped bit in an array's data.
"""

import concurrent.futures
import functools
import os
import pathlib
import zlib
from collections.abc import Callable, Collection

import google_crc32c

from dfdetect_jax.files import DamagedFile, damaged, read_json, sealed
from dfdetect_jax.folders import write_json

FILE = "checksums.json"
_CURE = "the checkpoint is not to be trusted"
_CHUNK = 1 << 19  # stays in the processor's cache between being read and being summed
# By name in the file: how a sum goes on with further bytes. The first is written; older checkpoints have the other,
# which takes a processor three times as long.
_SUMS: dict[str, Callable[[int, bytes], int]] = {
  "crc32c": google_crc32c.extend, "crc32": lambda value, piece: zlib.crc32(piece, value),
}  # fmt: skip
_WRITTEN = "crc32c"


def write(checkpoint: pathlib.Path) -> None:
  """Writes the checksums of all files of all items into a checkpoint's folder.

  Raises:
    OSError: the disk is full or gone.
  """
  items = [item for item in checkpoint.iterdir() if item.is_dir()]
  files = sorted(file for item in items for file in item.rglob("*") if file.is_file())
  with concurrent.futures.ThreadPoolExecutor(_threads()) as pool:
    sums = pool.map(functools.partial(_sum, _WRITTEN), files)
    content = {file.relative_to(checkpoint).as_posix(): list(found) for file, found in zip(files, sums, strict=True)}
  write_json(checkpoint / FILE, sealed({_WRITTEN: content}))


def verify(checkpoint: pathlib.Path, items: Collection[str]) -> bool:
  """Compares the files of some items with the checksums.

  Args:
    checkpoint: its folder.
    items: names of those that will be read.

  Returns:
    False if the checkpoint, as older ones, has none to compare with.

  Raises:
    DamagedFile: a file is missing or not what was written.
  """
  path = checkpoint / FILE
  if not path.is_file():
    return False
  content = read_json(path, _CURE)
  kind = next((name for name in _SUMS if name in content), "")
  recorded = content.get(kind)
  if not isinstance(recorded, dict) or not all(isinstance(value, list) for value in recorded.values()):
    raise damaged(path, "it holds no checksums", _CURE)
  wanted = {name: tuple(value) for name, value in recorded.items() if name.split("/")[0] in items}
  with concurrent.futures.ThreadPoolExecutor(_threads()) as pool:
    found = pool.map(lambda name: _sum(kind, checkpoint / name), wanted)
    for (name, value), is_now in zip(wanted.items(), found, strict=True):
      if is_now != value:
        raise DamagedFile(f"{checkpoint / name} is not what was written: its size or checksum differs")
  return True


def _threads() -> int:
  return min(16, os.cpu_count() or 1)


def _sum(kind: str, path: pathlib.Path) -> tuple[int, int]:
  """Bytes and checksum of a file."""
  size = value = 0
  try:
    with path.open("rb", buffering=0) as file:
      while piece := file.read(_CHUNK):
        size, value = size + len(piece), _SUMS[kind](value, piece)
  except FileNotFoundError:
    return -1, 0
  return size, value
