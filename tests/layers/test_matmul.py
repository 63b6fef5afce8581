"""Products over channels as Linen's layers take them, against NumPy in float64."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dfdetect_jax.layers.matmul import dot_general


@pytest.mark.parametrize(("axis", "features"), [(-1, (7,)), (-1, (3, 2, 4)), ((-2, -1), (5,)), ((-3, -2, -1), (2, 3))])
def test_dense_layers_equal_numpy(axis, features):
  """Guards which axes meet, their order, both gradients, and that parameters keep their shapes."""
  rng = np.random.default_rng(0)
  x = rng.normal(size=(2, 3, 4, 5, 6)).astype(np.float32)
  layer = nn.DenseGeneral(features, axis=axis, use_bias=False, dot_general=dot_general)
  kernel = layer.init(jax.random.key(0), x)["params"]["kernel"]
  summed = 1 if isinstance(axis, int) else len(axis)
  assert kernel.shape == (*x.shape[-summed:], *features)
  y, vjp = jax.vjp(lambda k, x: layer.apply({"params": {"kernel": k}}, x), kernel, jnp.asarray(x))
  dy = rng.normal(size=y.shape).astype(np.float32)
  dkernel, dx = vjp(jnp.asarray(dy))
  x, kernel, dy = (np.asarray(a, np.float64) for a in (x, kernel, dy))
  leading = x.ndim - summed
  np.testing.assert_allclose(y, np.tensordot(x, kernel, summed), rtol=1e-4, atol=1e-5)
  np.testing.assert_allclose(dkernel, np.tensordot(x, dy, (range(leading), range(leading))), rtol=1e-4, atol=1e-4)
  over = (range(leading, dy.ndim), range(summed, kernel.ndim))
  np.testing.assert_allclose(dx, np.tensordot(dy, kernel, over), rtol=1e-4, atol=1e-4)
