"""ResNet: sizes and compute dtype."""

import jax
import jax.numpy as jnp
import pytest

from dfdetect_jax.layers import resnet


@pytest.mark.parametrize(("name", "count", "channels"), [("resnet18", 11_176_512, 512), ("resnet50", 23_508_032, 2048)])
def test_parameter_count(name, count, channels):
  """Guards the sizes: torchvision's counts without `fc` (11,689,512 - 513,000 and 25,557,032 - 2,049,000)."""
  model = resnet.ResNet(**resnet.SIZES[name])
  out, variables = jax.eval_shape(model.init_with_output, jax.random.key(0), jnp.zeros((1, 224, 224, 3)))
  assert sum(p.size for p in jax.tree.leaves(variables["params"])) == count
  assert out.shape == (1, 7, 7, channels)


@pytest.mark.slow
def test_bfloat16_keeps_float32_parameters_and_statistics():
  """Guards mixed precision: bfloat16 activations, float32 parameters and running statistics."""
  model = resnet.ResNet((1, 1), False, width=8, dtype=jnp.bfloat16)
  images = jax.random.normal(jax.random.key(1), (2, 32, 32, 3), jnp.bfloat16)
  variables = jax.jit(model.init)(jax.random.key(0), images)
  out, updates = model.apply(variables, images, True, mutable=["batch_stats"])
  assert out.dtype == jnp.bfloat16 and bool(jnp.isfinite(out).all())
  assert {leaf.dtype for leaf in jax.tree.leaves((variables, updates))} == {jnp.dtype(jnp.float32)}
