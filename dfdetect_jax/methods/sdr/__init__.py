"""SDR: Reduced Spatial Dependency for More General Video-level Deepfake Detection (ICASSP 2025)."""

import ml_collections

from dfdetect_jax.augment import tpa
from dfdetect_jax.errors import UserError
from dfdetect_jax.methods import ftcn
from dfdetect_jax.methods.method import Method
from dfdetect_jax.methods.sdr import model, objective
from dfdetect_jax.methods.sdr.weights import weight_tables

__all__ = ["build", "weight_tables"]


def build(config: ml_collections.ConfigDict) -> Method:
  """Builds SDR from `config.model` (`size`, `trfi`, and any field of `model.SDR`), `config.objective`, `config.clips`.

  Without TRFI there is nothing to integrate: one branch on the clip as it is, FTCN (§III-C).

  Raises:
    UserError: the settings contradict each other.
  """
  spec = ftcn.clip_spec(config)
  settings = ftcn.model_settings(config, model.SIZES)
  branches = settings["branches"]
  if not 1 <= branches <= 6:
    raise UserError(f"SDR: model.branches is {branches}, it must be 1 to 6.")
  if not settings.pop("trfi"):
    for name in ("branches", "shared", "bottleneck"):
      del settings[name]
    return Method(model=ftcn.model.FTCN(frames=spec.frames, **settings), clip_spec=spec)
  redrawn = config.objective.get("redrawn", tpa.SPATIAL)
  if not set(redrawn) <= set(tpa.VIEWS):
    raise UserError(f"SDR: objective.redrawn is {redrawn}; its names must be among {', '.join(tpa.VIEWS)}.")
  return objective.SdrMethod(model=model.SDR(frames=spec.frames, **settings), clip_spec=spec, **config.objective)
