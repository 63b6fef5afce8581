"""FTCN in PyTorch with the parameter names of the authors' checkpoint.

Written from the layer table, native 3-D convolutions and pools throughout.
"""

import jax
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from dfdetect_jax.interop import names
from dfdetect_jax.interop.transfer import transfer
from dfdetect_jax.methods.ftcn import model as ours
from dfdetect_jax.methods.ftcn.weights import published
from dfdetect_jax.methods.method import Method


def _conv(channels: int, features: int, kernel: int) -> nn.Conv3d:
  return nn.Conv3d(channels, features, (kernel, 1, 1), padding=(kernel // 2, 0, 0), bias=False)


def _norm(features: int, pool: bool = False) -> nn.Module:
  norm = nn.BatchNorm3d(features)
  return nn.Sequential(norm, nn.MaxPool3d((1, 2, 2))) if pool else norm


class _Branch2(nn.Module):
  def __init__(self, channels: int, inner: int, kernel: int, pool: bool):
    super().__init__()
    self.a, self.a_bn = _conv(channels, inner, kernel), _norm(inner)
    self.b, self.b_bn = _conv(inner, inner, 1), _norm(inner, pool)
    self.c, self.c_bn = _conv(inner, 4 * inner, 1), _norm(4 * inner)

  def forward(self, x):
    x = torch.relu(self.a_bn(self.a(x)))
    x = torch.relu(self.b_bn(self.b(x)))
    return self.c_bn(self.c(x))


class _Bottleneck(nn.Module):
  def __init__(self, channels: int, inner: int, kernel: int, project: bool, pool: bool):
    super().__init__()
    self.project = project
    if project:
      self.branch1, self.branch1_bn = _conv(channels, 4 * inner, 1), _norm(4 * inner, pool)
    self.branch2 = _Branch2(channels, inner, kernel, pool)

  def forward(self, x):
    shortcut = self.branch1_bn(self.branch1(x)) if self.project else x
    return torch.relu(shortcut + self.branch2(x))


class _Residual(nn.Module):
  """x + fn(norm(x)), nested as the checkpoint's names are: `fn.norm`, `fn.fn`."""

  def __init__(self, width: int, inner: nn.Module):
    super().__init__()
    self.fn = nn.Module()
    self.fn.norm, self.fn.fn = nn.LayerNorm(width), inner

  def forward(self, x):
    return x + self.fn.fn(self.fn.norm(x))


class _Attention(nn.Module):
  def __init__(self, width: int, heads: int):
    super().__init__()
    self.heads = heads
    self.to_qkv = nn.Linear(width, 3 * width, bias=False)
    self.to_out = nn.Sequential(nn.Linear(width, width), nn.Dropout(0.1))

  def forward(self, x):
    batch, count, width = x.shape
    q, k, v = self.to_qkv(x).view(batch, count, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
    y = F.scaled_dot_product_attention(q, k, v)
    return self.to_out(y.transpose(1, 2).reshape(batch, count, width))


class _Mlp(nn.Module):
  def __init__(self, width: int, hidden: int):
    super().__init__()
    self.net = nn.Sequential(
      nn.Linear(width, hidden), nn.GELU(), nn.Dropout(0.1), nn.Linear(hidden, width), nn.Dropout(0.1)
    )

  def forward(self, x):
    return self.net(x)


class _TimeTransformer(nn.Module):
  def __init__(self, tokens: int, width: int, layers: int, heads: int, mlp: int):
    super().__init__()
    self.cls_token = nn.Parameter(torch.randn(1, 1, width))
    self.pos_embedding = nn.Parameter(torch.randn(1, tokens + 1, width))
    self.dropout = nn.Dropout(0.1)
    self.transformer = nn.Module()
    self.transformer.layers = nn.ModuleList(
      nn.ModuleList([_Residual(width, _Attention(width, heads)), _Residual(width, _Mlp(width, mlp))])
      for _ in range(layers)
    )
    self.mlp_head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 1))

  def forward(self, x):
    x = self.dropout(torch.cat([self.cls_token.expand(len(x), -1, -1), x], dim=1) + self.pos_embedding)
    for attention, mlp in self.transformer.layers:
      x = mlp(attention(x))
    return self.mlp_head(x[:, 0])[:, 0]


class FTCN(nn.Module):
  """Maps clips `[B, 3, T, H, W]` on the 0-255 scale to logits `[B]`."""

  def __init__(self, frames: int, width: int, depths: tuple, layers: int, heads: int, mlp: int):
    super().__init__()
    self.register_buffer("mean", 255 * torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1, 1), persistent=False)
    self.register_buffer("std", 255 * torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1, 1), persistent=False)
    self.resnet = nn.Module()
    self.resnet.s1 = nn.Module()
    self.resnet.s1.pathway0_stem = nn.Module()
    stem = self.resnet.s1.pathway0_stem
    stem.conv, stem.bn = _conv(3, width, 5), _norm(width, pool=True)
    self.stem_pool = nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1))
    self.time_pool = nn.MaxPool3d((2, 1, 1))
    channels = width
    for s, depth in enumerate(depths):
      stage = nn.Module()
      for i in range(depth):
        kernel = 1 if s > 0 and i % 2 == 1 else 3
        block = _Bottleneck(channels, width * 2**s, kernel, project=i == 0, pool=s > 0 and i == 0)
        setattr(stage, f"pathway0_res{i}", block)
        channels = 4 * width * 2**s
      setattr(self.resnet, f"s{s + 2}", stage)
    self.resnet.head = nn.Module()
    self.resnet.head.time_T = _TimeTransformer(frames // 2, channels, layers, heads, mlp)

  def tokens(self, clips):
    """Time tokens `[B, T/2, E]`."""
    stem = self.resnet.s1.pathway0_stem
    x = self.stem_pool(torch.relu(stem.bn(stem.conv((clips - self.mean) / self.std))))
    for s in (2, 3, 4):
      for block in getattr(self.resnet, f"s{s}").children():
        x = block(x)
      if s == 2:
        x = self.time_pool(x)
    return x.mean(dim=(3, 4)).transpose(1, 2)

  def forward(self, clips):
    return self.resnet.head.time_T(self.tokens(clips))


def randomised(network: FTCN, dropout: float) -> FTCN:
  """The network with no layer switched off."""
  with torch.no_grad():
    for module in network.modules():
      if isinstance(module, nn.BatchNorm3d):
        module.weight.uniform_(0.5, 1.5)
        module.bias.uniform_(-0.5, 0.5)
        module.running_mean.uniform_(-0.5, 0.5)
        module.running_var.uniform_(0.5, 1.5)
      elif isinstance(module, nn.Conv3d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out")
      elif isinstance(module, nn.Dropout):
        module.p = dropout
  return network


def to_linen(arrays: dict[str, np.ndarray], network: ours.FTCN, clips: np.ndarray) -> dict[str, np.ndarray]:
  """Arrays by the checkpoint's keys as those of our FTCN, by the names of `interop.names.flatten`."""
  like = jax.tree.map(lambda a: np.zeros(a.shape, a.dtype), jax.eval_shape(network.init, jax.random.key(0), clips))
  flat, report = transfer(arrays, published(), names.flatten(like))
  assert not report.problems() and not report.fresh and not report.adapted
  return flat


class FromClips(FTCN):
  """The same, on uint8 clips `[B, T, H, W, 3]`; attributes as in `weights.Weights`."""

  layout = torch.channels_last_3d
  colours = 1

  def forward(self, clips):
    return super().forward(clips.movedim(-1, 1))

  def linen_gradients(self) -> dict[str, np.ndarray]:
    """The parameters' gradients as Linen has them, by the names of `interop.names.flatten`."""
    arrays = {key: value.numpy() for key, value in self.state_dict().items()}
    gradients = {key: value.grad.numpy() for key, value in self.named_parameters()}
    flat = to_linen(arrays | gradients, self.linen, self.example)
    return {name: value for name, value in flat.items() if name.startswith("params/")}


def build(method: Method) -> tuple[FromClips, dict]:
  """The twin of a method, and the method's variables that it has too."""
  torch.manual_seed(0)
  m = method.model
  twin = randomised(FromClips(m.frames, m.width, m.depths, m.layers, m.heads, m.mlp), m.dropout)
  twin.linen, twin.example = m, np.zeros((1, *method.clip_spec.shape(train=True)), np.uint8)
  arrays = {key: value.numpy() for key, value in twin.state_dict().items()}
  like = jax.eval_shape(method.init, jax.random.key(0))
  return twin.to(memory_format=torch.channels_last_3d), names.unflatten(to_linen(arrays, m, twin.example), like)
