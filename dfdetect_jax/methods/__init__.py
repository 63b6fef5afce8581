"""The detectors, one folder per paper. `build` is the only thing that knows their names."""

import importlib

import ml_collections

from dfdetect_jax.errors import UserError, did_you_mean
from dfdetect_jax.layers.remat import POLICIES
from dfdetect_jax.methods.method import ClipSpec, Method

METHODS = ("dip", "st_ilif", "ftcn", "sdr", "dil", "baselines")

__all__ = ["METHODS", "ClipSpec", "Method", "build"]


def build(config: ml_collections.ConfigDict) -> Method:
  """Builds the method that `config.method` names from the model and objective settings in the config.

  Raises:
    UserError: no method or remat policy has that name, or the method's settings contradict each other.
  """
  if config.method not in METHODS:
    hint = did_you_mean(config.method, METHODS)
    raise UserError(f"there is no method '{config.method}'.{hint} Known methods: {', '.join(METHODS)}.")
  if config.remat and config.remat is not True and config.remat not in POLICIES:
    hint = did_you_mean(config.remat, POLICIES)
    raise UserError(f"there is no remat policy '{config.remat}'.{hint} It is \"\" or one of: {', '.join(POLICIES)}.")
  return importlib.import_module(f"dfdetect_jax.methods.{config.method}").build(config)
