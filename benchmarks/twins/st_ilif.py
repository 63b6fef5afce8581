"""ST-ILIF in PyTorch, written from §4 of its paper, channels first, on the Linen tree's weights by name."""

import torch
import torch.nn.functional as F

from benchmarks.twins.weights import Weights, draw, imagenet
from dfdetect_jax.methods.method import Method


class STILIF(Weights):
  """The whole network as `forward`, and its parts as methods whose `name` is the part's prefix in the tree."""

  recurrence = "single"
  unit_input = False

  def cafim(self, p, s, name=""):
    def attend(x, arm):
      weight = self.conv(x.mean((2, 3))[:, None], f"{name}{arm}_conv1d")[:, 0]
      return x * torch.sigmoid(weight)[:, :, None, None]

    a = self.conv(attend(p, "phase") + attend(s, "sequence"), f"{name}depthwise", groups=p.shape[1])
    a = self.conv(F.relu(self.bn(a, f"{name}bn1")), f"{name}pointwise")
    a = torch.sigmoid(self.bn(a, f"{name}bn2"))
    return p + p * a, s + s * a

  def affm(self, p, s, single_sigmoid=False, name=""):
    x = self.conv(p, f"{name}phase_conv") + self.conv(s, f"{name}sequence_conv")
    local = F.relu(self.bn(self.conv(x, f"{name}local_conv1"), f"{name}local_bn1"))
    local = self.bn(self.conv(local, f"{name}local_conv2"), f"{name}local_bn2")
    whole = x.mean((2, 3))[:, None]
    whole = F.relu(self.bn(self.conv(whole, f"{name}global_conv1"), f"{name}global_bn1"))
    whole = self.bn(self.conv(whole, f"{name}global_conv2"), f"{name}global_bn2")[:, 0, :, None, None]
    if not single_sigmoid:
      local, whole = torch.sigmoid(local), torch.sigmoid(whole)
    w = torch.sigmoid(local + whole)
    return torch.cat([p + p * w, s + s * w], 1)

  def gru(self, steps, name):
    half = steps[0].shape[1] // 2
    h = torch.zeros_like(steps[0][:, :half])
    for x in steps:
      new = x[:, :half]
      gates = torch.sigmoid(self.conv(torch.cat([new, h], 1), f"{name}/cell/gates"))
      z, r = gates[:, :half], gates[:, half:]
      h = (1 - z) * h + z * torch.tanh(self.conv(torch.cat([new, r * h], 1), f"{name}/cell/candidate"))
    return torch.cat([h, steps[-1][:, half:]], 1)

  def layer(self, x, name):
    for i in range(2):
      block = f"{name}_{i}"
      stride = 2 if hasattr(self, f"{block}/downsample_conv/kernel") else 1
      y = F.relu(self.bn(self.conv(x, f"{block}/conv1", stride), f"{block}/bn1"))
      y = self.bn(self.conv(y, f"{block}/conv2"), f"{block}/bn2")
      if stride == 2:
        x = self.bn(self.conv(x, f"{block}/downsample_conv", 2), f"{block}/downsample_bn")
      x = F.relu(x + y)
    return x

  def all_steps(self, f, steps):
    """Applies f to all steps in one batch: BatchNorm sees them together."""
    return list(f(torch.cat(steps)).chunk(len(steps)))

  def tdm(self, frames, recurrence, name=""):
    """Frames [B, T, 3, H, W]."""

    def stem(x, kind):
      return F.max_pool2d(F.relu(self.bn(self.conv(x, f"{name}{kind}conv1", 2), f"{name}{kind}bn1")), 3, 2, 1)

    x = stem(frames[:, frames.shape[1] // 2], "")
    steps = [frames[:, t + 1] - frames[:, t] for t in range(frames.shape[1] - 1)]
    if recurrence == "single":
      steps = [torch.cat(steps, 1)]
    steps = self.all_steps(lambda d: stem(F.avg_pool2d(d, 2), "difference_"), steps)
    x = x + F.interpolate(self.gru(steps, f"{name}gru1"), scale_factor=2)
    steps = self.all_steps(lambda d: self.layer(d, f"{name}difference_layer1"), steps)
    x = self.layer(x, f"{name}layer1") + F.interpolate(self.gru(steps, f"{name}gru2"), scale_factor=2)
    return self.gru([x], f"{name}gru3")

  def phase_image(self, grey):
    spectrum = torch.fft.fft2(grey)
    amplitude = 25000 * (grey.shape[-2] * grey.shape[-1]) ** 0.5 / 224
    return torch.fft.ifft2(amplitude * torch.exp(1j * spectrum.angle())).abs()

  def st_ilif(self, clips, recurrence="single", unit_input=False):
    """Clips [B, T, 3, H, W] on the 0-255 scale; the logit."""

    def block(x, name, stride=1):
      return F.relu(self.bn(self.conv(x, f"phase/{name}/conv", stride), f"phase/{name}/bn"))

    grey = clips.mean((1, 2))
    p = torch.stack([self.phase_image(grey), grey], 1).detach()
    p = p / 127.5 - 1 if unit_input else p
    p = p.contiguous(memory_format=self.layout)
    p = block(block(block(p, "stem_0"), "stem_1"), "stem_2", 2)
    s = self.tdm(imagenet(clips.movedim(2, -1)).movedim(-1, 2), recurrence, "sequence/first/")
    for k in range(4):
      p = block(block(F.max_pool2d(p, 3, 2, 1), f"stages_{k}_0"), f"stages_{k}_1")
      if k:
        s = self.layer(s, f"sequence/layer{k + 1}")
      p, s = self.cafim(p, s, f"cafim{k + 1}/")
    features = self.affm(p, s, name="affm/").mean((2, 3))
    return self.linear(features, "head")[:, 0]

  def forward(self, clips):
    """Clips [B, T, H, W, 3] uint8; the logit."""
    clips = clips if clips.is_floating_point() else clips.float()
    return self.st_ilif(clips.movedim(-1, 2), self.recurrence, self.unit_input)


def build(method: Method) -> tuple[STILIF, dict]:
  """The twin of a method, and the method's variables that it has too."""
  variables = draw(method)
  twin = STILIF(variables)
  twin.recurrence, twin.unit_input = method.model.recurrence, method.model.unit_input
  return twin, variables
