"""The input normalisation that ImageNet-trained networks expect."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float32, Real

MEAN = np.array([0.485, 0.456, 0.406], np.float32)
STD = np.array([0.229, 0.224, 0.225], np.float32)


def normalize(images: Real[Array, "*batch 3"]) -> Float32[Array, "*batch 3"]:
  """(x / 255 − mean) / std per colour channel.

  Args:
    images: RGB `[..., 3]`, uint8 or float on the 0-255 scale.

  Returns:
    Float32 of the same shape.
  """
  axes = (1,) * (images.ndim - 1)
  return (images.astype(jnp.float32) - 255 * MEAN.reshape(*axes, 3)) / (255 * STD.reshape(*axes, 3))
