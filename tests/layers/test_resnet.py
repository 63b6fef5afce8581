"""ResNet: sizes, the place where DIL inserts its modules, compute dtype."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dfdetect_jax.layers import resnet


@pytest.mark.parametrize(("name", "count", "channels"), [("resnet18", 11_176_512, 512), ("resnet50", 23_508_032, 2048)])
def test_parameter_count(name, count, channels):
  """Guards the sizes: torchvision's counts without `fc` (11,689,512 - 513,000 and 25,557,032 - 2,049,000)."""
  model = resnet.ResNet(**resnet.SIZES[name])
  out, variables = jax.eval_shape(model.init_with_output, jax.random.key(0), jnp.zeros((1, 224, 224, 3)))
  assert sum(p.size for p in jax.tree.leaves(variables["params"])) == count
  assert out.shape == (1, 7, 7, channels)


class Gain(nn.Module):
  """Multiplies by a parameter; stands for DIL's modules."""

  @nn.compact
  def __call__(self, x, train=False):
    return x * self.param("gain", nn.initializers.constant(2.0), ())[None, None, None, None]


def test_before_conv2_reaches_the_chosen_blocks():
  """Guards that the inserted module sits in the chosen blocks only, before conv2, with and without remat."""

  def choose(stage, block):
    return Gain(name="sim") if stage == 2 and block % 2 == 0 else None

  images = jax.random.normal(jax.random.key(1), (2, 32, 32, 3))
  plain = resnet.ResNet((1, 2), True, width=8)
  variables = jax.jit(plain.init)(jax.random.key(0), images)
  for remat in (False, True):
    model = resnet.ResNet((1, 2), True, width=8, before_conv2=choose, remat=remat)
    with_gain = jax.jit(model.init)(jax.random.key(0), images)
    blocks = {name for name, block in with_gain["params"].items() if "sim" in block}
    assert blocks == {"layer2_0"}
    # A gain of 2 on conv2's input is a gain of 2 on its kernel.
    params = {**variables["params"], "layer2_0": {**variables["params"]["layer2_0"], "sim": {"gain": jnp.float32(2)}}}
    out = model.apply({**variables, "params": params}, images)
    doubled = jax.tree.map(lambda p: p, variables["params"])
    doubled["layer2_0"]["conv2"]["kernel"] *= 2
    np.testing.assert_allclose(out, plain.apply({**variables, "params": doubled}, images), rtol=1e-5, atol=1e-5)


def test_bfloat16_keeps_float32_parameters_and_statistics():
  """Guards mixed precision: bfloat16 activations, float32 parameters and running statistics."""
  model = resnet.ResNet((1, 1), False, width=8, dtype=jnp.bfloat16)
  images = jax.random.normal(jax.random.key(1), (2, 32, 32, 3), jnp.bfloat16)
  variables = jax.jit(model.init)(jax.random.key(0), images)
  out, updates = model.apply(variables, images, True, mutable=["batch_stats"])
  assert out.dtype == jnp.bfloat16 and bool(jnp.isfinite(out).all())
  assert {leaf.dtype for leaf in jax.tree.leaves((variables, updates))} == {jnp.dtype(jnp.float32)}
