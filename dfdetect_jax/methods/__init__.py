"""The detectors, one folder per paper. `build` is the only thing that knows their names."""

import difflib
import importlib

import ml_collections

from dfdetect_jax.errors import UserError
from dfdetect_jax.methods.method import ClipSpec, Method

METHODS = ("dip", "st_ilif", "ftcn", "sdr", "dil", "baselines")

__all__ = ["METHODS", "ClipSpec", "Method", "build"]


def build(config: ml_collections.ConfigDict) -> Method:
  """Builds the method that `config.method` names from the model and objective settings in the config.

  Raises:
    UserError: no method has that name, or its settings contradict each other.
  """
  if config.method not in METHODS:
    close = difflib.get_close_matches(config.method, METHODS, n=1)
    hint = f" Did you mean '{close[0]}'?" if close else ""
    raise UserError(f"there is no method '{config.method}'.{hint} Known methods: {', '.join(METHODS)}.")
  return importlib.import_module(f"dfdetect_jax.methods.{config.method}").build(config)
