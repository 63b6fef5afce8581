"""DIP: Diffusion Learning of Inconsistency Pattern for General DeepFake Detection (Nie et al., TMM 2025)."""

import jax.numpy as jnp
import ml_collections

from dfdetect_jax.errors import UserError
from dfdetect_jax.methods.dip import diffusion, encoder, model, objective
from dfdetect_jax.methods.method import ClipSpec


def build(config: ml_collections.ConfigDict) -> objective.DipMethod:
  """Builds DIP from `config.model` (`size`, and any field of `model.DIP`), `config.objective` and `config.clips`.

  Raises:
    UserError: the settings contradict each other.
  """
  settings = dict(config.model)
  size = settings.pop("size")
  if size not in model.SIZES:
    raise UserError(f"DIP: there is no size '{size}'; sizes are {', '.join(model.SIZES)}.")
  settings = {**model.SIZES[size], **settings}
  spec = ClipSpec(example="triplet", **config.clips)
  if spec.size % settings["patch"]:
    raise UserError(f"DIP: clips of {spec.size} px cannot be cut into patches of {settings['patch']} px.")
  for name, choices in (
    ("pooling", ("mean", "max")),
    ("diffusion_path", diffusion.PATHS),
    ("temporal_init", tuple(encoder.TEMPORAL_INITS)),
  ):
    if settings[name] not in choices:
      raise UserError(f"DIP: model.{name} is '{settings[name]}', it must be one of {', '.join(choices)}.")
  if settings["k_n"] < 1 or settings["k_n"] % 2 == 0:
    raise UserError(f"DIP: model.k_n is {settings['k_n']}, it must be odd: a node and as many neighbours on each side.")
  for name, least in (("t", 1), ("units", 1), ("spatial", 0), ("temporal", 0), ("layers", 1)):
    if settings[name] < least:
      raise UserError(f"DIP: model.{name} is {settings[name]}, it must be at least {least}.")
  for name in ("probability", "temporal_rate"):
    if not 0 <= config.objective[name] <= 1:
      raise UserError(f"DIP: objective.{name} is {config.objective[name]}, it must lie in [0, 1].")
  return objective.DipMethod(
    model=model.DIP(**settings, remat=config.remat, dtype=jnp.dtype(config.dtype)), clip_spec=spec, **config.objective
  )
