"""Key tables: layouts there and back, stacked modules, and what becomes of arrays of other shapes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from dfdetect_jax.interop import adapt, names
from dfdetect_jax.layers.weight_table import Entry, Place, WeightTable


@pytest.mark.parametrize(
  "ours, file, settings",
  [
    ((3, 5), (5, 3), {}),
    ((7, 7, 3, 8), (8, 3, 7, 7), {"spatial": 2}),
    ((5, 3, 8), (8, 3, 5, 1, 1), {"spatial": 3}),  # temporal kernels lack the window's height and width
    ((3, 8), (8, 3, 1, 1, 1), {"spatial": 3}),
    ((4, 3, 2, 6), (36, 4), {"outputs": 3}),  # query, key and value of 2 heads
    ((2, 6, 4), (4, 12), {"inputs": 2}),
  ],
)
def test_kernels_there_and_back(ours, file, settings):
  """Guards the shapes of kernels in a file, and that writing undoes reading."""
  place = Place("conv.weight", Entry("conv", "conv", **settings), "kernel")
  assert place.shape(ours) == file
  array = np.random.default_rng(0).normal(size=file)
  mine = place.to_ours(array, ours)
  assert mine.shape == ours
  np.testing.assert_array_equal(place.to_file(mine), array)


def test_first_entry_counts():
  """Guards the order of entries, groups in keys, PyTorch's names of leaves, and parameters that are not a module's."""
  table = WeightTable(
    "a", (Entry(r"layer(\d)/special", r"odd\1"), Entry(r"layer(\d)/(\w+)", r"l\1.\2"), Entry("cls", "token", leading=1))
  )
  assert table.place("layer3/special/mean").key == "odd3.running_mean"
  assert table.place("layer3/bn/scale").key == "l3.bn.weight"
  assert table.place("cls").key == "token" and table.place("cls").shape((1, 1, 4)) == (1, 4)
  assert table.place("head/kernel") is None


@pytest.mark.parametrize("channels", [2, 12])
def test_stem_keeps_its_response(channels):
  """Guards the scale of an adapted stem: channels that are all alike give the response that three gave."""
  kernel = np.random.default_rng(0).normal(size=(4, 3, 7, 7))
  wide = adapt.stem(kernel, (4, channels, 7, 7))
  image = torch.rand(1, 1, 16, 16, dtype=torch.float64)
  want = F.conv2d(image.expand(1, 3, 16, 16), torch.from_numpy(kernel))
  have = F.conv2d(image.expand(1, channels, 16, 16), torch.from_numpy(wide.copy()))
  torch.testing.assert_close(have, want)
  assert adapt.stem(kernel, (8, channels, 7, 7)) is None and adapt.stem(kernel, (4, channels, 3, 3)) is None


def test_inflation_keeps_the_response_to_a_static_clip():
  """Guards the division by the temporal kernel's length."""
  kernel = np.random.default_rng(0).normal(size=(4, 3, 3, 3))
  deep = adapt.inflate(kernel, (4, 3, 5, 3, 3))
  image = torch.rand(1, 3, 8, 8, dtype=torch.float64)
  want = F.conv2d(image, torch.from_numpy(kernel))
  have = F.conv3d(image[:, :, None].expand(1, 3, 9, 8, 8), torch.from_numpy(deep.copy()))
  torch.testing.assert_close(have, want[:, :, None].expand_as(have))
  assert adapt.inflate(kernel, (4, 3, 5, 1, 1)) is None


def test_positions_of_no_square_grid_are_not_adapted():
  """Guards against resampling positions that are no grid, or of another width."""
  assert adapt.position(np.ones((1, 12, 4), np.float32), (1, 17, 4)) is None
  assert adapt.position(np.ones((1, 10, 4), np.float32), (1, 17, 8)) is None


def test_stacked_modules_have_a_name_for_each_slice():
  """Guards files that do not depend on how a model runs: branches and scanned units slice by slice, and back."""
  kernel = jnp.arange(24.0).reshape(2, 3, 4)
  variables = {
    "params": {"branches": {"stem": {"kernel": kernel}}, "ste": {"units": {"mlp": kernel + 1}}, "mu": jnp.float32(1)},
    "batch_stats": {"branches": {"bn": {"mean": kernel[0]}}},
  }
  flat = names.flatten(variables)
  assert set(flat) == {
    *(f"params/branch{i}/stem/kernel" for i in (0, 1)), *(f"params/ste/unit{i}/mlp" for i in (0, 1)), "params/mu",
    *(f"batch_stats/branch{i}/bn/mean" for i in (0, 1, 2)),
  }  # fmt: skip
  np.testing.assert_array_equal(flat["params/branch1/stem/kernel"], kernel[1])
  shapes = jax.eval_shape(lambda: variables)
  assert {k: v.shape for k, v in names.flatten(shapes).items()} == {k: v.shape for k, v in flat.items()}
  jax.tree.map(np.testing.assert_array_equal, names.unflatten(flat, shapes), variables)
