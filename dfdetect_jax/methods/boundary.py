"""A second head, in training alone: it finds on a model's last map where the faces of self-made forgeries are blended.

Its parameters lie beside the model's, as `boundary`; the model, what it is evaluated with, and the names of its own
weights know nothing of it.

Reference: the map is that of Li et al., Face X-ray for More General Face Forgery Detection, CVPR 2020, Eq. 2.
"""

from collections.abc import Mapping, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Float32, Key, Shaped

from dfdetect_jax.augment.forged_batch import BOUNDARY, UNKNOWN
from dfdetect_jax.errors import UserError

NAME = BOUNDARY  # of its parameters among the model's; that of its target in a batch


def init(
  key: Key[Array, ""], outputs: Mapping[str, Shaped[Array, "..."]], clip: Sequence[int], model: str
) -> dict[str, Array]:
  """Parameters of the head: `kernel` `[C, 1]`, `bias` `[1]`.

  Args:
    key: random key.
    outputs: the model's.
    clip: shape of one training clip.
    model: name of the model, for the message.

  Raises:
    UserError: the model gives no map that the head could be put on.
  """
  features = outputs.get("feature_map")
  if features is None or features.ndim not in (4, len(clip) + 1):
    shape = "it has none" if features is None else f"here it has the shape {list(features.shape)}"
    raise UserError(
      f"config.boundary_weight puts a second head on the output feature_map of a model, [B, h, w, C] or one for each "
      f"frame, [B, (U,) T, h, w, C]; {model} does not give that ({shape}). Set config.boundary_weight=0, or take a "
      "detector that does: ST-ILIF, DIL, the baselines on ResNet, Xception, I3D and MobileNetV2."
    )
  kernel = nn.initializers.lecun_normal()(key, (features.shape[-1], 1), jnp.float32)
  return {"kernel": kernel, "bias": jnp.zeros(1)}


def loss(
  params: Mapping[str, Array],
  feature_map: Float32[Array, " B *map"],
  boundary: Float32[Array, "B *U T H W"],
) -> Float32[Array, ""]:
  """Mean cross-entropy of the head's map against the true one, over the clips whose true one is known.

      z = w·f + b;   b̄ = mean of 4m(1 − m) over the pixels and frames that a place of f stands for
      L = mean over clips and places of −b̄ log σ(z) − (1 − b̄) log(1 − σ(z));   0 where none is known

  Args:
    params: of the head.
    feature_map: f `[B, h, w, C]` or `[B, (U,) t, h, w, C]`.
    boundary: 4m(1 − m) `[B, (U,) T, H, W]`, augmented as the clips are; negative in all of a clip of which it is not
      known.
  """
  logit = feature_map @ params["kernel"][:, 0] + params["bias"][0]
  times = (1,) * (boundary.ndim - 3) if logit.ndim == 3 else logit.shape[1:-2]
  target = area_mean(boundary, (*times, *logit.shape[-2:])).reshape(logit.shape)
  each = jnp.mean(optax.sigmoid_binary_cross_entropy(logit, target), axis=tuple(range(1, logit.ndim)))
  known = boundary.reshape(len(boundary), -1)[:, 0] > UNKNOWN / 2
  return jnp.sum(each, where=known) / jnp.maximum(jnp.sum(known, dtype=jnp.float32), 1.0)


def area_mean(maps: Float[Array, " B *sizes"], sizes: Sequence[int]) -> Float[Array, " B *_"]:
  """Makes maps smaller, each new place the mean of the area that it covers; sizes need not divide each other.

  Args:
    maps: `[B, …]`.
    sizes: of all axes but the first.

  >>> area_mean(jnp.array([[[0.0, 3.0, 6.0]]]), (1, 2)).tolist()  # (1·0 + ½·3) / 1½
  [[[1.0, 5.0]]]
  """
  for axis, size in enumerate(sizes, start=1):
    old = maps.shape[axis]
    ends = np.arange(size + 1)[:, None] * old / size
    pixel = np.arange(old)
    covered = np.clip(np.minimum(pixel + 1, ends[1:]) - np.maximum(pixel, ends[:-1]), 0, None)
    weights = jnp.asarray(covered * size / old, maps.dtype)
    mean = jnp.tensordot(maps, weights, axes=(axis, 1), precision=jax.lax.Precision.HIGHEST)
    maps = jnp.moveaxis(mean, -1, axis)
  return maps
