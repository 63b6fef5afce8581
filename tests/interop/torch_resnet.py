"""ResNet-18 and -50 in PyTorch with torchvision's parameter names, for tests; not a test."""

import torch
from torch import nn


class _Block(nn.Module):
  """BasicBlock (two 3×3 convolutions) or Bottleneck (1×1, 3×3, 1×1)."""

  def __init__(self, inputs, inner, stride, bottleneck):
    super().__init__()
    outputs = 4 * inner if bottleneck else inner
    kernels = ((1, 1), (3, stride), (1, 1)) if bottleneck else ((3, stride), (3, 1))
    channels = (inputs, inner, inner, outputs) if bottleneck else (inputs, inner, inner)
    for i, (kernel, s) in enumerate(kernels):
      conv = nn.Conv2d(channels[i], channels[i + 1], kernel, s, kernel // 2, bias=False)
      self.add_module(f"conv{i + 1}", conv)
      self.add_module(f"bn{i + 1}", nn.BatchNorm2d(channels[i + 1]))
    self.convolutions, self.downsample = len(kernels), None
    if stride > 1 or inputs != outputs:
      self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

  def forward(self, x):
    y = x
    for i in range(1, self.convolutions + 1):
      y = self.get_submodule(f"bn{i}")(self.get_submodule(f"conv{i}")(y))
      y = y if i == self.convolutions else torch.relu(y)
    return torch.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet(nn.Module):
  """`bottleneck`: ResNet-50, else ResNet-18; of any width, depth and number of classes."""

  def __init__(self, bottleneck, depths=None, width=64, classes=1000):
    super().__init__()
    self.conv1, self.bn1 = nn.Conv2d(3, width, 7, 2, 3, bias=False), nn.BatchNorm2d(width)
    self.maxpool, inputs = nn.MaxPool2d(3, 2, 1), width
    self.depths = depths or ((3, 4, 6, 3) if bottleneck else (2, 2, 2, 2))
    for k, depth in enumerate(self.depths, 1):
      inner, blocks = width * 2 ** (k - 1), []
      for i in range(depth):
        blocks.append(_Block(inputs, inner, 2 if k > 1 and i == 0 else 1, bottleneck))
        inputs = 4 * inner if bottleneck else inner
      self.add_module(f"layer{k}", nn.Sequential(*blocks))
    self.fc = nn.Linear(inputs, classes)
    # As after training: at their initial values a forgotten BatchNorm would pass.
    for module in self.modules():
      if isinstance(module, nn.BatchNorm2d):
        for values in (module.weight, module.bias, module.running_mean, module.running_var):
          values.data.uniform_(0.5, 1.5)

  def features(self, x):
    """Images `[N, 3, H, W]` to the last stage's mean over places."""
    x = self.maxpool(torch.relu(self.bn1(self.conv1(x))))
    for k in range(1, len(self.depths) + 1):
      x = self.get_submodule(f"layer{k}")(x)
    return x.mean(dim=(2, 3))

  def forward(self, x):
    return self.fc(self.features(x))
