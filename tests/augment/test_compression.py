"""Compression-like changes against Pillow's JPEG and SciPy, and their neutral settings."""

import io
import itertools

import jax
import numpy as np
import pytest
import scipy.fft
from PIL import Image

from dfdetect_jax.augment import compression


@pytest.fixture(scope="module")
def clip():
  """Two smooth frames with some texture, 20 × 28 pixels: sides that 8 does not divide."""
  y, x = np.mgrid[:20, :28]
  rng = np.random.default_rng(0)
  waves = [128 + 60 * np.sin(0.3 * x + c) * np.cos(0.2 * y - t) for t in range(2) for c in range(3)]
  frames = np.stack(waves).reshape(2, 3, 20, 28).transpose(0, 2, 3, 1) + rng.normal(0, 6, (2, 20, 28, 3))
  return np.clip(np.round(frames), 0, 255).astype(np.float32)


@pytest.mark.parametrize("quality", [30, 75])
def test_jpeg_is_pillows(clip, quality):
  """Guards tables, colour matrix and quality scale: libjpeg at 4:4:4 loses the same, but for its integer arithmetic."""
  clip = clip[:, :16, :24]
  found = np.asarray(jax.jit(compression.jpeg)(clip, np.float32(quality)))
  for frame, coded in zip(clip, found, strict=True):
    file = io.BytesIO()
    Image.fromarray(frame.astype(np.uint8)).save(file, "JPEG", quality=quality, subsampling=0)
    wanted = np.asarray(Image.open(file), np.float64)
    assert np.abs(wanted - coded).mean() < 0.25 * np.abs(wanted - frame).mean()


def test_jpeg_is_scipys_cosine_transform(clip):
  """Guards block order and the sides that 8 does not divide: SciPy's DCT of every block of the edge-padded frame."""
  found = np.asarray(jax.jit(compression.jpeg)(clip, np.float32(50)))
  padded = np.pad(clip.astype(np.float64), ((0, 0), (0, 4), (0, 4), (0, 0)), mode="edge")
  ycc = padded @ compression._TO_YCC.astype(np.float64).T - [128, 0, 0]
  for t, i, j, c in itertools.product(range(2), range(0, 24, 8), range(0, 32, 8), range(3)):
    block = (t, slice(i, i + 8), slice(j, j + 8), c)
    step = compression._TABLES[..., c]
    ycc[block] = scipy.fft.idctn(np.round(scipy.fft.dctn(ycc[block], norm="ortho") / step) * step, norm="ortho")
  wanted = (ycc + [128, 0, 0]) @ np.linalg.inv(compression._TO_YCC.astype(np.float64)).T
  np.testing.assert_allclose(found, np.clip(wanted, 0, 255)[:, :20, :28], atol=0.01)


def test_resampling_at_half_size_is_the_triangle_filters(clip):
  """Guards both directions of the resampling against an explicit loop over samples and pixels."""
  found = np.asarray(jax.jit(compression.resample)(clip, np.float32(0.5)))

  def matrix(size):
    small = size // 2
    down = np.array([[max(0.0, 1 - abs(j + 0.5 - (i + 0.5) / 2)) for i in range(size)] for j in range(small)])
    up = np.array([[max(0.0, 1 - abs(j + 0.5 - (i + 0.5) / 2)) for j in range(small)] for i in range(size)])
    return (up / up.sum(1, keepdims=True)) @ (down / down.sum(1, keepdims=True))

  wanted = np.einsum("ih,jw,thwc->tijc", matrix(20), matrix(28), clip.astype(np.float64))
  np.testing.assert_allclose(found, wanted, atol=2e-3)


def test_neutral_settings_change_nothing(clip):
  """Guards strength zero, and constants: no resampling or coding moves a uniform clip."""
  one, zero, ones = np.float32(1), np.float32(0), np.ones(3, np.float32)
  resample, sharpen = jax.jit(compression.resample), jax.jit(compression.sharpen)
  np.testing.assert_allclose(resample(clip, one), clip, atol=2e-3)
  np.testing.assert_allclose(sharpen(clip, zero), clip, atol=1e-4)
  np.testing.assert_allclose(jax.jit(compression.recolor)(clip, ones, 0 * ones, one, one), clip, atol=2e-3)
  grey = np.full_like(clip, 77)
  for scale in (0.37, 0.5, 0.81):
    np.testing.assert_allclose(resample(grey, np.float32(scale)), grey, atol=1e-3)
  np.testing.assert_allclose(sharpen(grey, one), grey, atol=1e-4)
