"""DIP's reduced sizes: their diffusion is alive, and a demo's rows of Tables VI and VII compare things that differ."""

import numpy as np
import pytest

from configs import dip as card
from dfdetect_jax.methods.dip import model
from dfdetect_jax.methods.dip.diffusion import neighbours
from dfdetect_jax.studies import dip as study
from dfdetect_jax.studies.recipe import resolve


def bias(config, spread=0.3, seed=0):
  """exp(-D^t) between the directions by brute force, for tokens as LayerNorm leaves them that differ by `spread`."""
  size = model.SIZES[config.model.size]
  length = config.clips.size // size["patch"]
  rng = np.random.default_rng(seed)
  x = rng.normal(size=size["width"]) + spread * rng.normal(size=(2 * length, size["width"]))
  x /= np.sqrt((x**2).mean(-1, keepdims=True))
  distance = ((x[:, None] - x[None]) ** 2).sum(-1)
  w = np.where(neighbours(length, config.model.k_n), np.exp(-0.05 * distance), 0)
  degree = w.sum(1)
  p = np.linalg.matrix_power(w / degree[:, None], config.model.t)
  d = (((p[:, None] - p[None]) ** 2) * (degree.sum() / degree)).sum(-1)
  return np.exp(-d[:length, length:])


@pytest.mark.parametrize("size", ["small", "test"])
@pytest.mark.parametrize("spread", [0.05, 0.3, 0.6])
def test_the_diffusion_of_reduced_sizes_is_alive(size, spread):
  """Guards against a graph that is all of itself, or so well mixed that D is 0 (as with k_n = 7, t = 20 here)."""
  config = card.get_config(size)
  assert bias(config, spread).std() > 0.05
  with config.unlocked():
    config.model.k_n, config.model.t = 7, 20
  assert bias(config, spread).std() < 1e-3


@pytest.mark.parametrize("size", ["small", "test"])
def test_rows_of_a_demos_table_6_differ(size):
  """Guards a demo's Table VI against rows that train the same network, or one without a diffusion."""
  rows = {c.row: c.parts[0][0] for c in study.TABLE6}
  found = [bias(resolve(training, training.videos, size).config) for training in rows.values()]
  assert len(found) == 7
  for i, one in enumerate(found):
    assert one.std() > 0.01
    assert all(np.abs(one - other).max() > 0.05 for other in found[:i])


@pytest.mark.parametrize("size", ["small", "test"])
def test_rows_of_a_demos_table_7_differ(size):
  """Guards a demo's Table VII: other networks or objectives in all rows, a live diffusion where there is one."""
  rows = {c.row: resolve(c.parts[0][0], c.parts[0][0].videos, size) for c in study.TABLE7}
  assert len({recipe.name for recipe in rows.values()}) == 6 + 3
  assert all(bias(recipe.config).std() > 0.05 for recipe in rows.values())
