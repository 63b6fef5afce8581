"""I3D-R50 against a PyTorch formulation with 3-D convolutions throughout, with the same weights."""

import flax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from dfdetect_jax.methods.baselines.i3d import I3D

KERNELS = ((3, 1), (1, 3))


def torch_i3d(variables, clips):
  """Float64, clips [B, 3, T, H, W] normalised; the logit."""
  w = {}
  for tree in variables.values():
    for path, value in flax.traverse_util.flatten_dict(tree).items():
      value = np.asarray(value, np.float64)
      if path[-1] == "kernel" and path[0] != "fc":
        # [k, C, F] in time, [h, w, C, F] in space, [t, h, w, C, F] in the stem: all become [F, C, t, h, w].
        shape = {3: (-1, 1, 1), 4: (1, *value.shape[:2]), 5: value.shape[:3]}[value.ndim]
        value = value.reshape(*shape, *value.shape[-2:]).transpose(4, 3, 0, 1, 2)
      w["/".join(path)] = torch.from_numpy(value.copy())

  def conv(x, name, stride=1):
    kernel = w[f"{name}/kernel"]
    return F.conv3d(x, kernel, None, (1, stride, stride), [k // 2 for k in kernel.shape[2:]])

  def bn(x, name):
    return F.batch_norm(x, *(w[f"{name}/{leaf}"] for leaf in ("mean", "var", "scale", "bias")), eps=1e-5)

  x = F.max_pool3d(F.relu(bn(conv(clips, "conv1", 2), "bn1")), (1, 3, 3), (1, 2, 2), (0, 1, 1))
  for k, kernels in enumerate(KERNELS, 1):
    for i in range(len(kernels)):
      name, stride = f"layer{k}_{i}", 2 if k > 1 and i == 0 else 1
      y = F.relu(bn(conv(x, f"{name}/conv1"), f"{name}/bn1"))
      y = F.relu(bn(conv(y, f"{name}/conv2", stride), f"{name}/bn2"))
      y = bn(conv(y, f"{name}/conv3"), f"{name}/bn3")
      if i == 0:
        x = bn(conv(x, f"{name}/downsample_conv", stride), f"{name}/downsample_bn")
      x = F.relu(x + y)
    if k == 1:
      x = F.max_pool3d(x, (2, 1, 1), (2, 1, 1))
  return x.mean((2, 3, 4)) @ w["fc/kernel"][:, 0] + w["fc/bias"][0]


@pytest.mark.slow
def test_equals_pytorch():
  """Guards the inflated kernels, the place of the temporal pool, an odd number of frames, the strides."""
  rng = np.random.default_rng(0)
  model = I3D(KERNELS, width=8)
  clips = rng.uniform(0, 255, (2, 5, 40, 48, 3)).astype(np.float32)
  variables = jax.jit(model.init)(jax.random.key(0), clips)
  variables = jax.tree.map(
    lambda v: v if v.ndim > 1 else jnp.asarray(rng.uniform(0.5, 1.5, v.shape), jnp.float32), variables
  )

  @jax.jit
  def forward(clips):
    out, vjp = jax.vjp(lambda c: model.apply(variables, c)["logit"], clips)
    return out, vjp(jnp.array([1.0, -2.0]))[0]

  logit, gradient = forward(clips)
  x = torch.from_numpy(clips.astype(np.float64)).requires_grad_()
  mean, std = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]], dtype=torch.float64)
  want = torch_i3d(variables, ((x / 255 - mean) / std).permute(0, 4, 1, 2, 3))
  want.backward(torch.tensor([1.0, -2.0], dtype=torch.float64))
  want, want_gradient = want.detach().numpy(), x.grad.numpy()
  assert np.linalg.norm(logit - want) < 1e-4 * np.linalg.norm(want)
  assert np.linalg.norm(gradient - want_gradient) < 1e-3 * np.linalg.norm(want_gradient)
