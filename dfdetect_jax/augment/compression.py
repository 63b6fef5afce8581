"""What becomes of a clip on its way through other people's programs: coded in blocks, resized, its colours changed.

Deterministic functions of a clip and its parameters, all frames alike.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float32, Real

from dfdetect_jax.augment.photometric import LUMA

# JPEG, ITU-T T.81 Annex K: quantisation tables for luminance and chrominance.
_LUMINANCE = np.array(
  [16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51,
   87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92, 49, 64, 78, 87, 103, 121, 120, 101,
   72, 92, 95, 98, 112, 100, 103, 99]
).reshape(8, 8)  # fmt: skip
_CHROMINANCE = np.full((8, 8), 99)
_CHROMINANCE[:4, :4] = [[17, 18, 24, 47], [18, 21, 26, 66], [24, 26, 56, 99], [47, 66, 99, 99]]
_TABLES = np.stack([_LUMINANCE, _CHROMINANCE, _CHROMINANCE], axis=-1).astype(np.float32)
_TO_YCC = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]], np.float32)
_TO_RGB = np.linalg.inv(_TO_YCC.astype(np.float64)).astype(np.float32)
_k, _n = np.mgrid[:8, :8]
_DCT = (np.cos(np.pi * (2 * _n + 1) * _k / 16) * np.where(_k == 0, np.sqrt(1 / 8), 0.5)).astype(np.float32)


def jpeg(clip: Float32[Array, "T H W 3"], quality: Real[Array, ""] | float) -> Float32[Array, "T H W 3"]:
  """Rounds the coefficients of 8×8 blocks as JPEG does, chroma not subsampled (what a codec's intra frames lose).

  Args:
    clip: float32 `[T, H, W, 3]` on the 0-255 scale.
    quality: IJG's, in [1, 100]; scalar.

  Returns:
    The same shape and scale, not rounded to whole numbers.

  >>> flat = jnp.full((1, 8, 8, 3), 228.0)  # above 128 by 100: a coefficient of 800, at quality 50 in steps of 16
  >>> round(jpeg(flat + 0.9, 50.0).max().item(), 2)  # 807 is nearer to 800 than to 816
  228.0
  """
  frames, height, width, _ = clip.shape
  padded = jnp.pad(clip, ((0, 0), (0, -height % 8), (0, -width % 8), (0, 0)), mode="edge")
  rows, columns = padded.shape[1] // 8, padded.shape[2] // 8
  # Planes, so that a block's row is eight numbers side by side and its column eight rows: small dense products.
  red, green, blue = (padded[..., i] for i in range(3))
  planes = jnp.stack([float(r) * red + float(g) * green + float(b) * blue for r, g, b in _TO_YCC])
  planes = planes - jnp.array([128.0, 0, 0])[:, None, None, None]
  dct = jnp.asarray(_DCT)
  by_row = jnp.einsum("la,na->nl", dct, planes.reshape(-1, 8))
  blocks = jnp.einsum("ka,nav->nkv", dct, by_row.reshape(-1, 8, 8 * columns)).reshape(3, frames, rows, 8, columns, 8)
  scale = jnp.where(quality < 50, 5000 / quality, 200 - 2 * quality)
  step = jnp.clip(jnp.floor((np.moveaxis(_TABLES, -1, 0) * scale + 50) / 100), 1, 255)[:, None, None, :, None]
  blocks = jnp.round(blocks / step) * step
  by_row = jnp.einsum("ak,nav->nkv", dct, blocks.reshape(-1, 8, 8 * columns))
  planes = jnp.einsum("al,na->nl", dct, by_row.reshape(-1, 8)).reshape(planes.shape)
  y, cb, cr = planes + jnp.array([128.0, 0, 0])[:, None, None, None]
  rgb = jnp.stack([float(a) * y + float(b) * cb + float(c) * cr for a, b, c in _TO_RGB], axis=-1)
  return jnp.clip(rgb[:, :height, :width], 0.0, 255.0)


def resample(clip: Float32[Array, "T H W C"], scale: Real[Array, ""] | float) -> Float32[Array, "T H W C"]:
  """Shrinks every frame to `scale` of its size with a triangle filter, and enlarges it back, bilinearly.

  Args:
    clip: float32 `[T, H, W, C]`.
    scale: in (0, 1]; scalar; 1 changes nothing (beyond rounding).

  >>> clip = jnp.arange(4, dtype=jnp.float32).reshape(1, 1, 4, 1)
  >>> resample(clip, 1.0).ravel().tolist()
  [0.0, 1.0, 2.0, 3.0]
  """
  down_up = lambda n: _enlarge(n, n * scale) @ _shrink(n, n * scale)  # noqa: E731
  return jnp.einsum("ih,jw,thwc->tijc", down_up(clip.shape[1]), down_up(clip.shape[2]), clip)


def _shrink(size: int, small: Array | float) -> Array:
  """Weights `[size, size]` from pixels to the first `small` samples (a real number of them)."""
  pixels, samples = (jnp.arange(size, dtype=jnp.float32) + 0.5,) * 2
  distance = jnp.abs(samples[:, None] - pixels[None] * (small / size))
  weights = jnp.maximum(1 - distance, 0)
  return weights / jnp.maximum(jnp.sum(weights, axis=1, keepdims=True), 1e-6)


def _enlarge(size: int, small: Array | float) -> Array:
  """Weights `[size, size]` from the first `small` samples back to pixels."""
  pixels, samples = (jnp.arange(size, dtype=jnp.float32) + 0.5,) * 2
  distance = jnp.abs(samples[None] - pixels[:, None] * (small / size))
  weights = jnp.where(samples[None] < small + 0.5, jnp.maximum(1 - distance, 0), 0)
  return weights / jnp.sum(weights, axis=1, keepdims=True)


def sharpen(clip: Float32[Array, "T H W C"], amount: Real[Array, ""] | float) -> Float32[Array, "T H W C"]:
  """x + a·(x - x̄), x̄ the 3×3 binomial average; a in [-1, 0) blurs, 0 changes nothing, a > 0 sharpens; scalar.

  >>> row = jnp.array([0.0, 0, 4, 4], jnp.float32).reshape(1, 1, 4, 1)
  >>> sharpen(row, -1.0).ravel().tolist()  # by ¼, ½, ¼
  [0.0, 1.0, 3.0, 4.0]
  """
  blurred = clip
  for axis in (1, 2):
    padded = jnp.pad(blurred, [(1, 1) if a == axis else (0, 0) for a in range(4)], mode="edge")
    taps = [jax.lax.slice_in_dim(padded, i, i + clip.shape[axis], axis=axis) for i in range(3)]
    blurred = 0.25 * taps[0] + 0.5 * taps[1] + 0.25 * taps[2]
  return jnp.clip(clip + amount * (clip - blurred), 0.0, 255.0)


def recolor(
  clip: Float32[Array, "T H W 3"],
  gain: Float32[Array, "3"],
  offset: Float32[Array, "3"],
  gamma: Real[Array, ""] | float,
  saturation: Real[Array, ""] | float,
) -> Float32[Array, "T H W 3"]:
  """(g + s·(x - g))^γ with x = gain·clip + offset on the 0-1 scale, g its luma.

  Args:
    clip: float32 `[T, H, W, 3]` on the 0-255 scale.
    gain, offset: by channel `[3]`, offset on the 0-255 scale.
    gamma, saturation: scalars.

  >>> red = jnp.array([100.0, 0, 0]).reshape(1, 1, 1, 3)
  >>> ones, zeros = jnp.ones(3), jnp.zeros(3)
  >>> [round(x, 3) for x in recolor(red, 2 * ones, 10 * ones, 1.0, 1.0).ravel().tolist()]
  [210.0, 10.0, 10.0]
  >>> [round(x, 3) for x in recolor(red, ones, zeros, 1.0, 0.0).ravel().tolist()]  # its luma, 0.299 · 100
  [29.9, 29.9, 29.9]
  """
  x = clip * gain[None, None, None] + offset[None, None, None]
  grey = jnp.sum(x * jnp.array(LUMA)[None, None, None], axis=-1, keepdims=True)
  x = jnp.clip(grey + saturation * (x - grey), 0.0, 255.0)
  # x^γ as an XLA power costs six times as much on a CPU.
  return 255.0 * jnp.exp(gamma * jnp.log(jnp.maximum(x / 255.0, 1e-30)))
