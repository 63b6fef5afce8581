"""BatchNorm against Linen's in values and statistics, against PyTorch's in float64 in gradients."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from dfdetect_jax.layers.batch_norm import BatchNorm


def example():
  """x away from zero mean and unit variance, scale, bias, cotangent."""
  rng = np.random.default_rng(0)
  x = (3 + 2 * rng.normal(size=(4, 5, 6, 3))).astype(np.float32)
  scale, bias = jnp.array([0.5, -1.0, 2.0]), jnp.array([0.1, 0.2, -0.3])
  return jnp.asarray(x), scale, bias, rng.normal(size=x.shape)


@pytest.mark.parametrize("pool", [False, True])
def test_gradient_equals_pytorch(pool):
  """Guards the hand-written gradients of input, scale and bias, one scale negative: a pool takes minima there."""
  x, scale, bias, g = example()
  x, g = (x[:, :4], g[:, :2, :3]) if pool else (x, g)
  norm = BatchNorm(pool=pool)
  _, variables = norm.init_with_output(jax.random.key(0), x)

  def apply(x, scale, bias):
    params = {"scale": scale, "bias": bias}
    return norm.apply({**variables, "params": params}, x, True, mutable=["batch_stats"])[0]

  y, vjp = jax.vjp(apply, x, scale, bias)
  arrays = (np.moveaxis(x, -1, 1), scale, bias)
  theirs = [torch.from_numpy(np.array(a, np.float64)).requires_grad_() for a in arrays]
  want = F.batch_norm(theirs[0], None, None, theirs[1], theirs[2], True)
  want = F.max_pool2d(want, 2) if pool else want
  want.backward(torch.from_numpy(np.moveaxis(g, -1, 1).copy()))
  np.testing.assert_allclose(y, want.detach().movedim(1, -1), rtol=1e-4, atol=1e-5)
  gradients = [theirs[0].grad.movedim(1, -1), theirs[1].grad, theirs[2].grad]
  for ours, their in zip(vjp(jnp.asarray(g, jnp.float32)), gradients):
    np.testing.assert_allclose(ours, their, rtol=1e-3, atol=2e-5)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_pool_equals_a_pool_afterwards(dtype):
  """Guards the pool in both modes, to the last bit, and the statistics, which are those of all members."""
  x, scale, bias, _ = example()
  x = x[:, :4].astype(dtype)
  variables = {**BatchNorm().init(jax.random.key(0), x), "params": {"scale": scale, "bias": bias}}
  for train in (True, False):
    y, state = BatchNorm().apply(variables, x, train, mutable=["batch_stats"])
    pooled, ours = BatchNorm(pool=True).apply(variables, x, train, mutable=["batch_stats"])
    np.testing.assert_array_equal(pooled, y.reshape(4, 2, 2, 3, 2, 3).max((2, 4)))
    jax.tree.map(np.testing.assert_array_equal, ours, state)


def test_equals_linen():
  """Guards names, statistics and both modes: a checkpoint of Linen's layer gives the same numbers."""
  x, scale, bias, _ = example()
  linen = nn.BatchNorm(momentum=0.9, epsilon=1e-5)
  variables = linen.init(jax.random.key(0), x, use_running_average=True)
  variables = {**variables, "params": {"scale": scale, "bias": bias}}
  shapes = lambda tree: jax.tree.map(lambda a: (a.shape, a.dtype), tree)  # noqa: E731
  assert shapes(BatchNorm().init(jax.random.key(0), x, True)) == shapes(variables)
  for train in (True, False):
    want, state = linen.apply(variables, x, use_running_average=not train, mutable=["batch_stats"])
    y, ours = BatchNorm().apply(variables, x, train, mutable=["batch_stats"])
    np.testing.assert_allclose(y, want, rtol=1e-5, atol=1e-6)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), ours, state)


def test_bfloat16():
  """Guards mixed precision: what goes in comes out, in both directions, with float32 statistics."""
  x = jnp.asarray(example()[0], jnp.bfloat16)
  variables = BatchNorm().init(jax.random.key(0), x)
  (y, state), vjp = jax.vjp(lambda x: BatchNorm().apply(variables, x, True, mutable=["batch_stats"]), x)
  dx = vjp((jnp.ones_like(y), jax.tree.map(jnp.zeros_like, state)))[0]
  assert (y.dtype, dx.dtype, state["batch_stats"]["mean"].dtype) == (jnp.bfloat16, jnp.bfloat16, jnp.float32)
  np.testing.assert_allclose(dx.astype(jnp.float32), 0, atol=1e-6)  # a shift changes nothing
