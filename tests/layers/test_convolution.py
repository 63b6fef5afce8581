"""Convolutions, products over channels: values and gradients against sums over taps and places in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dfdetect_jax.layers.convolution import Conv, _input_gradient, convolve
from dfdetect_jax.layers.matmul import matmul


def brute_force(x, kernel, stride, dy=None):
  """y of `[N, H, W, C]`, and the gradients of Σ y·dy, which is linear in both."""
  x, kernel = x.astype(np.float64), kernel.astype(np.float64)
  taps, half = len(kernel), len(kernel) // 2
  n, height, width, _ = x.shape
  y = np.zeros((n, -(-height // stride), -(-width // stride), kernel.shape[3]))
  dx, dkernel = np.zeros(x.shape), np.zeros(kernel.shape)
  for i, j, a, b in np.ndindex(*y.shape[1:3], taps, taps):
    r, c = stride * i + a - half, stride * j + b - half
    if 0 <= r < height and 0 <= c < width:
      y[:, i, j] += x[:, r, c] @ kernel[a, b]
      if dy is not None:
        dx[:, r, c] += dy[:, i, j] @ kernel[a, b].T
        dkernel[a, b] += x[:, r, c].T @ dy[:, i, j]
  return y, dx, dkernel


@pytest.mark.parametrize(
  ("taps", "stride", "height", "width"),
  [(1, 1, 4, 5), (1, 2, 5, 4), (3, 1, 6, 4), (3, 1, 2, 2), (3, 2, 8, 6), (3, 2, 7, 5), (7, 2, 8, 10), (3, 4, 9, 8)],
)
def test_equals_brute_force(taps, stride, height, width):
  """Guards the padding, odd sizes, small maps, and the sorting of taps by phase; values and both gradients."""
  rng = np.random.default_rng(0)
  x = rng.normal(size=(2, height, width, 3)).astype(np.float32)
  kernel = rng.normal(size=(taps, taps, 3, 4)).astype(np.float32)
  y, vjp = jax.vjp(lambda x, k: convolve(x, k, stride), jnp.asarray(x), jnp.asarray(kernel))
  dy = rng.normal(size=y.shape).astype(np.float32)
  for ours, want in zip((y, *vjp(jnp.asarray(dy))), brute_force(x, kernel, stride, dy)):
    np.testing.assert_allclose(ours, want, rtol=1e-4, atol=1e-4)
  if stride > 1 and taps > 1:  # on every platform, not only where it is used
    ours = _input_gradient(jnp.asarray(dy), jnp.asarray(kernel), stride, height, width)
    np.testing.assert_allclose(ours, brute_force(x, kernel, stride, dy)[1], rtol=1e-4, atol=1e-4)


def test_module():
  """Guards free leading axes, the bias, the names of parameters, and bfloat16 beside float32 parameters."""
  x = jax.random.normal(jax.random.key(0), (2, 3, 6, 4, 3))
  layer = Conv(4, 3, stride=2, use_bias=True, dtype=jnp.bfloat16)
  variables = layer.init(jax.random.key(1), x)
  assert {k: v.shape for k, v in variables["params"].items()} == {"kernel": (3, 3, 3, 4), "bias": (4,)}
  params = {"kernel": variables["params"]["kernel"], "bias": jnp.arange(4.0)}
  y, vjp = jax.vjp(lambda p: layer.apply({"params": p}, x), params)
  assert y.shape == (2, 3, 3, 2, 4) and y.dtype == jnp.bfloat16
  want, _, dkernel = brute_force(
    np.asarray(x).reshape(6, 6, 4, 3), np.asarray(params["kernel"]), 2, np.ones((6, 3, 2, 4))
  )  # fmt: skip
  np.testing.assert_allclose(y.astype(jnp.float32).reshape(6, 3, 2, 4), want + np.arange(4.0), rtol=0.03, atol=0.05)
  gradient = vjp(jnp.ones_like(y))[0]
  assert gradient["kernel"].dtype == jnp.float32
  np.testing.assert_allclose(gradient["kernel"], dkernel, rtol=0.03, atol=0.2)
  np.testing.assert_allclose(gradient["bias"], 36.0)


def test_product_over_channels():
  """Guards the hand-written gradients of `matmul`, and that a bfloat16 weight's is summed in float32."""
  rng = np.random.default_rng(0)
  x, w, g = (rng.normal(size=s).astype(np.float32) for s in ((2, 3, 4, 5), (5, 6), (2, 3, 4, 6)))
  y, vjp = jax.vjp(matmul, jnp.asarray(x), jnp.asarray(w))
  np.testing.assert_allclose(y, np.einsum("abcd,de->abce", x, w), rtol=1e-5, atol=1e-5)
  dx, dw = vjp(jnp.asarray(g))
  np.testing.assert_allclose(dx, np.einsum("abce,de->abcd", g, w), rtol=1e-5, atol=1e-5)
  np.testing.assert_allclose(dw, np.einsum("abcd,abce->de", x, g), rtol=1e-5, atol=1e-5)
  ones = jnp.ones((4096, 1), jnp.bfloat16)
  _, vjp = jax.vjp(matmul, ones, jnp.ones((1, 1), jnp.bfloat16))
  assert float(vjp(ones)[1][0, 0]) == 4096  # in bfloat16 1 + … + 1 stays at 256
