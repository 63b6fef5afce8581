"""Weight files of our own (`.safetensors`): whole or absent, with a checksum of all that they hold in the header."""

import hashlib
import pathlib
from collections.abc import Mapping

import numpy as np
import safetensors
import safetensors.numpy

from dfdetect_jax.files import SEAL, DamagedFile
from dfdetect_jax.folders import sweep_partial, whole


def digest(array: np.ndarray) -> str:
  """SHA-256 of an array's dtype, shape and numbers."""
  head = f"{array.dtype.name}{list(array.shape)}".encode()
  return hashlib.sha256(head + np.ascontiguousarray(array).tobytes()).hexdigest()


def write(path: pathlib.Path, arrays: Mapping[str, np.ndarray], about: Mapping[str, str]) -> None:
  """Writes arrays, and text about them for the header.

  Raises:
    OSError, safetensors.SafetensorError: the file cannot be written.
  """
  # safetensors writes memory as it lies, so transposed views must be laid out anew.
  laid_out = {name: np.array(array, order="C") for name, array in arrays.items()}
  sweep_partial(path.parent, path.name)
  with whole(path) as partial:
    safetensors.numpy.save_file(laid_out, partial, {**about, SEAL: _seal(laid_out, about)})


def read(path: pathlib.Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
  """Arrays and text of a file; compared with its checksum, which those of others, and older ones, do not have.

  Raises:
    DamagedFile: it is not what was written.
    OSError, ValueError, KeyError, safetensors.SafetensorError: it is no such file, or cut off.
  """
  arrays, about = safetensors.numpy.load_file(path), header(path)
  if about.pop(SEAL, None) not in (None, _seal(arrays, about)):
    raise DamagedFile(f"{path} is damaged: its checksum differs from what it holds. Take another copy of it.")
  return arrays, about


def header(path: pathlib.Path) -> dict[str, str]:
  """The text of a file."""
  with safetensors.safe_open(path, "numpy") as file:
    return file.metadata() or {}


def _seal(arrays: Mapping[str, np.ndarray], about: Mapping[str, str]) -> str:
  lines = [f"{name} {digest(arrays[name])}" for name in sorted(arrays)]
  lines += [f"{name} {about[name]!r}" for name in sorted(about)]
  return hashlib.sha256("\n".join(lines).encode()).hexdigest()
