"""DIP: Diffusion Learning of Inconsistency Pattern for General DeepFake Detection (Nie et al., TMM 2025)."""

import dataclasses

import jax.numpy as jnp
import ml_collections

from dfdetect_jax.errors import UserError, check_one_of, unknown
from dfdetect_jax.methods.dip import diffusion, model, objective, starts
from dfdetect_jax.methods.dip.weights import weight_tables
from dfdetect_jax.methods.method import ClipSpec

__all__ = ["build", "weight_tables"]


def build(config: ml_collections.ConfigDict) -> objective.DipMethod:
  """Builds DIP from `config.model` (`size`, `temporal_init`, any field of `model.DIP`), `.objective` and `.clips`.

  Raises:
    UserError: the settings contradict each other.
  """
  settings = dict(config.model)
  size = settings.pop("size")
  if size not in model.SIZES:
    raise unknown("size", size, model.SIZES, "DIP: ")
  settings = {**model.SIZES[size], **settings}
  spec = ClipSpec(example="triplet", **config.clips)
  if spec.size % settings["patch"]:
    raise UserError(f"DIP: clips of {spec.size} px cannot be cut into patches of {settings['patch']} px.")
  for name, choices in (
    ("pooling", ("mean", "max")),
    ("diffusion_path", (*diffusion.PATHS, "auto")),
    ("density", diffusion.DENSITIES),
    ("feature_scale", diffusion.FEATURE_SCALES),
    ("temporal_init", tuple(starts.STARTS)),
  ):
    check_one_of(f"model.{name}", settings.get(name, choices[0]), choices, "DIP: ")
  if settings["k_n"] < 1 or settings["k_n"] % 2 == 0:
    raise UserError(f"DIP: model.k_n is {settings['k_n']}, it must be odd: a node and as many neighbours on each side.")
  for name, least in (("t", 1), ("units", 1), ("spatial", 0), ("temporal", 0), ("layers", 1)):
    if settings[name] < least:
      raise UserError(f"DIP: model.{name} is {settings[name]}, it must be at least {least}.")
  start = starts.STARTS[settings.pop("temporal_init", "zero")]
  dip = model.DIP(**settings, remat=config.remat, dtype=jnp.dtype(config.dtype))
  # Runs made before augmentation was the pipeline's had it here; none of it matters to what they are.
  own = {f.name for f in dataclasses.fields(objective.DipMethod)}
  weights = {name: value for name, value in config.objective.items() if name in own}
  return objective.DipMethod(model=dip, clip_spec=spec, start=start, **weights)
