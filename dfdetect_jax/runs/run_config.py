"""The config of a run as its workdir keeps it: what a resumed run, an evaluation and a prediction go by."""

import json
import pathlib

import ml_collections

from dfdetect_jax.errors import UserError
from dfdetect_jax.folders import as_folder, write_json
from dfdetect_jax.runs.config import base_config

CONFIG_FILE = "config.json"

# Fields that may change when a run goes on: how long, how often and where, but not what is computed.
MAY_CHANGE = (
  "total_steps", "epochs", "data", "workers", "prefetch", "data_timeout", "max_unreadable",
  "log_every", "eval_every", "eval_batch_size",
  "checkpoint_every", "checkpoint_keep", "mesh", "remat",
)  # fmt: skip


def save_config(workdir: str | pathlib.Path, config: ml_collections.ConfigDict) -> None:
  """Writes `config.json`, whole or not at all."""
  write_json(as_folder(workdir) / CONFIG_FILE, config.to_dict())


def read_config(workdir: str | pathlib.Path) -> ml_collections.ConfigDict:
  """Reads the config of a run.

  Raises:
    UserError: the folder is not a run's workdir, or its config.json is broken.
  """
  path = as_folder(workdir) / CONFIG_FILE
  if not path.is_file():
    raise UserError(
      f"{workdir} is not the workdir of a run: it has no {CONFIG_FILE}. Train one with dfdetect_jax.train."
    )
  try:
    return ml_collections.ConfigDict(_tuples(json.loads(path.read_text()))).lock()
  except json.JSONDecodeError as error:
    raise UserError(f"{path} is not JSON ({error}).") from error


def check_same_run(workdir: str | pathlib.Path, config: ml_collections.ConfigDict) -> None:
  """Refuses to go on with a run under settings that would make it another one.

  Raises:
    UserError: a field outside `MAY_CHANGE` differs; each is named with both values.
  """
  old, new = _flat(read_config(workdir).to_dict()), _flat(_tuples(json.loads(json.dumps(config.to_dict()))))
  old = _flat(base_config().to_dict()) | old  # fields that came after the run was begun were as they are by default
  differing = [
    f"{name}: {old.get(name)} → {new.get(name)}"
    for name in sorted({*old, *new})
    if old.get(name) != new.get(name) and name.split(".")[0] not in MAY_CHANGE
  ]
  if differing:
    raise UserError(
      f"{workdir} holds a run with other settings ({'; '.join(differing)}). Give the same settings to go on with it, "
      "or another --workdir to start a new one."
    )


def _tuples(value):
  """JSON has no tuples; configs have no lists."""
  if isinstance(value, dict):
    return {k: _tuples(v) for k, v in value.items()}
  return tuple(_tuples(v) for v in value) if isinstance(value, list) else value


def _flat(tree: dict, prefix: str = "") -> dict:
  flat = {}
  for key, value in tree.items():
    flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
  return flat
