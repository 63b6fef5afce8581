"""Random brightness, contrast and saturation, the same for all frames of a clip."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float32, Key, Real

from dfdetect_jax.augment.photometric import LUMA


def color_jitter(
  key: Key[Array, ""], clips: Real[Array, "B T H W 3"], factor: tuple[float, float] = (0.6, 1.4)
) -> Float32[Array, "B T H W 3"]:
  """x₁ = b·x;  x₂ = ḡ + c·(x₁ − ḡ);  x₃ = g + s·(x₂ − g), each limited to [0, 255].

  The factors b, c, s are drawn uniformly per clip. g is x₂'s luma; ḡ is x₁'s,
  averaged over the whole clip: with a mean for each frame, frames would undergo different transforms.

  Args:
    key: random key.
    clips: `[B, T, H, W, 3]`, on the 0-255 scale.
    factor: smallest and largest factor, at least 0.

  Returns:
    Float32 clips of the same shape and scale.

  >>> grey = jnp.full((1, 2, 1, 1, 3), 100.0)
  >>> [round(x, 3) for x in color_jitter(jax.random.key(0), grey, (0.5, 0.5)).ravel().tolist()]  # half as bright
  [50.0, 50.0, 50.0, 50.0, 50.0, 50.0]
  """
  factors = jax.random.uniform(key, (3, clips.shape[0], 1, 1, 1, 1), minval=factor[0], maxval=factor[1])
  brightness, contrast, saturation = factors
  clips = jnp.clip(brightness * clips.astype(jnp.float32), 0.0, 255.0)
  mean = jnp.mean(_luma(clips), axis=(1, 2, 3), keepdims=True)
  clips = jnp.clip(mean + contrast * (clips - mean), 0.0, 255.0)
  grey = _luma(clips)
  return jnp.clip(grey + saturation * (clips - grey), 0.0, 255.0)


def _luma(clips: Array) -> Array:
  """Greyscale `[B, T, H, W, 1]`."""
  return jnp.sum(clips * jnp.array(LUMA)[None, None, None, None], axis=-1, keepdims=True)
