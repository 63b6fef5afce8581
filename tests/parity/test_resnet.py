"""ResNet-18 and -50 against a PyTorch formulation written from the paper, with the same weights."""

import flax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from dfdetect_jax.layers import resnet

DEPTHS = {"resnet18": (2, 2, 2, 2), "resnet50": (3, 4, 6, 3)}


def torch_resnet(params, stats, x, depths, bottleneck, train):
  """ResNet by `torch.nn.functional` on torchvision's state-dict keys, which are spelled out from the Linen tree."""

  def torch_key(path):
    key = ".".join(path).replace("downsample_conv", "downsample.0").replace("downsample_bn", "downsample.1")
    for k in range(1, 5):
      key = key.replace(f"layer{k}_", f"layer{k}.")
    names = {"kernel": "weight", "scale": "weight", "mean": "running_mean", "var": "running_var"}
    head, leaf = key.rsplit(".", 1)
    return f"{head}.{names.get(leaf, leaf)}"

  state = {}
  for tree in (params, stats):
    for path, value in flax.traverse_util.flatten_dict(tree).items():
      value = np.asarray(value)
      state[torch_key(path)] = torch.from_numpy(value.transpose(3, 2, 0, 1).copy() if value.ndim == 4 else value.copy())

  def bn(x, name):
    mean, var = state[f"{name}.running_mean"].clone(), state[f"{name}.running_var"].clone()
    return F.batch_norm(x, mean, var, state[f"{name}.weight"], state[f"{name}.bias"], train, 0.1, 1e-5)

  x = F.relu(bn(F.conv2d(x, state["conv1.weight"], stride=2, padding=3), "bn1"))
  x = F.max_pool2d(x, 3, 2, 1)
  for k, depth in enumerate(depths, 1):
    for i in range(depth):
      p, stride = f"layer{k}.{i}", 2 if k > 1 and i == 0 else 1
      if bottleneck:
        y = F.relu(bn(F.conv2d(x, state[f"{p}.conv1.weight"]), f"{p}.bn1"))
        y = F.relu(bn(F.conv2d(y, state[f"{p}.conv2.weight"], stride=stride, padding=1), f"{p}.bn2"))
        y = bn(F.conv2d(y, state[f"{p}.conv3.weight"]), f"{p}.bn3")
      else:
        y = F.relu(bn(F.conv2d(x, state[f"{p}.conv1.weight"], stride=stride, padding=1), f"{p}.bn1"))
        y = bn(F.conv2d(y, state[f"{p}.conv2.weight"], padding=1), f"{p}.bn2")
      if f"{p}.downsample.0.weight" in state:
        x = bn(F.conv2d(x, state[f"{p}.downsample.0.weight"], stride=stride), f"{p}.downsample.1")
      x = F.relu(x + y)
  return x


@pytest.mark.slow
@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_equals_pytorch(name, train):
  """Guards padding of strided convolutions, the stride's place in the bottleneck, BatchNorm's modes and the names."""
  rng = np.random.default_rng(0)
  model = resnet.ResNet(**resnet.SIZES[name], width=8)
  # An odd and an even side: uneven padding shows at one of them. Two leading axes fold into PyTorch's batch.
  images = rng.normal(size=(2, 3, 67, 72, 3)).astype(np.float32)
  variables = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 64, 64, 3)))
  # Random statistics and scales: at their initial values a forgotten BatchNorm would pass.
  variables = jax.tree.map(
    lambda v: v if v.ndim == 4 else jnp.asarray(rng.uniform(0.5, 1.5, v.shape), jnp.float32), variables
  )

  def forward(images):
    return model.apply(variables, images, train, mutable=["batch_stats"])[0]

  out, vjp = jax.vjp(jax.jit(forward), jnp.asarray(images))
  probe = rng.normal(size=out.shape).astype(np.float32)
  gradient = vjp(jnp.asarray(probe))[0]

  x = torch.from_numpy(images.reshape(6, 67, 72, 3).transpose(0, 3, 1, 2).copy()).requires_grad_()
  want = torch_resnet(variables["params"], variables["batch_stats"], x, DEPTHS[name], name == "resnet50", train)
  want.backward(torch.from_numpy(probe.reshape(6, *probe.shape[2:]).transpose(0, 3, 1, 2).copy()))
  want = want.detach().numpy().transpose(0, 2, 3, 1).reshape(out.shape)
  want_gradient = x.grad.numpy().transpose(0, 2, 3, 1).reshape(images.shape)
  assert np.linalg.norm(out - want) < 1e-4 * np.linalg.norm(want)
  assert np.linalg.norm(gradient - want_gradient) < 1e-3 * np.linalg.norm(want_gradient)
