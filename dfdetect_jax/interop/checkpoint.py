"""Converted weights on disk: a run that has made no step yet, which all that takes a run can take.

Besides `config.json` and `best/` of every run the folder holds `conversion.json`, what became of each weight.
"""

import dataclasses
import json
import pathlib
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import ml_collections
import optax

from dfdetect_jax import files
from dfdetect_jax.errors import UserError
from dfdetect_jax.interop import names
from dfdetect_jax.interop.transfer import Report
from dfdetect_jax.methods import Method
from dfdetect_jax.runs import run_config
from dfdetect_jax.runs.checkpoints import Checkpoints
from dfdetect_jax.runs.restore import restore_run
from dfdetect_jax.runs.state import init_state

CONVERSION_FILE = "conversion.json"
_CURE = "convert the weights again"


def save(
  directory: str | pathlib.Path, config: ml_collections.ConfigDict, method: Method, variables: Any, report: Report
) -> None:
  """Writes converted weights.

  Args:
    directory: a new folder.
    config: of the method.
    method: what it builds.
    variables: `{"params": …}` and the other collections.
    report: of the conversion.

  Raises:
    UserError: the folder holds a run already, or cannot be written.
  """
  directory = pathlib.Path(directory)
  if (directory / run_config.CONFIG_FILE).exists():
    raise UserError(f"{directory} holds a run or converted weights already: choose another folder, or remove it.")
  try:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / CONVERSION_FILE).write_text(json.dumps(dataclasses.asdict(report), indent=2) + "\n")
    checkpoints = Checkpoints(directory, keep=1)
    # Only weights are kept as "best", so the optimizer does not matter.
    checkpoints.save_best(init_state(method, optax.identity(), jax.random.key(0), variables))
    checkpoints.close()
    # Last: a folder without its config is no run, and an interrupted conversion can be made again.
    run_config.save_config(directory, config)
  except OSError as error:
    raise UserError(f"{directory} cannot be written ({error.strerror}): choose another folder.") from error


def load(directory: str | pathlib.Path) -> tuple[nn.Module, dict[str, Any]]:
  """Loads a detector from the folder of a run, or from converted weights.

      model, variables = interop.load("weights/ftcn")
      outputs = model.apply(variables, clips)

  Args:
    directory: a workdir of `dfdetect_jax.train` (its best weights are taken), or a folder that
      `dfdetect_jax.interop.convert` made.

  Returns:
    The Linen module, and its variables in float32.

  Raises:
    UserError: the folder holds nothing of the kind.
  """
  run = restore_run(str(directory))
  return run.method.model, jax.tree.map(jnp.asarray, jax.device_get(run.variables))


def initial_variables(directory: str | pathlib.Path, method: Method, shapes: Any, rng: jax.Array) -> dict[str, Any]:
  """Variables for the start of a run: random, but for those that a folder of weights has to offer.

  Of converted weights only those count that came from the file, so that one folder serves all variants of a method:
  the parts that the file knew nothing of are drawn anew, whatever they are in this variant. Of a run all count.

  Args:
    directory: as for `load`.
    method: of the run that starts.
    shapes: shapes of its variables.
    rng: key of the random ones.

  Returns:
    NumPy arrays with the tree of `shapes`.

  Raises:
    UserError: the model has no place, or one of another shape, for an array that the folder offers; each is named.
  """
  offered = names.flatten(jax.device_get(restore_run(str(directory)).variables))
  conversion = pathlib.Path(directory) / CONVERSION_FILE
  if conversion.is_file():
    report = files.make(Report, files.read_json(conversion, _CURE), conversion, _CURE)
    offered = {name: offered[name] for name in (*report.loaded, *report.adapted)}
  needed = names.flatten(shapes)
  problems = [f"left over {name} {list(value.shape)}" for name, value in offered.items() if name not in needed]
  problems += [
    f"{name}: saved {list(value.shape)}, needed {list(needed[name].shape)}"
    for name, value in offered.items()
    if name in needed and value.shape != needed[name].shape
  ]
  if problems:
    raise UserError(
      f"the weights in {directory} (config.init) do not fit the model that the config describes, in {len(problems)} "
      "places:\n  " + "\n  ".join(problems)
    )
  return names.unflatten(names.flatten(jax.device_get(jax.jit(method.init)(rng))) | offered, shapes)
