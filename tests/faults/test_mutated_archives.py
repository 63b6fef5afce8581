"""Weight files and archives × 300 mutations: the same numbers as before, or a sentence; never a traceback.

Where a file has checksums (our own `.safetensors`, `.npz`, PyTorch's, gzip) other numbers are never taken without a
word; what others write as `.safetensors`, and a plain tar, have none.
"""

import gzip
import io
import pathlib
import random
import tarfile

import numpy as np
import pytest
import safetensors.numpy
import torch
from helpers.damages import mutated_bytes

from data_pipelines.building import track_cache
from data_pipelines.faces import cropped
from data_pipelines.faces.face_tracks import FaceTrack
from data_pipelines.video import encoding
from data_pipelines.video.decode import BrokenVideo
from dfdetect_jax.errors import UserError
from dfdetect_jax.interop import files

MUTATIONS = 300


def arrays() -> dict[str, np.ndarray]:
  draw = np.random.default_rng(0)
  return {"dense/kernel": draw.normal(size=(30, 4)).astype(np.float32), "steps": np.arange(3)}


def write_torch(path: pathlib.Path, **options) -> None:
  torch.save({name: torch.from_numpy(array) for name, array in arrays().items()}, path, **options)


def write_tar(path: pathlib.Path) -> None:
  with tarfile.open(path, "w") as file:
    for n in range(5):
      data = encoding.Encoding("png").encode(np.full((24, 24, 3), 40 * n, np.uint8))
      info = tarfile.TarInfo(f"real/5/{n}.png")
      info.size = len(data)
      file.addfile(info, io.BytesIO(data))


def write_tar_gz(path: pathlib.Path) -> None:
  write_tar(path)
  path.write_bytes(gzip.compress(path.read_bytes(), mtime=0))


def write_cache(path: pathlib.Path) -> None:
  track = FaceTrack("a.mp4", 0, 3, np.arange(9.0), np.ones((9, 4)), np.ones((9, 2, 3)), 24, 99)
  track_cache._write(path, [track], "")


def weights(path: pathlib.Path) -> dict[str, bytes]:
  return {name: array.tobytes() for name, array in files.read(path).items()}


def crops(path: pathlib.Path) -> list[list[bytes]]:
  return [[crop.tobytes() for crop in run.crops(24)] for run in cropped.crop_sequences(path, 0, 0, 1)]


def cached(path: pathlib.Path) -> list | None:
  tracks = track_cache._read(path, "a.mp4")
  return tracks and [(t.times.tobytes(), t.boxes.tobytes(), t.transforms.tobytes(), t.first_frame) for t in tracks]


# file -> how it is written, what reads it, whether it has checksums
KINDS = {
  "ours.safetensors": (lambda path: files.write(path, arrays(), {"step": "3"}), weights, True),
  "theirs.safetensors": (lambda path: safetensors.numpy.save_file(arrays(), path), weights, False),
  "a.npz": (lambda path: np.savez(path, **arrays()), weights, True),
  "a.pth": (write_torch, weights, True),
  "old.pth": (lambda path: write_torch(path, _use_new_zipfile_serialization=False), weights, False),
  "a.tar": (write_tar, crops, False),
  "a.tar.gz": (write_tar_gz, crops, True),
  "cache.npz": (write_cache, cached, True),
}


@pytest.mark.parametrize("name", KINDS)
def test_mutations_change_nothing_silently(tmp_path, name):
  """Guards all readers of large files that come from elsewhere, or lie long on a disk."""
  write, read, summed = KINDS[name]
  path = tmp_path / name
  write(path)
  content, right = path.read_bytes(), read(path)
  draw, wrong, refused = random.Random(name), [], 0
  for _ in range(MUTATIONS):
    damaged = mutated_bytes(content, draw)
    path.write_bytes(damaged)
    try:
      found = read(path)
    except (UserError, BrokenVideo):
      refused += 1
    except Exception as error:
      wrong.append(repr(error)[:200])
    else:
      if found is None:
        refused += 1
      elif summed and found != right:
        wrong.append(f"other numbers, {len(damaged)} bytes of {len(content)}")
  assert not wrong, f"{len(wrong)} of {MUTATIONS}: {wrong[:5]}"
  assert refused > MUTATIONS / 10
