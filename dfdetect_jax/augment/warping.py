"""Bending clips: bilinear look-up along displacement fields, and fields that are smooth in space and in time."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float32

SHORTEST, LONGEST = 10.0, 50.0  # frames; periods of what drifts


def pixel_grid(height: int, width: int) -> Float32[Array, "{height} {width} 2"]:
  """Centres of the pixels `[H, W, 2]` as x, y in units of the frame's sides.

  >>> pixel_grid(1, 2).tolist()
  [[[0.25, 0.5], [0.75, 0.5]]]
  """
  y, x = np.mgrid[:height, :width] + 0.5
  return jnp.asarray(np.stack([x / width, y / height], axis=-1), jnp.float32)


def sample(clip: Float32[Array, "T H W C"], places: Float32[Array, "T H W 2"]) -> Float32[Array, "T H W C"]:
  """Looks up each frame at other places, bilinearly; beyond the frame its edge is repeated.

  Args:
    clip: float32 `[T, H, W, C]`.
    places: float32 `[T, H, W, 2]` x, y in pixels, pixel (i, j) being at (j, i).

  Returns:
    float32 `[T, H, W, C]`; whole-numbered places give the pixel itself, bit for bit.

  >>> row = jnp.array([0.0, 10.0]).reshape(1, 1, 2, 1)
  >>> sample(row, jnp.array([[[[0.5, 0.0], [7.0, 0.0]]]])).ravel().tolist()  # half-way, and beyond the edge
  [5.0, 10.0]
  """
  frames, height, width, channels = clip.shape
  limit = jnp.array([width - 1, height - 1], jnp.float32)[None, None, None]
  places = jnp.clip(places, 0.0, limit)
  low = jnp.floor(places)
  fx, fy = jnp.split(places - low, 2, axis=-1)
  x0, y0 = low[..., 0].astype(jnp.int32), low[..., 1].astype(jnp.int32)
  x1, y1 = jnp.minimum(x0 + 1, width - 1), jnp.minimum(y0 + 1, height - 1)
  flat = clip.reshape(frames, height * width, channels)

  def at(y: Array, x: Array) -> Array:
    index = (y * width + x).reshape(frames, -1, 1)
    return jnp.take_along_axis(flat, index, axis=1, mode="clip").reshape(clip.shape)

  upper, lower = (at(y, x0) * (1 - fx) + at(y, x1) * fx for y in (y0, y1))
  return upper * (1 - fy) + lower * fy


def upsample(nodes: Float32[Array, "T g g C"], height: int, width: int) -> Float32[Array, "T {height} {width} C"]:
  """Nodes `[T, g, g, C]` as a field `[T, H, W, C]`, smooth between them (cubic)."""
  return jax.image.resize(nodes, (nodes.shape[0], height, width, nodes.shape[3]), "cubic")


def wave(
  rates: Float32[Array, " 2 *entries"], phases: Float32[Array, " 2 *entries"], frames: int
) -> Float32[Array, " {frames} *entries"]:
  """Smooth motion: mean of two sines of time, each entry by its own.

      d_t = ½ Σ_k sin(2π(t/P_k + φ_k)),  P_k in [10, 50] frames

  Args:
    rates, phases: draws `[2, …]` from [0, 1), of 1/P between its bounds, and of φ.
    frames: T.

  Returns:
    float32 `[T, …]` in [-1, 1], second differences at most (2π/10)².

  >>> [round(x, 2) for x in wave(jnp.ones(2), jnp.full(2, 0.25), 11).tolist()]  # a period of 10 frames, from its crest
  [1.0, 0.81, 0.31, -0.31, -0.81, -1.0, -0.81, -0.31, 0.31, 0.81, 1.0]
  """
  rates = 1 / LONGEST + (1 / SHORTEST - 1 / LONGEST) * rates
  time = jnp.arange(frames, dtype=jnp.float32).reshape(1, frames, *(1 for _ in rates.shape[1:]))
  return jnp.mean(jnp.sin(2 * np.pi * (time * rates[:, None] + phases[:, None])), axis=0)
