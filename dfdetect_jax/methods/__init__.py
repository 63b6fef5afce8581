"""The detectors, one folder per paper. `build` is the only thing that knows their names.

A detector of your own needs no change here: `config.method` may name any module that can be imported and has
`build(config) -> Method` ("my_lab.detector"), or an entry point of the group `dfdetect_jax.methods`.
"""

import dataclasses
import importlib
import importlib.metadata
from types import ModuleType

import ml_collections

from dfdetect_jax.augment import pipeline
from dfdetect_jax.errors import UserError, unknown
from dfdetect_jax.layers.remat import POLICIES
from dfdetect_jax.layers.weight_table import WeightTable
from dfdetect_jax.methods.method import ClipSpec, Method

METHODS = ("dip", "st_ilif", "ftcn", "sdr", "dil", "baselines")

__all__ = ["METHODS", "ClipSpec", "Method", "build", "weight_tables"]


def build(config: ml_collections.ConfigDict) -> Method:
  """Builds the method that `config.method` names from the model and objective settings in the config.

  What its training clips go through, `config.augment` says, whatever the method is.

  Raises:
    UserError: no method or remat policy has that name, or the method's settings are unknown or contradict each other.
  """
  module = _module(config.method)
  if config.remat and config.remat is not True and config.remat not in POLICIES:
    raise unknown("remat policy", config.remat, POLICIES, more='"" is none of them.')
  try:
    method = module.build(config)
  except TypeError as error:
    if "argument" not in str(error):
      raise
    raise UserError(
      f"config.model, objective or clips does not have the fields of {config.method}: {error}."
    ) from error
  augmentations = pipeline.from_config(config.get("augment", {}))
  if augmentations:
    method = dataclasses.replace(method, augmentations=augmentations)
  if weight := config.get("boundary_weight", 0.0):
    _check_boundary(config, method)
    method = dataclasses.replace(method, boundary_weight=weight)
  return method


def _check_boundary(config: ml_collections.ConfigDict, method: Method) -> None:
  """Refuses the second head where nothing could teach it."""
  wanted = f"config.boundary_weight={config.boundary_weight} teaches a second head where faces are blended"
  if config.forgeries == "given":
    raise UserError(
      f"{wanted}, which only self-made forgeries tell: config.forgeries is given. Set config.forgeries=self_made (or "
      "both), or config.boundary_weight=0."
    )
  own = [name for name in ("loss", "augment") if getattr(type(method), name) is not getattr(Method, name)]
  if own:
    raise UserError(
      f"{wanted}, beside the plain cross-entropy of one clip; {config.method} ({type(method).__name__}) has a "
      f"{' and an '.join(own)} of its own, which does not carry the map of blends. Set config.boundary_weight=0."
    )


def weight_tables(config: ml_collections.ConfigDict) -> tuple[WeightTable, ...]:
  """The kinds of weight files that a method can start from, the preferred first.

  What `weight_tables(config)` beside the method's `build` gives; a method without it takes our own files only.
  """
  module = _module(config.method)
  return module.weight_tables(config) if hasattr(module, "weight_tables") else ()


def _module(name: str) -> ModuleType:
  """The module of a method: shipped, registered by another package, or anywhere on the import path."""
  if name in METHODS:
    return importlib.import_module(f"dfdetect_jax.methods.{name}")
  registered = {point.name: point for point in importlib.metadata.entry_points(group="dfdetect_jax.methods")}
  try:
    module = registered[name].load() if name in registered else importlib.import_module(name or ".")
  except (ModuleNotFoundError, TypeError, ValueError) as error:
    if isinstance(error, ModuleNotFoundError) and not f"{name}.".startswith(f"{error.name}."):
      raise  # the module is there, and lacks something itself
    known = [*METHODS, *registered]
    own = "One of your own is named by its module (my_lab.detector), which Python must be able to import (PYTHONPATH)."
    raise unknown("method", name, known, more=own) from error
  if not hasattr(module, "build"):
    raise UserError(f"the module '{name}' ({module.__file__}) is no method: it has no function build(config).")
  return module
