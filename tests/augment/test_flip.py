"""Random horizontal flip."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dfdetect_jax.augment.pipeline import from_config


@pytest.mark.parametrize("shape", [(64, 3, 2, 5, 3), (64, 2, 3, 2, 5, 3)])
def test_flips_whole_clips_along_the_width(shape):
  """Guards that all frames (and snippets) of a clip are mirrored together, along W, about half of the clips."""
  clips = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
  (flip,) = from_config({"flip": (0.5,)})
  out = np.asarray(flip(jax.random.key(0), jnp.asarray(clips)))
  flipped = np.array([np.array_equal(o, c[..., ::-1, :]) for o, c in zip(out, clips)])
  kept = np.array([np.array_equal(o, c) for o, c in zip(out, clips)])
  assert (flipped ^ kept).all()
  assert 20 <= flipped.sum() <= 44  # 32 ± 3 standard deviations
