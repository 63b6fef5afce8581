"""DIL: Gu et al., "Delving into the Local: Dynamic Inconsistency Learning for DeepFake Video Detection", AAAI 2022.

Its objective is the plain one, binary cross-entropy on the video's logit; horizontal flip is the only augmentation
("Implementation Details").
"""

import jax.numpy as jnp
import ml_collections

from dfdetect_jax.errors import UserError, check_one_of, unknown
from dfdetect_jax.methods.dil import model
from dfdetect_jax.methods.dil.difference import second_difference
from dfdetect_jax.methods.dil.weights import weight_tables
from dfdetect_jax.methods.method import ClipSpec, Method

__all__ = ["build", "weight_tables"]

# How training starts: `image`, for ImageNet's weights, or as a second difference over time, for starting from nothing.
TEMPORAL_INITS = ("image", "difference")


def build(config: ml_collections.ConfigDict) -> Method:
  """Builds DIL from `config.model` (`size`, `temporal_init`, any field of `model.DIL`) and `config.clips`.

  Raises:
    UserError: the settings contradict each other.
  """
  settings = dict(config.model)
  size = settings.pop("size")
  if size not in model.SIZES:
    raise unknown("size", size, model.SIZES, "DIL: ")
  settings = {**model.SIZES[size], **settings}
  spec = ClipSpec(**config.clips)
  stages = len(settings["depths"])
  if not set(settings["stages"]) <= set(range(1, stages + 1)):
    raise UserError(f"DIL: model.stages is {settings['stages']}; size '{size}' has the stages 1 to {stages}.")
  start = settings.pop("temporal_init")
  check_one_of("model.temporal_init", start, TEMPORAL_INITS, "DIL: ")
  if spec.snippets < 1 or spec.frames < 2:
    raise UserError(
      f"DIL looks at differences of the frames of a snippet: clips.snippets is {spec.snippets} and clips.frames is "
      f"{spec.frames}, they must be at least 1 and 2 (the paper has 4 and 4, and 8 snippets at test)."
    )
  if spec.size < (least := 2 ** (stages + 1)):
    raise UserError(f"DIL: size '{size}' halves frames {stages + 1} times, so clips.size must be at least {least}.")
  dil = model.DIL(**settings, frames=spec.frames, remat=config.remat, dtype=jnp.dtype(config.dtype))
  return Method(model=dil, clip_spec=spec, start=second_difference if start == "difference" else None)
