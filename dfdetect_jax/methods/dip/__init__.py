"""DIP: Diffusion Learning of Inconsistency Pattern for General DeepFake Detection (Nie et al., TMM 2025)."""

import jax.numpy as jnp
import ml_collections

from dfdetect_jax.errors import UserError
from dfdetect_jax.methods.dip import diffusion, model, objective
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
  for name, choices in (("pooling", ("mean", "max")), ("diffusion_path", diffusion.PATHS)):
    if settings[name] not in choices:
      raise UserError(f"DIP: model.{name} is '{settings[name]}', it must be one of {', '.join(choices)}.")
  return objective.DipMethod(
    model=model.DIP(**settings, remat=config.remat, dtype=jnp.dtype(config.dtype)), clip_spec=spec, **config.objective
  )
