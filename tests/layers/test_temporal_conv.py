"""Temporal convolution: its three forms against a float64 brute force, alone and batched over kernels."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dfdetect_jax.errors import UserError
from dfdetect_jax.layers.temporal_conv import FORMS, TemporalConv, temporal_conv


def brute_force(x, kernel):
  taps, half = kernel.shape[0], kernel.shape[0] // 2
  y = np.zeros((*x.shape[:-1], kernel.shape[2]))
  for t in range(x.shape[1]):
    for i in range(taps):
      if 0 <= t + i - half < x.shape[1]:
        y[:, t] += x[:, t + i - half].astype(np.float64) @ kernel[i].astype(np.float64)
  return y


def brute_force_gradients(x, kernel, dy):
  """Of Σ y·dy: the convolution is linear in both."""
  dx, dk = np.zeros(x.shape), np.zeros(kernel.shape)
  half = kernel.shape[0] // 2
  for t in range(x.shape[1]):
    for i in range(kernel.shape[0]):
      if 0 <= (s := t + i - half) < x.shape[1]:
        dx[:, s] += dy[:, t] @ kernel[i].T.astype(np.float64)
        dk[i] += np.einsum("bhwc,bhwf->cf", x[:, s].astype(np.float64), dy[:, t])
  return dx, dk


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("taps", "channels", "features"), [(1, 4, 6), (3, 6, 4), (5, 3, 8)])
def test_forms_equal_brute_force(form, taps, channels, features):
  """Guards tap order, padding at both ends, and the two ways in which `matmul` gathers taps; values and gradients."""
  rng = np.random.default_rng(0)
  x = rng.normal(size=(2, 6, 3, 5, channels)).astype(np.float32)
  kernel = rng.normal(size=(taps, channels, features)).astype(np.float32)
  dy = rng.normal(size=(2, 6, 3, 5, features)).astype(np.float32)
  y, vjp = jax.vjp(lambda x, k: temporal_conv(x, k, form), jnp.asarray(x), jnp.asarray(kernel))
  np.testing.assert_allclose(y, brute_force(x, kernel), rtol=1e-4, atol=1e-5)
  for ours, want in zip(vjp(jnp.asarray(dy)), brute_force_gradients(x, kernel, dy)):
    np.testing.assert_allclose(ours, want, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("form", FORMS)
def test_batched_over_kernels(form):
  """Guards SDR's branches: each batch entry meets its own kernel."""
  rng = np.random.default_rng(0)
  x = rng.normal(size=(3, 1, 4, 2, 2, 5)).astype(np.float32)
  kernel = rng.normal(size=(3, 3, 5, 4)).astype(np.float32)
  y = jax.vmap(lambda x, k: temporal_conv(x, k, form))(x, kernel)
  for i in range(3):
    np.testing.assert_allclose(y[i], brute_force(x[i], kernel[i]), rtol=1e-4, atol=1e-5)


def test_parameter_is_the_same_in_all_forms():
  """Guards that weights move between forms: one name, one shape, the same initial values."""
  x = jnp.zeros((1, 4, 2, 2, 3))
  kernels = [TemporalConv(8, 5, form).init(jax.random.key(0), x)["params"]["kernel"] for form in FORMS]
  assert kernels[0].shape == (5, 3, 8)
  for kernel in kernels[1:]:
    np.testing.assert_array_equal(kernels[0], kernel)


def test_unknown_form_is_refused():
  """Guards the message: it lists the forms."""
  with pytest.raises(UserError, match="conv2d, conv3d, matmul"):
    temporal_conv(jnp.zeros((1, 4, 2, 2, 3)), jnp.zeros((3, 3, 4)), "fft")
