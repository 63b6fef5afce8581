"""Dropping and repeating frames at constant length."""

import jax
import jax.numpy as jnp
import numpy as np

from dfdetect_jax.augment.temporal import drop_and_repeat

KEY = jax.random.key(0)


def numbered(batch, frames, dtype=np.float32):
  """Clips whose pixels all hold the number of their frame."""
  return jnp.asarray(np.broadcast_to(np.arange(frames)[None, :, None, None, None], (batch, frames, 2, 3, 3)), dtype)


def test_order_length_and_source():
  """Guards the clip: as many frames, each whole and from the input, none ahead of its turn, no step beyond two."""
  out = np.asarray(drop_and_repeat(KEY, numbered(64, 16), 0.5))
  assert out.shape == (64, 16, 2, 3, 3)
  index = out[..., 0, 0, 0]
  np.testing.assert_array_equal(out, np.broadcast_to(index[..., None, None, None], out.shape))
  assert set(np.unique(index)) <= set(range(16))
  steps = np.diff(index, axis=1)
  assert set(np.unique(steps)) == {0.0, 1.0, 2.0}
  assert (index[:, 0] == 0).all()
  assert len(np.unique(index, axis=0)) > 32, "clips are drawn for themselves"


def test_share_of_touched_frames():
  """Guards the rate: half of it repeats, half of it drops; 1 % of tolerance is three standard errors and more."""
  index = np.asarray(drop_and_repeat(KEY, numbered(4000, 16), 0.25))[..., 0, 0, 0]
  # Where the clip ends early the last frame is shown again; only the first half is sure to be free of that.
  steps = np.diff(index[:, :8], axis=1)
  np.testing.assert_allclose([(steps == 0).mean(), (steps == 2).mean()], 0.125, atol=0.01)


def test_rate_zero_and_dtype():
  """Guards the clip when nothing is to happen, and the dtype of the frames."""
  clips = numbered(2, 5, np.uint8)
  out = drop_and_repeat(KEY, clips, 0.0)
  assert out.dtype == jnp.uint8
  np.testing.assert_array_equal(out, clips)


def test_rate_one_touches_every_frame():
  """Guards the upper end of the rate: no step of one is left before the clip's end."""
  index = np.asarray(drop_and_repeat(KEY, numbered(100, 16), 1.0))[..., 0, 0, 0]
  steps = np.diff(index[:, :8], axis=1)
  assert not (steps == 1).any()
