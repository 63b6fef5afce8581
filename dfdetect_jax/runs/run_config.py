"""The config of a run as its workdir keeps it: what a resumed run, an evaluation and a prediction go by."""

import json
import logging
import pathlib

import ml_collections

from dfdetect_jax.errors import UserError
from dfdetect_jax.files import damaged, read_json
from dfdetect_jax.folders import as_folder, write_json
from dfdetect_jax.runs.config import base_config
from dfdetect_jax.runs.fields import check_fields, flat, may_change
from dfdetect_jax.runs.provenance import PROVENANCE_FILE
from dfdetect_jax.runs.provenance import read_json as read_provenance

_LOG = logging.getLogger(__name__)

CONFIG_FILE = "config.json"


def save_config(workdir: str | pathlib.Path, config: ml_collections.ConfigDict) -> None:
  """Writes `config.json`, whole or not at all."""
  write_json(as_folder(workdir) / CONFIG_FILE, config.to_dict())


def read_config(workdir: str | pathlib.Path) -> ml_collections.ConfigDict:
  """Reads the config of a run.

  Raises:
    UserError: the folder is not a run's workdir, its config.json is broken, or contradicts the run's provenance.
  """
  path = as_folder(workdir) / CONFIG_FILE
  if not path.is_file():
    raise UserError(
      f"{workdir} is not the workdir of a run: it has no {CONFIG_FILE}. Train one with dfdetect_jax.train."
    )
  cure = f"copy it from where it is whole: {PROVENANCE_FILE} beside it, if there, holds it under 'config'"
  stored = _tuples(read_json(path, cure))
  try:
    config = ml_collections.ConfigDict(_completed(stored, path))
  except (ValueError, TypeError, AttributeError) as error:  # a name with a dot in it, or none that a field may have
    raise damaged(path, str(error).splitlines()[0], cure) from error
  check_fields(config, str(path))
  _check_papers(as_folder(workdir), stored)
  return config.lock()


def _completed(stored: dict, path: pathlib.Path) -> dict:
  """Fields that a run from before them does not have get their defaults, loudly."""
  defaults = base_config().to_dict()
  lacking = sorted(name for name in flat(defaults) if name not in flat(stored) and name != "method")
  for name in lacking:
    *parents, last = name.split(".")
    node, default = stored, defaults
    for parent in parents:
      node, default = node.setdefault(parent, {}), default[parent]
      if not isinstance(node, dict):
        raise damaged(path, f"'{parent}' is {node!r:.40}, not a group of fields", "copy it from where it is whole")
    node[last] = default[last]
  if lacking:
    _LOG.warning(f"{path} lacks {', '.join(lacking)}: taken as by default.")
  return stored


def _check_papers(workdir: pathlib.Path, stored: dict) -> None:
  """Compares the config with the one that the run's provenance tells of.

  Raises:
    UserError: they differ in what a run may not change.
  """
  path = workdir / PROVENANCE_FILE
  trained = read_provenance(path).get("config") if path.is_file() else None
  if trained is None:
    return
  differing = differences(_tuples(trained), stored)
  if differing:
    raise UserError(
      f"{workdir / CONFIG_FILE} is not the config that the run was trained with, by {path}: {'; '.join(differing)}. "
      "One of the two was changed: put back the right one."
    )


def differences(old: dict, new: dict) -> list[str]:
  """The fixed fields in which two configs differ, with both values; what the old one lacks was as by default."""
  old, new = flat(base_config().to_dict()) | flat(old), flat(new)
  return [
    f"{name}: {old.get(name)} → {new.get(name)}"
    for name in sorted({*old, *new})
    if old.get(name) != new.get(name) and not may_change(name)
  ]


def check_same_run(workdir: str | pathlib.Path, config: ml_collections.ConfigDict) -> None:
  """Refuses to go on with a run under settings that would make it another one.

  Raises:
    UserError: a fixed field differs (see `runs.fields`); each is named with both values.
  """
  differing = differences(read_config(workdir).to_dict(), _tuples(json.loads(json.dumps(config.to_dict()))))
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
