"""DIL in PyTorch, written for speed: frames of all snippets as one batch of channels-last images. Its logit alone.

tests/parity/test_dil.py has both modules' equations spelled out; this has to agree with the model as those have.
"""

import torch
import torch.nn.functional as F

from benchmarks.twins.weights import Weights, draw, imagenet
from dfdetect_jax.methods.dil.model import DIL as OurDil
from dfdetect_jax.methods.method import Method


class DIL(Weights):
  """ResNet-50 with Intra-SIM and Inter-SIM (Eq. 1-11) on all their switches."""

  def __init__(self, variables, model: OurDil):
    super().__init__(variables)
    self.model = model

  def intra_sim(self, x, name):
    """Eq. 1-6 for I `[N·T, C, H, W]`."""
    frames = self.model.frames
    half = x.shape[1] // 2
    kept, i2 = x[:, :half], x[:, half:]
    squeezed = self.conv(i2, f"{name}/attention/squeeze")
    convolved = self.conv(squeezed, f"{name}/attention/depthwise", groups=squeezed.shape[1])
    f, g = squeezed.unflatten(0, (-1, frames)), convolved.unflatten(0, (-1, frames))
    before, after = (0, 0, 0, 0, 0, 0, 1, 0), (0, 0, 0, 0, 0, 0, 0, 1)
    d = 0.5 * (F.pad(f[:, :-1] - g[:, 1:], after) + F.pad(f[:, 1:] - g[:, :-1], before))  # [N, T, s, H, W]

    def attention(plane, order):
      """`order` takes [N, T, s, H, W] to [N, the other axis, s, T, H or W], and back."""
      planes = d.permute(order)
      y = planes + self.conv(planes.flatten(0, 1), f"{name}/attention/conv_{plane}").unflatten(0, planes.shape[:2])
      back = [order.index(axis) for axis in range(5)]
      y = y.permute(back).flatten(0, 1).contiguous(memory_format=self.layout)
      return torch.sigmoid(self.conv(y, f"{name}/attention/recover_{plane}"))

    y = attention("th", (0, 4, 2, 1, 3)) * attention("tw", (0, 3, 2, 1, 4)) * i2 + i2
    profile = i2.mean((2, 3)).unflatten(0, (-1, frames)).transpose(1, 2)  # [N, C, T]
    hidden = F.relu(self.linear(profile, f"{name}/kernel/phi1"))
    taps = torch.softmax(self.linear(hidden, f"{name}/kernel/phi2"), -1)[:, None, :, None, None]  # [N, 1, C, 1, 1, 3]
    y = F.pad(y.unflatten(0, (-1, frames)), (0, 0, 0, 0, 0, 0, 1, 1))
    o2 = sum(taps[..., k] * y[:, k : k + frames] for k in range(3))
    return torch.cat([kept, o2.flatten(0, 1)], 1)

  def inter_sim(self, x, name, shape):
    """Eq. 7-11 for F `[B·U·T, C, H, W]`, `shape` being (B, U, T)."""
    mean = x.mean((2, 3)).unflatten(0, shape).movedim(-1, 1)  # [B, C, U, T]
    f1 = self.bn(self.conv(mean, f"{name}/snippet_conv"), f"{name}/snippet_norm")
    f1 = torch.sigmoid(self.conv(f1, f"{name}/snippet_recover"))
    f = self.conv(mean, f"{name}/motion_squeeze")
    g = self.conv(f, f"{name}/motion_conv")
    d = F.pad(f[:, :, :-1] - g[:, :, 1:], (0, 0, 0, 1)) + F.pad(f[:, :, 1:] - g[:, :, :-1], (0, 0, 1, 0))
    attention = f1 * torch.sigmoid(self.conv(d, f"{name}/motion_recover"))
    attention = attention.movedim(1, -1).flatten(0, 2)[:, :, None, None]
    y = (attention * x + x).unflatten(0, shape)
    y = F.pad(y, (0, 0, 0, 0, 0, 0, 0, 0, 1, 1))
    taps = getattr(self, f"{name}/conv_u")[:, :, None, None]
    return sum(taps[k] * y[:, k : k + shape[1]] for k in range(3)).flatten(0, 2)

  def block(self, x, name, stride, intra, inter, shape):
    y = F.relu(self.bn(self.conv(x, f"{name}/conv1"), f"{name}/bn1"))
    if intra:
      y = self.intra_sim(y, f"{name}/intra")
    if inter:
      y = self.inter_sim(y, f"{name}/inter", shape)
    y = F.relu(self.bn(self.conv(y, f"{name}/conv2", stride), f"{name}/bn2"))
    y = self.bn(self.conv(y, f"{name}/conv3"), f"{name}/bn3")
    if hasattr(self, f"{name}/downsample_conv/kernel"):
      x = self.bn(self.conv(x, f"{name}/downsample_conv", stride), f"{name}/downsample_bn")
    return F.relu(y + x)

  def forward(self, clips):
    """Snippets [B, U, T, H, W, 3] uint8; the logit."""
    m, shape = self.model, clips.shape[:3]
    x = imagenet(clips.flatten(0, 2)).movedim(-1, 1)
    x = F.max_pool2d(F.relu(self.bn(self.conv(x, "conv1", 2), "bn1")), 3, 2, 1)
    for k, depth in enumerate(m.depths, 1):
      for i in range(depth):
        here = k in m.stages
        intra, inter = here and m.intra and i % 2 == 0, here and m.inter and i % 2 == 1
        x = self.block(x, f"layer{k}_{i}", 2 if k > 1 and i == 0 else 1, intra, inter, shape)
    logits = self.linear(x.mean((2, 3)), "fc")[:, 0]
    return logits.unflatten(0, shape).mean((1, 2))


def build(method: Method) -> tuple[DIL, dict]:
  """The twin of a method, and the method's variables that it has too."""
  variables = draw(method)
  return DIL(variables, method.model), variables
