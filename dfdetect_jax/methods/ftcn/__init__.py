"""FTCN: Exploring Temporal Coherence for More General Video Face Forgery Detection (Zheng et al., ICCV 2021).

Its objective is the plain one, binary cross-entropy of one clip, flipped at random (decision).
"""

import jax.numpy as jnp
import ml_collections

from dfdetect_jax.errors import UserError, check_one_of
from dfdetect_jax.layers.temporal_conv import FORMS
from dfdetect_jax.methods.ftcn import model
from dfdetect_jax.methods.ftcn.weights import weight_tables
from dfdetect_jax.methods.method import ClipSpec, Method

__all__ = ["build", "weight_tables"]


def build(config: ml_collections.ConfigDict) -> Method:
  """Builds FTCN from `config.model` (`size`, and any field of `model.FTCN`) and `config.clips`.

  Raises:
    UserError: the settings contradict each other.
  """
  spec = clip_spec(config)
  settings = model_settings(config, model.SIZES)
  return Method(model=model.FTCN(frames=spec.frames, **settings), clip_spec=spec)


def clip_spec(config: ml_collections.ConfigDict) -> ClipSpec:
  """The clips of `config.clips`, checked against what FTCN takes; also SDR's."""
  spec = ClipSpec(**config.clips)
  if spec.snippets or spec.test_snippets:
    raise UserError(f"{config.method} has no snippets: clips.snippets is {spec.snippets or spec.test_snippets}.")
  model.check_clips(spec.shape(train=True), spec.frames)
  return spec


def model_settings(config: ml_collections.ConfigDict, sizes: dict[str, dict]) -> dict:
  """The model's fields but `frames`: those of the named size, then those that the config sets; also SDR's."""
  settings = dict(config.model)
  size = settings.pop("size")
  check_one_of("model.size", size, sizes, f"{config.method}: ")
  check_one_of("model.form", settings["form"], FORMS, f"{config.method}: ")
  return {**sizes[size], **settings, "remat": config.remat, "dtype": jnp.dtype(config.dtype)}
