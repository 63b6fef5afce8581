"""What the twins share: the arrays of a Linen tree as parameters of a PyTorch module, under the same names."""

from collections.abc import Mapping

import flax.traverse_util
import jax
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from dfdetect_jax.methods.method import Method


def draw(method: Method) -> dict:
  """Variables of a method with no layer switched off, without compiling its initialisation: the same each time."""
  rng = np.random.default_rng(0)
  fixed = {"mu": 0.07, "tau_1": 1.3, "tau_2": 0.6}

  def value(path, leaf):
    name = path[-1].key
    if name in fixed:
      return np.float32(fixed[name])
    if name in ("scale", "var"):
      return rng.uniform(0.5, 1.5, leaf.shape).astype(np.float32)
    inputs = leaf.size // max(1, leaf.shape[-1] if leaf.ndim else 1)
    spread = (1 / inputs) ** 0.5 if name == "kernel" else 0.1
    return (spread * rng.normal(size=leaf.shape)).astype(np.float32)

  return jax.tree_util.tree_map_with_path(value, jax.eval_shape(method.init, jax.random.key(0)))


class Weights(nn.Module):
  """Parameters and running statistics by the names of the Linen tree (`layer1_0/conv1/kernel`).

  Attributes:
    moved: whether kernels, `[*window, in, out]` in Linen, lie as PyTorch has them, `[out, in, *window]`.
    layout: of maps and kernels in memory; None where there are no convolutions.
    colours: the axis on which the colours of a clip come in PyTorch's own layout.
  """

  moved = True
  layout: torch.memory_format | None = torch.channels_last
  colours = -3

  def __init__(self, variables: Mapping, dtype: torch.dtype = torch.float32):
    super().__init__()
    for collection, tree in variables.items():
      for name, value in flax.traverse_util.flatten_dict(dict(tree), sep="/").items():
        value = np.asarray(value)
        value = np.moveaxis(value, (-1, -2), (0, 1)) if self._moves(name) else value
        tensor = torch.from_numpy(value.copy()).to(dtype)
        if tensor.ndim == 4 and self.moved:
          tensor = tensor.contiguous(memory_format=self.layout)
        if collection == "params":
          self.register_parameter(name, nn.Parameter(tensor))
        else:
          self.register_buffer(name, tensor)

  def _moves(self, name: str) -> bool:
    return self.moved and name.endswith("kernel")

  def linen_gradients(self) -> dict[str, np.ndarray]:
    """The parameters' gradients as Linen has them, by the names of `interop.names.flatten`."""
    gradients = {}
    for name, parameter in self.named_parameters():
      if parameter.grad is None:  # has no part in the logit
        continue
      gradient = parameter.grad.numpy()
      gradients[f"params/{name}"] = np.moveaxis(gradient, (0, 1), (-1, -2)) if self._moves(name) else gradient
    return gradients

  def conv(self, x: torch.Tensor, name: str, stride: int = 1, groups: int = 1, padding=None) -> torch.Tensor:
    """A convolution along the last axis or the last two, padded by half of its kernel."""
    kernel = getattr(self, f"{name}/kernel")
    bias = getattr(self, f"{name}/bias", None)
    padding = tuple(size // 2 for size in kernel.shape[2:]) if padding is None else padding
    return (F.conv1d if kernel.ndim == 3 else F.conv2d)(x, kernel, bias, stride, padding, groups=groups)

  def bn(self, x: torch.Tensor, name: str) -> torch.Tensor:
    """BatchNorm over all axes but axis 1; in training it updates the running statistics."""
    mean, var, scale, bias = (getattr(self, f"{name}/{leaf}") for leaf in ("mean", "var", "scale", "bias"))
    return F.batch_norm(x, mean, var, scale, bias, self.training, 0.1, 1e-5)

  def linear(self, x: torch.Tensor, name: str) -> torch.Tensor:
    """A fully connected layer on the last axis."""
    return F.linear(x, getattr(self, f"{name}/kernel"), getattr(self, f"{name}/bias"))


def imagenet(clips: torch.Tensor) -> torch.Tensor:
  """(x / 255 − mean) / std of clips `[..., 3]` on the 0-255 scale."""
  mean, std = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]], dtype=torch.float64) * 255
  dtype = clips.dtype if clips.is_floating_point() else torch.float32
  return (clips.to(dtype) - mean.to(dtype)) / std.to(dtype)
