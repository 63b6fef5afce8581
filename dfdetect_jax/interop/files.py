"""Weight files as flat dicts of arrays: `.safetensors`, `.npz`, `.pth`. Nothing that could run code is unpickled."""

import pathlib
import zipfile
from collections.abc import Mapping

import numpy as np
import safetensors

from dfdetect_jax.errors import UserError, unwritable
from dfdetect_jax.runs import weight_files

# The first whose `weights_only` cannot be talked into running code (CVE-2025-32434).
TORCH_VERSION = (2, 6)
SAFETENSORS, NPZ, TORCH = (".safetensors",), (".npz",), (".pth", ".pt", ".bin")


def read(path: str | pathlib.Path) -> dict[str, np.ndarray]:
  """Reads a weight file.

  Args:
    path: `.safetensors`; `.npz`; or `.pth`, `.pt`, `.bin`, a PyTorch state dict, which needs PyTorch.

  Returns:
    Arrays by their names in the file, floating-point ones as float32.

  Raises:
    UserError: the file is missing, broken, not what its checksum says (where it has one: those that this project
      writes, and PyTorch's), of another kind, or holds anything but tensors, or numbers that are NaN or infinite.
  """
  path = pathlib.Path(path)
  try:
    found = path.is_file()
  except (OSError, ValueError) as error:
    raise UserError(f"{str(path)[:80]}… is no path of a weight file ({getattr(error, 'strerror', error)}).") from error
  if not found:
    raise UserError(f"there is no weight file {path}.")
  readers = dict.fromkeys(SAFETENSORS, _safetensors) | dict.fromkeys(NPZ, _npz) | dict.fromkeys(TORCH, _torch)
  if path.suffix not in readers:
    raise UserError(f"{path} is not a weight file: its name must end in {', '.join(readers)}.")
  arrays = readers[path.suffix](path)
  if not arrays:
    raise UserError(f"{path} holds no weights.")
  arrays = {name: a.astype(np.float32) if _is_float(a) else a for name, a in arrays.items()}
  check_finite(arrays, str(path))
  return arrays


def about(path: str | pathlib.Path) -> dict[str, str]:
  """The text in the header of a `.safetensors` file that `read` has read; {} for other kinds."""
  path = pathlib.Path(path)
  return weight_files.header(path) if path.suffix in SAFETENSORS else {}


def check_finite(arrays: Mapping[str, np.ndarray], where: str) -> None:
  """Refuses weights that are no numbers.

  Raises:
    UserError: NaN or infinity in some of them; each array is named, with how many it holds.
  """
  bad = {name: int(a.size - np.isfinite(a).sum()) for name, a in arrays.items() if a.dtype.kind == "f"}
  bad = {name: count for name, count in bad.items() if count}
  if bad:
    listed = ", ".join(f"{name} ({count} of {arrays[name].size})" for name, count in list(bad.items())[:8])
    more = f" and {len(bad) - 8} more" if len(bad) > 8 else ""
    raise UserError(
      f"{where} holds weights that are NaN or infinite, in {len(bad)} arrays: {listed}{more}. The file is damaged, or "
      "the training that it comes from diverged: take another one."
    )


def write(path: str | pathlib.Path, arrays: dict[str, np.ndarray], about: dict[str, str]) -> None:
  """Writes a `.safetensors` file, whole or not at all.

  Args:
    path: where to.
    arrays: by name.
    about: text for the file's header.

  Raises:
    UserError: the name does not end in `.safetensors`, or the folder cannot be written.
  """
  path = pathlib.Path(path)
  if path.suffix not in SAFETENSORS:
    raise UserError(f"weights are exported as safetensors: {path} must end in {SAFETENSORS[0]}.")
  try:
    weight_files.write(path, arrays, about)
  except (OSError, safetensors.SafetensorError) as error:
    raise unwritable(path, error) from error


def _is_float(array: np.ndarray) -> bool:
  # bfloat16 is a type of its own to NumPy, of kind "V".
  return array.dtype.kind == "f" or array.dtype.name == "bfloat16"


def _safetensors(path: pathlib.Path) -> dict[str, np.ndarray]:
  try:
    return weight_files.read(path)[0]
  except (OSError, ValueError, KeyError, safetensors.SafetensorError) as error:
    raise UserError(f"{path} is not a safetensors file, or it is cut off ({error}).") from error


def _npz(path: pathlib.Path) -> dict[str, np.ndarray]:
  try:
    with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
      arrays = {name: archive[name] for name in archive.files}
    if other := [name for name, array in arrays.items() if not isinstance(array, np.ndarray)]:
      raise ValueError(f"{other[0]} is none")
    return arrays
  except (OSError, EOFError, ValueError, TypeError, AttributeError, zipfile.BadZipFile) as error:
    raise UserError(f"{path} is not an .npz archive of plain arrays ({error}).") from error


def _check_records(path: pathlib.Path) -> None:
  """Compares the records of a PyTorch file with their checksums, which PyTorch writes and does not look at.

  Raises:
    ValueError: one differs.
    zipfile.BadZipFile: the archive is damaged.
  """
  with zipfile.ZipFile(path) as archive:
    if damaged := archive.testzip():
      raise ValueError(f"the checksum of {damaged} differs")


def _torch(path: pathlib.Path) -> dict[str, np.ndarray]:
  try:
    import torch
  except ModuleNotFoundError as error:
    raise UserError(
      f"reading {path} needs PyTorch: pip install 'dfdetect_jax[torch]'. Or save the weights as .safetensors, which "
      "needs nothing more."
    ) from error
  if tuple(int(part) for part in torch.__version__.split(".")[:2]) < TORCH_VERSION:
    raise UserError(
      f"reading {path} needs PyTorch 2.6 or later, here is {torch.__version__}: before, a weight file could run code "
      "when opened (CVE-2025-32434). pip install 'torch>=2.6', or save the weights as .safetensors."
    )
  try:
    if zipfile.is_zipfile(path):  # files of before PyTorch 1.6 are none, and have no checksums
      _check_records(path)
    state = torch.load(path, map_location="cpu", weights_only=True)
  except Exception as error:  # a damaged pickle has PyTorch raise whatever there is
    # PyTorch's own message goes on about how to load the file regardless; that is what nobody should do.
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    raise UserError(
      f"{path} was refused: it is broken, or a pickle that holds more than tensors, which could run code when opened "
      f"({reason}). Save model.state_dict() alone."
    ) from error
  if not isinstance(state, dict):
    raise UserError(f"{path} was refused: it holds a {type(state).__name__}, not a state dict of tensors.")
  if other := [f"{k} ({type(v).__name__})" for k, v in state.items() if not isinstance(v, torch.Tensor)]:
    raise UserError(
      f"{path} was refused: only tensors are taken, and it also holds {', '.join(other[:8])}. Save "
      "model.state_dict() alone."
    )
  return {str(k): (v.float() if v.is_floating_point() else v).detach().cpu().numpy() for k, v in state.items()}
