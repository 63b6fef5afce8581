"""FTCN against PyTorch with the authors' parameter names and the same weights, which pass through the key table."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from benchmarks.twins import ftcn as ftcn_twin
from dfdetect_jax.interop import names
from dfdetect_jax.layers import pooling
from dfdetect_jax.methods.ftcn.model import FTCN, SIZES


def pair(size, frames, pixels, batch, **settings):
  """(our model, our variables, the float64 PyTorch model with the same weights, clips)."""
  torch.manual_seed(0)
  theirs = ftcn_twin.randomised(ftcn_twin.FTCN(frames, **SIZES[size]), settings.get("dropout", 0.1))
  ours = FTCN(frames=frames, **SIZES[size], **settings)
  clips = np.random.default_rng(0).uniform(0, 255, (batch, frames, pixels, pixels, 3)).astype(np.float32)
  flat = ftcn_twin.to_linen({key: value.numpy() for key, value in theirs.state_dict().items()}, ours, clips)
  variables = names.unflatten(flat, jax.eval_shape(ours.init, jax.random.key(0), clips))
  return ours, variables, theirs.double(), clips


def relative_error(ours, want):
  return np.linalg.norm(np.asarray(ours, np.float64) - want) / np.linalg.norm(want)


def compare(ours, variables, theirs, clips, train):
  """Asserts equal logits and input gradients; returns our new statistics."""
  weight = np.linspace(-1, 2, len(clips)).astype(np.float32)

  @jax.jit
  def forward(clips):
    def logit(clips):
      out, state = ours.apply(variables, clips, train=train, mutable=["batch_stats"])
      return out["logit"], state

    out, vjp, state = jax.vjp(logit, clips, has_aux=True)
    return out, vjp(jnp.asarray(weight))[0], state

  logit, gradient, state = forward(clips)
  theirs.train(train)
  x = torch.from_numpy(clips.astype(np.float64)).requires_grad_()
  want = theirs(x.permute(0, 4, 1, 2, 3))
  want.backward(torch.from_numpy(weight.astype(np.float64)))
  assert relative_error(logit, want.detach().numpy()) < 1e-4
  assert relative_error(gradient, x.grad.numpy()) < 1e-3
  return state


@pytest.mark.slow
@pytest.mark.parametrize("form", ["conv2d", "matmul"])
def test_equals_pytorch(form):
  """Guards every layer and the key table: order of BN, pool and ReLU, temporal kernels, shortcuts, transformer."""
  compare(*pair("test", 8, 32, 2, form=form), train=False)


@pytest.mark.slow
def test_equals_pytorch_in_training():
  """Guards BatchNorm by batch statistics, and the running ones (PyTorch keeps the unbiased variance)."""
  ours, variables, theirs, clips = pair("test", 8, 32, 3, dropout=0.0)
  state = compare(ours, variables, theirs, clips, train=True)
  norm = theirs.resnet.s4.pathway0_res0.branch2.b_bn[0]
  statistics = state["batch_stats"]["trunk"]["res4_0"]["b_bn"]
  np.testing.assert_allclose(statistics["mean"], norm.running_mean.numpy(), rtol=1e-4, atol=1e-5)
  before = variables["batch_stats"]["trunk"]["res4_0"]["b_bn"]["var"]
  count = 3 * 4 * 4 * 4  # clips, frames after the temporal pool, height and width before b's pool
  unbiased = 0.9 * before + (statistics["var"] - 0.9 * before) * count / (count - 1)
  np.testing.assert_allclose(unbiased, norm.running_var.numpy(), rtol=1e-4)


@pytest.mark.slow
def test_full_size_equals_pytorch():
  """Guards the paper's widths and depths, which the small network does not have."""
  compare(*pair("paper", 8, 32, 1), train=False)


@pytest.mark.slow
def test_pools_equal_pytorch():
  """Guards the pools' windows and borders, and that their gradients go to the maxima."""
  rng = np.random.default_rng(0)
  x = rng.normal(size=(2, 4, 6, 8, 3)).astype(np.float32)
  for ours, theirs in (
    (pooling.max_pool_2, lambda x: F.max_pool3d(x, (1, 2, 2))),
    (pooling.max_pool_3, lambda x: F.max_pool3d(x, (1, 3, 3), (1, 2, 2), (0, 1, 1))),
    (pooling.max_pool_time, lambda x: F.max_pool3d(x, (2, 1, 1))),
  ):
    channels_first = torch.from_numpy(x).permute(0, 4, 1, 2, 3).clone().requires_grad_()
    want = theirs(channels_first)
    y, vjp = jax.vjp(ours, jnp.asarray(x))
    np.testing.assert_array_equal(y, want.detach().permute(0, 2, 3, 4, 1).numpy())
    dy = rng.normal(size=y.shape).astype(np.float32)
    want.backward(torch.from_numpy(dy).permute(0, 4, 1, 2, 3))
    want_gradient = channels_first.grad.permute(0, 2, 3, 4, 1).numpy()
    np.testing.assert_allclose(vjp(jnp.asarray(dy))[0], want_gradient, rtol=1e-6, atol=1e-6)
