"""Temporally-preserved augmentation: alike in all frames, drawn per clip, and each augmentation what it says."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dfdetect_jax.augment import color_jitter, crop, cutout, tpa
from dfdetect_jax.augment.pipeline import from_config, key_of

NAMES = tpa.VIEWS
AUGMENTATIONS = [from_config({name: (0.5 if name == "flip" else 1.0,)})[0] for name in NAMES]


def random_clips(batch=6, frames=4, height=16, width=16):
  return jnp.asarray(np.random.default_rng(0).integers(0, 256, (batch, frames, height, width, 3)), jnp.uint8)


@pytest.mark.parametrize("augmentation", AUGMENTATIONS, ids=NAMES)
def test_every_frame_undergoes_the_same_transform(augmentation):
  """Guards temporal consistency: augmenting commutes with permuting the frames, whatever they show."""
  clips, order = random_clips(), jnp.array([2, 0, 3, 1])
  key = jax.random.key(3)
  permuted = augmentation(key, clips[:, order])
  np.testing.assert_allclose(permuted, augmentation(key, clips)[:, order], rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("augmentation", AUGMENTATIONS, ids=NAMES)
def test_parameters_differ_between_clips(augmentation):
  """Guards one draw per clip rather than one per batch: eight copies of a clip do not stay alike."""
  clips = jnp.repeat(random_clips(1), 8, axis=0)
  augmented = np.asarray(augmentation(jax.random.key(1), clips), np.float32)
  assert len({a.tobytes() for a in augmented}) > 1
  assert augmented.shape == clips.shape and augmented.min() >= 0 and augmented.max() <= 255


def test_views():
  """Guards that view i gets augmentation i mod 4 with a key of its own, and the layout of the views."""
  clips, key = random_clips(), jax.random.key(0)
  views = tpa.perturbed_views(key, clips, 6)
  assert views.shape == (6, 6, 4, 16, 16, 3) and views.dtype == jnp.float32
  for i in range(6):
    want = AUGMENTATIONS[i % 4](key_of(key, f"view {i}"), clips)
    np.testing.assert_array_equal(views[:, i], np.asarray(want, np.float32))
  assert np.any(views[:, 0] != views[:, 4])


@pytest.mark.slow
def test_without_tpa_every_frame_is_drawn_by_itself():
  """Guards the ablation: a still clip stays still with TPA, in all views, and does not without, in any."""
  clips = jnp.repeat(random_clips(8, 1), 8, axis=1)
  still = tpa.perturbed_views(jax.random.key(0), clips, 4)
  np.testing.assert_allclose(still, np.repeat(still[:, :, :1], 8, axis=2), rtol=1e-5, atol=1e-3)
  moving = np.asarray(tpa.perturbed_views(jax.random.key(0), clips, 4, tpa.VIEWS))
  for view in np.moveaxis(moving, 1, 0):
    assert np.abs(view - view[:, :1]).max() > 10
  # The paper's ablation moves each frame for itself; colour and holes stay as they are with TPA.
  partly = np.asarray(tpa.perturbed_views(jax.random.key(0), clips, 4, tpa.SPATIAL))
  for i, name in enumerate(tpa.VIEWS):
    assert np.array_equal(partly[:, i], still[:, i]) != (name in tpa.SPATIAL)
    assert np.array_equal(partly[:, i], moving[:, i]) == (name in tpa.SPATIAL)


def test_color_jitter_equals_float64():
  """Guards the order of the three adjustments, their limits, and the mean over the whole clip."""
  clips, key = random_clips(), jax.random.key(0)
  b, c, s = np.asarray(jax.random.uniform(key, (3, 6, 1, 1, 1, 1), minval=0.6, maxval=1.4), np.float64)
  luma = np.array([0.299, 0.587, 0.114])
  x = np.clip(b * np.asarray(clips), 0, 255)
  mean = (x @ luma).mean((1, 2, 3), keepdims=True)[..., None]
  x = np.clip(mean + c * (x - mean), 0, 255)
  grey = (x @ luma)[..., None]
  want = np.clip(grey + s * (x - grey), 0, 255)
  np.testing.assert_allclose(color_jitter.color_jitter(key, clips), want, rtol=1e-4, atol=1e-3)


def test_cutout_is_one_square_within_the_frame():
  """Guards shape, size and place of the hole, and that nothing else changes."""
  clips = np.maximum(random_clips(32, 2, 40, 40), 1)
  cut = np.asarray(cutout.random_cutout(jax.random.key(0), jnp.asarray(clips)))
  assert cut.dtype == np.uint8
  sides = set()
  for before, after in zip(clips, cut):
    hole = (after == 0).all(axis=(0, 3))
    rows, columns = np.flatnonzero(hole.any(1)), np.flatnonzero(hole.any(0))
    assert hole[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
    # A continuous square covers as many pixel centres along both axes, up to one.
    assert abs(len(rows) - len(columns)) <= 1
    assert 3 <= len(rows) <= 17
    sides.add(len(rows))
    np.testing.assert_array_equal(after[:, ~hole], before[:, ~hole])
  assert len(sides) > 4


def test_crop_equals_bilinear_brute_force():
  """Guards scale, place and interpolation of the enlarged window, on a frame that is not square."""
  clips, key = np.asarray(random_clips(3, 2, 12, 20)), jax.random.key(5)
  side_key, place_key = jax.random.split(key)
  share = np.asarray(jax.random.uniform(side_key, (3, 1), minval=0.7, maxval=1.0), np.float64)
  place = np.asarray(jax.random.uniform(place_key, (3, 2)), np.float64) * (1 - share)
  want = np.zeros(clips.shape)
  for b in range(3):
    for i in range(12):
      for j in range(20):
        y = np.clip((place[b, 0] + (i + 0.5) / 12 * share[b, 0]) * 12 - 0.5, 0, 11)
        x = np.clip((place[b, 1] + (j + 0.5) / 20 * share[b, 0]) * 20 - 0.5, 0, 19)
        y0, x0 = min(int(y), 10), min(int(x), 18)
        for dy, wy in ((0, 1 - (y - y0)), (1, y - y0)):
          for dx, wx in ((0, 1 - (x - x0)), (1, x - x0)):
            want[b, :, i, j] += wy * wx * clips[b, :, y0 + dy, x0 + dx]
  np.testing.assert_allclose(crop.random_crop(key, jnp.asarray(clips)), want, atol=0.02)


def test_whole_window_is_the_clip():
  """Guards against a shift by half a pixel: a window of the whole frame changes nothing."""
  clips = random_clips()
  np.testing.assert_allclose(crop.random_crop(jax.random.key(0), clips, (1.0, 1.0)), clips, atol=1e-3)
