"""Random cutout: a black square, at the same place in all frames of a clip (DeVries & Taylor, 2017)."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key, Real


def random_cutout(
  key: Key[Array, ""], clips: Real[Array, "B T H W C"], side: tuple[float, float] = (0.1, 0.4)
) -> Real[Array, "B T H W C"]:
  """Blackens a square that lies wholly within the frame.

  Args:
    key: random key.
    clips: `[B, T, H, W, C]`, any dtype.
    side: smallest and largest side of the square as a share of the frame's, drawn uniformly per clip; the place is
      uniform too.

  Returns:
    Clips of the same shape and dtype.

  >>> clip = jnp.ones((1, 1, 4, 4, 1), jnp.uint8)
  >>> int(random_cutout(jax.random.key(0), clip, (0.0, 0.0)).sum())  # no square
  16
  >>> int(random_cutout(jax.random.key(0), clip, (1.0, 1.0)).sum())  # as large as the frame
  0
  """
  batch, _, height, width, _ = clips.shape
  side_key, place_key = jax.random.split(key)
  share = jax.random.uniform(side_key, (batch, 1), minval=side[0], maxval=side[1])
  place = jax.random.uniform(place_key, (2, batch, 1)) * (1 - share)[None]

  def inside(start: Array, length: int) -> Array:
    centre = (jnp.arange(length, dtype=jnp.float32)[None] + 0.5) / length
    return (centre >= start) & (centre < start + share)

  square = inside(place[0], height)[:, None, :, None, None] & inside(place[1], width)[:, None, None, :, None]
  return jnp.where(square, jnp.zeros((), clips.dtype), clips)
