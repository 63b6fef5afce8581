"""Xception against a PyTorch formulation with the names of its published weights, which load by our table."""

import jax
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from configs import baselines as card
from dfdetect_jax import methods
from dfdetect_jax.interop import names
from dfdetect_jax.interop.transfer import transfer
from dfdetect_jax.methods.baselines.xception import Xception
from dfdetect_jax.runs.config import override


class Separable(nn.Module):
  def __init__(self, inputs, outputs):
    super().__init__()
    self.conv1 = nn.Conv2d(inputs, inputs, 3, padding=1, groups=inputs, bias=False)
    self.pointwise = nn.Conv2d(inputs, outputs, 1, bias=False)

  def forward(self, x):
    return self.pointwise(self.conv1(x))


class Block(nn.Module):
  """As Chollet's Fig. 5 draws it, its layers in one list `rep` as the published weights count them."""

  def __init__(self, channels, stride, first_relu=True):
    super().__init__()
    rep = []
    for inputs, outputs in zip(channels, channels[1:]):
      rep += [nn.ReLU(), Separable(inputs, outputs), nn.BatchNorm2d(outputs)]
    rep = rep if first_relu else rep[1:]
    self.rep = nn.Sequential(*rep, *([nn.MaxPool2d(3, 2, 1)] if stride > 1 else []))
    self.skip = None
    if stride > 1:
      self.skip = nn.Conv2d(channels[0], channels[-1], 1, stride, bias=False)
      self.skipbn = nn.BatchNorm2d(channels[-1])

  def forward(self, x):
    return self.rep(x) + (x if self.skip is None else self.skipbn(self.skip(x)))


class TorchXception(nn.Module):
  """Entry, middle and exit flow; the first two convolutions are not padded."""

  def __init__(self, width=64, middle=8, classes=1000, head="last_linear"):
    super().__init__()
    n, wide = width, round(728 * width / 64)
    self.conv1, self.bn1 = nn.Conv2d(3, n // 2, 3, 2, bias=False), nn.BatchNorm2d(n // 2)
    self.conv2, self.bn2 = nn.Conv2d(n // 2, n, 3, bias=False), nn.BatchNorm2d(n)
    blocks = [Block((n, 2 * n, 2 * n), 2, False), Block((2 * n, 4 * n, 4 * n), 2), Block((4 * n, wide, wide), 2)]
    blocks += [Block((wide,) * 4, 1) for _ in range(middle)] + [Block((wide, wide, 16 * n), 2)]
    for i, block in enumerate(blocks, 1):
      self.add_module(f"block{i}", block)
    self.blocks = len(blocks)
    self.conv3, self.bn3 = Separable(16 * n, 24 * n), nn.BatchNorm2d(24 * n)
    self.conv4, self.bn4 = Separable(24 * n, 32 * n), nn.BatchNorm2d(32 * n)
    self.head = head
    self.add_module(head, nn.Linear(32 * n, classes))

  def forward(self, x):
    x = F.relu(self.bn1(self.conv1(x)))
    x = F.relu(self.bn2(self.conv2(x)))
    for i in range(1, self.blocks + 1):
      x = self.get_submodule(f"block{i}")(x)
    x = F.relu(self.bn3(self.conv3(x)))
    x = F.relu(self.bn4(self.conv4(x)))
    return self.get_submodule(self.head)(x.mean((2, 3)))


def arrays(module):
  return {name: value.detach().numpy() for name, value in module.state_dict().items()}


def test_parameter_count():
  """Guards the size: published, with ImageNet's 1000 classes, 22,855,952; ours has one output instead."""
  with torch.device("meta"):
    assert sum(p.numel() for p in TorchXception().parameters()) == 22_855_952
  variables = jax.eval_shape(methods.build(card.get_config("xception")).init, jax.random.key(0))
  count = sum(p.size for p in jax.tree.leaves(variables["params"]))
  assert count == 22_855_952 - 2_049 * 1000 + 2_049 == 20_809_001


@pytest.mark.parametrize("head", ["last_linear", "fc"])
def test_published_weights_have_a_place_each(head):
  """Guards the table against Cadene's and timm's keys at full size: nothing missing, left over or of another shape."""
  config = card.get_config("xception")
  shapes = names.flatten(jax.eval_shape(methods.build(config).init, jax.random.key(0)))
  ours = {name: np.broadcast_to(np.float32(0), x.shape) for name, x in shapes.items()}
  with torch.device("meta"):
    file = {name: np.broadcast_to(np.float32(1), x.shape) for name, x in TorchXception(head=head).state_dict().items()}
  (table,) = methods.weight_tables(config)
  loaded, report = transfer(file, table, ours)
  assert not report.problems() and not report.adapted
  assert {n.rpartition("/")[0] for n in report.fresh} == {"params/fc"}
  assert {key.split(".")[0] for key, why in report.unused.items() if why != "a counter"} == {head}
  assert all(value.all() for name, value in loaded.items() if name not in report.fresh)


@pytest.mark.slow
@pytest.mark.parametrize("train", [False, True])
def test_equals_pytorch(train):
  """Guards paddings, strides, the ReLUs' places, BatchNorm's modes, the normalisation, and the table's layouts."""
  torch.manual_seed(0)
  reference = TorchXception(width=8, middle=8, classes=1, head="fc").double().train(train)
  with torch.no_grad():
    for name, value in reference.named_buffers():
      if "running" in name:
        value.copy_(torch.rand_like(value) + 0.5)
    for name, value in reference.named_parameters():
      if "bn" in name or value.ndim == 1:
        value.copy_(torch.rand_like(value) + 0.5)
  model = Xception(width=8)
  clips = np.random.default_rng(0).integers(0, 256, (2, 2, 71, 64, 3), dtype=np.uint8)
  variables = jax.eval_shape(model.init, jax.random.key(0), clips)
  flat = {name: np.zeros(x.shape, np.float32) for name, x in names.flatten(variables).items()}
  config = override(card.get_config("xception"), {"model.width": 8})
  loaded, report = transfer(
    {k: np.float32(v) for k, v in arrays(reference).items()}, *methods.weight_tables(config), flat
  )
  assert not report.problems() and not report.fresh
  variables = names.unflatten(loaded, variables)
  outputs, _ = jax.jit(lambda v, x: model.apply(v, x, train=train, mutable=["batch_stats"]))(variables, clips)
  images = torch.from_numpy(clips.reshape(4, 71, 64, 3).astype(np.float64)).permute(0, 3, 1, 2)
  with torch.no_grad():
    want = reference((images / 255 - 0.5) / 0.5).reshape(2, 2).numpy()
  np.testing.assert_allclose(outputs["frame_logits"], want, rtol=2e-4, atol=2e-4)
  np.testing.assert_allclose(outputs["logit"], want.mean(1), rtol=2e-4, atol=2e-4)
