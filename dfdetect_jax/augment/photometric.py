"""Clip-consistent spatial augmentation: one strength per clip, the same for all of its frames.

All functions take a key and float32 clips `[B, T, H, W, 3]` on the 0-255 scale and return the same shape and scale.
"""

import math
from typing import cast

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float32, Key

# ITU-R BT.601 luma, the weights of Pillow's and OpenCV's greyscale.
LUMA = (0.299, 0.587, 0.114)


def gaussian_blur(
  key: Key[Array, ""], clips: Float32[Array, "B T H W 3"], sigma: tuple[float, float]
) -> Float32[Array, "B T H W 3"]:
  """Blurs each clip with a Gaussian whose σ is drawn uniformly per clip; edges are repeated.

  Args:
    sigma: smallest and largest σ in pixels, positive; the kernel reaches three times the largest.
  """
  radius = math.ceil(3 * sigma[1])
  s = jax.random.uniform(key, (clips.shape[0], 1), minval=sigma[0], maxval=sigma[1])
  offset = jnp.arange(-radius, radius + 1, dtype=jnp.float32)[None]
  kernel = jnp.exp(-0.5 * (offset / s) ** 2)
  kernel = kernel / jnp.sum(kernel, axis=1, keepdims=True)
  for axis in (2, 3):
    padding = [(radius, radius) if a == axis else (0, 0) for a in range(5)]
    padded = jnp.pad(clips, padding, mode="edge")
    taps = [jax.lax.slice_in_dim(padded, i, i + clips.shape[axis], axis=axis) for i in range(2 * radius + 1)]
    weighted = (kernel[:, i][:, None, None, None, None] * tap for i, tap in enumerate(taps))
    clips = cast(Array, sum(weighted))  # of one tap at least
  return clips


def saturation(
  key: Key[Array, ""], clips: Float32[Array, "B T H W 3"], factor: tuple[float, float]
) -> Float32[Array, "B T H W 3"]:
  """Moves each clip towards (factor < 1) or away from (> 1) its greyscale, the factor drawn uniformly per clip.

  >>> red = jnp.array([100.0, 0, 0]).reshape(1, 1, 1, 1, 3)
  >>> [round(x, 3) for x in saturation(jax.random.key(0), red, (0.0, 0.0)).ravel().tolist()]  # its luma, 0.299 · 100
  [29.9, 29.9, 29.9]
  """
  f = jax.random.uniform(key, (clips.shape[0], 1, 1, 1, 1), minval=factor[0], maxval=factor[1])
  grey = jnp.sum(clips * jnp.array(LUMA)[None, None, None, None], axis=-1, keepdims=True)
  return jnp.clip(grey + f * (clips - grey), 0.0, 255.0)


def gaussian_noise(
  key: Key[Array, ""], clips: Float32[Array, "B T H W 3"], sigma: tuple[float, float]
) -> Float32[Array, "B T H W 3"]:
  """Adds independent Gaussian noise to every value, its σ (on the 0-255 scale) drawn uniformly per clip."""
  sigma_key, noise_key = jax.random.split(key)
  s = jax.random.uniform(sigma_key, (clips.shape[0], 1, 1, 1, 1), minval=sigma[0], maxval=sigma[1])
  return jnp.clip(clips + s * jax.random.normal(noise_key, clips.shape), 0.0, 255.0)
