"""Horizontal flip."""

import jax


def mirror(key: jax.Array, clips: jax.Array, unused: tuple[float, float] = (0.0, 0.0)) -> jax.Array:
  """Every clip `[..., W, C]` left to right. It draws nothing: the pipeline's probability says which ones."""
  del key, unused
  return clips[..., ::-1, :]
