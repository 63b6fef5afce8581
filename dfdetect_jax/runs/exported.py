"""A model on its own: `model.safetensors` beside the config of its run, as it lies on a model hub.

The arrays bear our names (`params/…`, `batch_stats/…`), the header says which step and whose weights they are.
"""

import pathlib
from typing import Any

import flax.traverse_util
import jax
import safetensors

from dfdetect_jax.errors import UserError
from dfdetect_jax.runs import weight_files
from dfdetect_jax.runs.checkpoints import check_same_tree

MODEL_FILE = "model.safetensors"


def is_exported(folder: pathlib.Path) -> bool:
  """Whether a folder holds an exported model and no run."""
  return (folder / MODEL_FILE).is_file()


def write_model(folder: pathlib.Path, variables: Any, step: int, weights: str) -> None:
  """Writes the variables of a model, float32, whole or not at all; the folder exists."""
  flat = flax.traverse_util.flatten_dict(jax.device_get(variables), sep="/")
  about = {"format": "dfdetect_jax 1", "step": str(step), "weights": weights}
  weight_files.write(folder / MODEL_FILE, flat, about)


def read_model(folder: pathlib.Path, abstract: Any) -> tuple[Any, int, str]:
  """Reads them back.

  Args:
    folder: of the model.
    abstract: shapes, dtypes and shardings of its variables.

  Returns:
    The variables, their step, and whose they are.

  Raises:
    UserError: the file is damaged, or of another architecture than the config beside it.
  """
  path = folder / MODEL_FILE
  try:
    flat, about = weight_files.read(path)
    step, weights = int(about["step"]), about["weights"]
  except (OSError, KeyError, ValueError, safetensors.SafetensorError) as error:
    raise UserError(
      f"{path} is not a model that dfdetect_jax.interop.export wrote, or it is cut off ({error}). Weights of others "
      "are converted first: dfdetect_jax.interop.convert."
    ) from error
  variables = flax.traverse_util.unflatten_dict(flat, sep="/")
  check_same_tree(variables, abstract, "weights", str(path))
  return jax.tree.map(lambda x, a: jax.device_put(x, a.sharding), variables, abstract), step, weights
