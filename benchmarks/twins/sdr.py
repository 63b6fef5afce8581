"""SDR in PyTorch: FTCN's trunk once for each branch, fusion, FTCN's transformer (§II-B, §II-C). Its logit alone."""

import jax
import numpy as np
import torch
from torch import nn

from benchmarks.twins import ftcn
from dfdetect_jax.interop import names
from dfdetect_jax.methods.ftcn import model as our_ftcn
from dfdetect_jax.methods.method import Method
from dfdetect_jax.methods.sdr.model import SDR as OurSdr


class SDR(nn.Module):
  """Branches with weights of their own on the same clip, as at test; the transformer is the first branch's.

  Attributes as in `weights.Weights`.
  """

  layout = torch.channels_last_3d
  colours = 1

  def __init__(self, model: OurSdr):
    super().__init__()
    m = model
    size = (m.width, m.depths, m.layers, m.heads, m.mlp)
    self.branches = nn.ModuleList(ftcn.randomised(ftcn.FTCN(m.frames, *size), m.dropout) for _ in range(m.branches))
    width = 16 * m.width
    self.squeeze = nn.Linear(m.branches * width, m.bottleneck)
    self.restore = nn.Linear(m.bottleneck, width)
    self.projection = nn.Linear(width, width)
    self.linen = our_ftcn.FTCN(m.frames, *size)

  def forward(self, clips):
    """Clips [B, T, H, W, 3] uint8; the logit."""
    clips = clips.movedim(-1, 1)
    tokens = torch.cat([branch.tokens(clips) for branch in self.branches], -1)
    z = self.projection(self.restore(torch.relu(self.squeeze(tokens))))
    return self.branches[0].resnet.head.time_T(z)

  def to_linen(self, value) -> dict[str, np.ndarray]:
    """value(parameter or buffer) of each, by the names of `interop.names.flatten`."""
    flat = {}
    for i, branch in enumerate(self.branches):
      arrays = {key: value(tensor) for key, tensor in branch.state_dict(keep_vars=True).items()}
      for name, array in ftcn.to_linen(arrays, self.linen, self.example).items():
        collection, part, rest = name.split("/", 2)
        if part == "trunk":
          flat[f"{collection}/branch{i}/{rest}"] = array
        elif i == 0:
          flat[name] = array
    for name in ("squeeze", "restore", "projection"):
      layer = getattr(self, name)
      flat[f"params/fusion/{name}/kernel"], flat[f"params/fusion/{name}/bias"] = (
        value(layer.weight).T,
        value(layer.bias),
      )
    return flat

  def linen_gradients(self) -> dict[str, np.ndarray]:
    """The parameters' gradients as Linen has them, by the names of `interop.names.flatten`."""

    def gradient(tensor):
      return tensor.detach().numpy() if tensor.grad is None else tensor.grad.numpy()

    return {name: value for name, value in self.to_linen(gradient).items() if name.startswith("params/")}


def build(method: Method) -> tuple[SDR, dict]:
  """The twin of a method, and the method's variables that it has too.

  The predictive heads have no part in the logit: theirs are zeros.
  """
  torch.manual_seed(0)
  twin = SDR(method.model)
  twin.example = np.zeros((1, *method.clip_spec.shape(train=True)), np.uint8)
  like = jax.eval_shape(method.init, jax.random.key(0))
  heads = {name: np.zeros(leaf.shape, np.float32) for name, leaf in names.flatten(like).items() if "/heads/" in name}
  flat = twin.to_linen(lambda tensor: tensor.detach().numpy()) | heads
  return twin.to(memory_format=torch.channels_last_3d), names.unflatten(flat, like)
