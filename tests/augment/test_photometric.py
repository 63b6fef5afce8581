"""Blur, saturation and noise: what they compute, and one strength per clip."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage

from dfdetect_jax.augment import photometric

KEY = jax.random.key(0)


def random_clips(batch=2, frames=3, height=18, width=16):
  return np.random.default_rng(0).uniform(0, 255, (batch, frames, height, width, 3)).astype(np.float32)


@pytest.mark.parametrize("sigma", [0.5, 2.0])
def test_blur_equals_scipy(sigma):
  """Guards the kernel, its reach and the repeated edges: scipy's Gaussian over height and width in float64."""
  clips = random_clips()
  blurred = photometric.gaussian_blur(KEY, jnp.asarray(clips), (sigma, sigma))
  radius = int(np.ceil(3 * sigma))
  expected = scipy.ndimage.gaussian_filter(
    clips.astype(np.float64), (0, 0, sigma, sigma, 0), mode="nearest", radius=(0, 0, radius, radius, 0)
  )
  np.testing.assert_allclose(blurred, expected, atol=1e-3)


def test_blur_draws_one_strength_per_clip():
  """Guards the draw: an impulse spreads as far in every frame of a clip, and differently in another clip, in range."""
  clips = np.zeros((4, 2, 21, 21, 3), np.float32)
  clips[:, :, 10, 10] = 255.0
  blurred = np.asarray(photometric.gaussian_blur(KEY, jnp.asarray(clips), (0.8, 2.0)))
  np.testing.assert_array_equal(blurred[:, 0], blurred[:, 1])
  np.testing.assert_allclose(blurred.sum(axis=(2, 3)), 255.0, rtol=1e-4)
  row = blurred[:, 0, :, :, 0].sum(axis=2) / 255.0
  sigma = np.sqrt((row * (np.arange(21) - 10.0) ** 2).sum(axis=1))
  assert (sigma > 0.78).all() and (sigma < 2.02).all()
  assert np.ptp(sigma) > 0.05


def test_saturation():
  """Guards factor 0 = greyscale, 1 = untouched, in between a line, luma kept; clipped to 0-255."""
  clips = jnp.asarray(0.3 * random_clips() + 90.0)
  luma = np.asarray(clips, np.float64) @ [0.299, 0.587, 0.114]
  grey, same, strong = (photometric.saturation(KEY, clips, (f, f)) for f in (0.0, 1.0, 1.5))
  np.testing.assert_allclose(grey, np.repeat(luma[..., None], 3, axis=-1), atol=1e-3)
  np.testing.assert_allclose(same, clips, atol=1e-4)
  np.testing.assert_allclose(strong, luma[..., None] + 1.5 * (clips - luma[..., None]), atol=1e-3)
  np.testing.assert_allclose(np.asarray(strong, np.float64) @ [0.299, 0.587, 0.114], luma, atol=1e-3)
  wild = photometric.saturation(KEY, jnp.asarray(random_clips()), (3.0, 3.0))
  assert wild.min() == 0.0 and wild.max() == 255.0


def test_noise_statistics():
  """Guards σ on the 0-255 scale, one per clip within its range, noise independent over frames and channels."""
  clips = jnp.full((4, 4, 40, 40, 3), 128.0)
  noise = np.asarray(photometric.gaussian_noise(KEY, clips, (2.0, 15.0))) - 128.0
  sigma = noise.std(axis=(2, 3, 4))
  # Standard error of σ from 4,800 values: 1 %.
  np.testing.assert_allclose(sigma, np.repeat(sigma.mean(axis=1, keepdims=True), 4, axis=1), rtol=0.05)
  assert (sigma.mean(axis=1) > 1.9).all() and (sigma.mean(axis=1) < 15.5).all() and np.ptp(sigma.mean(axis=1)) > 0.5
  assert np.abs(noise.mean(axis=(1, 2, 3, 4)) / sigma.mean(axis=1)).max() < 0.04
  flat = noise[0].reshape(4, -1)
  assert np.abs(np.corrcoef(flat) - np.eye(4)).max() < 0.08
  assert np.abs(np.corrcoef(noise[0].reshape(-1, 3).T) - np.eye(3)).max() < 0.08


def test_noise_is_clipped():
  """Guards the scale: black and white stay within 0-255."""
  clips = jnp.asarray(
    np.array([0.0, 255.0], np.float32)[:, None, None, None, None] * np.ones((2, 2, 8, 8, 3), np.float32)
  )
  noisy = photometric.gaussian_noise(KEY, clips, (15.0, 15.0))
  assert noisy.min() == 0.0 and noisy.max() == 255.0


@pytest.mark.parametrize(
  "augment",
  [
    lambda clips: photometric.gaussian_blur(KEY, clips, (0.5, 2.0)),
    lambda clips: photometric.saturation(KEY, clips, (0.4, 1.6)),
  ],
  ids=["blur", "saturation"],
)
def test_static_clip_stays_static(augment):
  """Guards clip consistency: a spatial augmentation must add no motion for a temporal detector to find."""
  clips = jnp.repeat(jnp.asarray(random_clips(frames=1)), 4, axis=1)
  out = np.asarray(augment(clips))
  np.testing.assert_array_equal(out, np.repeat(out[:, :1], 4, axis=1))
  assert np.abs(out - clips).max() > 1.0


def test_keys_decide():
  """Guards reproducibility: the same key gives the same clips, another key others."""
  clips = jnp.asarray(random_clips())
  first = photometric.gaussian_noise(KEY, clips, (2.0, 15.0))
  np.testing.assert_array_equal(first, photometric.gaussian_noise(KEY, clips, (2.0, 15.0)))
  assert np.abs(first - photometric.gaussian_noise(jax.random.key(1), clips, (2.0, 15.0))).max() > 1.0
