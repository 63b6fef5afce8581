"""ConvGRU against a PyTorch formulation written from the paper's figures, with the same weights."""

import flax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from dfdetect_jax.layers.conv_gru import ConvGRU


def torch_conv_gru(params, x):
  """Fig. 8 and 9 in float64, x [B, S, C, H, W]: gates and candidate are convolutions of the stacked input and state."""
  w = {}
  for path, value in flax.traverse_util.flatten_dict(params["cell"]).items():
    value = np.asarray(value, np.float64)
    w["/".join(path)] = torch.from_numpy(value.transpose(3, 2, 0, 1).copy() if value.ndim == 4 else value)
  half = x.shape[2] // 2
  h = torch.zeros_like(x[:, 0, :half])
  for s in range(x.shape[1]):
    new = x[:, s, :half]
    gates = torch.sigmoid(F.conv2d(torch.cat([new, h], 1), w["gates/kernel"], w["gates/bias"], padding=1))
    update, reset = gates[:, :half], gates[:, half:]
    candidate = F.conv2d(torch.cat([new, reset * h], 1), w["candidate/kernel"], w["candidate/bias"], padding=1)
    h = (1 - update) * h + update * torch.tanh(candidate)
  return torch.cat([h, x[:, -1, half:]], 1)


@pytest.mark.slow
@pytest.mark.parametrize("steps", [1, 4])
def test_equals_pytorch(steps):
  """Guards the gates' order, which half is kept, the zero state at the start and the sharing of weights over steps."""
  rng = np.random.default_rng(0)
  x = rng.normal(size=(2, steps, 5, 6, 8)).astype(np.float32)
  probe = rng.normal(size=(2, 5, 6, 8)).astype(np.float32)
  model = ConvGRU()
  params = jax.jit(model.init)(jax.random.key(0), x)["params"]
  params = jax.tree.map(lambda p: jnp.asarray(rng.normal(size=p.shape) * 0.3, jnp.float32), params)

  @jax.jit
  def forward(x):
    out, vjp = jax.vjp(lambda x: model.apply({"params": params}, x), x)
    return out, vjp(probe)[0]

  out, gradient = forward(x)
  x64 = torch.from_numpy(x.astype(np.float64).transpose(0, 1, 4, 2, 3).copy()).requires_grad_()
  want = torch_conv_gru(params, x64)
  want.backward(torch.from_numpy(probe.astype(np.float64).transpose(0, 3, 1, 2).copy()))
  want_gradient = x64.grad.numpy().transpose(0, 1, 3, 4, 2)
  want = want.detach().numpy().transpose(0, 2, 3, 1)
  assert np.linalg.norm(out - want) < 1e-4 * np.linalg.norm(want)
  assert np.linalg.norm(gradient - want_gradient) < 1e-3 * np.linalg.norm(want_gradient)


@pytest.mark.parametrize("steps", [1, 4])
def test_steps_are_no_loop(steps):
  """Guards the training step's time on a CPU, where a convolution's gradient in a loop takes tens of times as long."""
  model = ConvGRU()
  x = jax.ShapeDtypeStruct((1, steps, 4, 4, 4), jnp.float32)
  variables = jax.eval_shape(model.init, jax.random.key(0), x)
  gradient = jax.grad(lambda variables, x: model.apply(variables, x).sum())
  text = jax.jit(gradient).lower(variables, x).as_text()
  assert "stablehlo.convolution" in text and "stablehlo.while" not in text
