"""Depth-wise convolution by shifts."""

import jax
import jax.numpy as jnp
import numpy as np

from dfdetect_jax.layers.depthwise_conv import DepthwiseConv


def test_equals_the_grouped_convolution():
  """Guards the direction of the shifts, the zeros beyond the edges and free leading axes."""
  rng = np.random.default_rng(0)
  x = jnp.asarray(rng.normal(size=(2, 3, 5, 4, 6)), jnp.float32)
  kernel = rng.normal(size=(3, 3, 1, 6)).astype(np.float32)
  out = DepthwiseConv().apply({"params": {"kernel": kernel}}, x)
  want = jax.lax.conv_general_dilated(
    x.reshape(6, 5, 4, 6),
    kernel,
    (1, 1),
    ((1, 1), (1, 1)),
    dimension_numbers=("NHWC", "HWIO", "NHWC"),
    feature_group_count=6,
  )
  np.testing.assert_allclose(out, want.reshape(x.shape), rtol=1e-5, atol=1e-5)
  half = DepthwiseConv().apply({"params": {"kernel": kernel}}, x.astype(jnp.bfloat16))
  assert half.dtype == jnp.bfloat16
