"""ST-ILIF: spatiotemporal inconsistency learning and interactive fusion (Zhang et al., ACM TOMM 2024).

Its objective is the plain one, binary cross-entropy (§5.2, Eq. 12), on clips that are flipped at random.
"""

import jax.numpy as jnp
import ml_collections

from dfdetect_jax.errors import check_one_of
from dfdetect_jax.methods.method import ClipSpec, Method
from dfdetect_jax.methods.st_ilif import model, phase, tdm
from dfdetect_jax.methods.st_ilif.weights import weight_tables

__all__ = ["build", "weight_tables"]


def build(config: ml_collections.ConfigDict) -> Method:
  """Builds ST-ILIF from `config.model` (`size`, and any field of `model.STILIF`) and `config.clips`.

  Raises:
    UserError: the settings contradict each other.
  """
  settings = dict(config.model)
  size = settings.pop("size")
  for name, value, choices in (
    ("size", size, model.SIZES),
    ("stream", settings["stream"], model.STREAMS),
    ("reconstruction", settings["reconstruction"], phase.RECONSTRUCTIONS),
    ("recurrence", settings["recurrence"], tdm.RECURRENCES),
  ):
    check_one_of(f"model.{name}", value, choices, "ST-ILIF: ")
  spec = ClipSpec(**config.clips)
  model.check_clip_shape(spec.shape(train=True))
  settings = {**model.SIZES[size], **settings, "remat": config.remat, "dtype": jnp.dtype(config.dtype)}
  return Method(model=model.STILIF(**settings), clip_spec=spec)
