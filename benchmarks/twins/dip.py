"""DIP in PyTorch, written for speed: frames and positions as batches, fused attention. Its logit alone.

tests/parity/test_dip.py has the paper's sentences one by one, in float64; this has to agree with the model as that has.
"""

import torch
import torch.nn.functional as F

from benchmarks.twins.weights import Weights, draw, imagenet
from dfdetect_jax.methods.dip.model import DIP as OurDip
from dfdetect_jax.methods.method import Method


class DIP(Weights):
  """The network of §III with cross-attention and diffusion; kernels lie as Linen has them."""

  moved = False
  layout = None

  def __init__(self, variables, model: OurDip):
    super().__init__(variables)
    self.model = model

  def dense(self, x, name, axes=1):
    """A product with a kernel that is flattened to `[in, out]`, its first `axes` axes being the inputs."""
    kernel = getattr(self, f"{name}/kernel")
    return F.linear(x, kernel.flatten(0, axes - 1).flatten(1).T, getattr(self, f"{name}/bias").flatten())

  def norm(self, x, name):
    return F.layer_norm(x, x.shape[-1:], getattr(self, f"{name}/scale"), getattr(self, f"{name}/bias"), 1e-6)

  def heads(self, x):
    return x.unflatten(-1, (self.model.heads, -1)).transpose(1, 2)

  def mlp(self, x, name):
    return self.dense(F.gelu(self.dense(x, f"{name}/fc1")), f"{name}/fc2")

  def block(self, x, name):
    """A ViT block on `[N, tokens, E]`."""
    q, k, v = self.dense(self.norm(x, f"{name}/norm1"), f"{name}/attention/qkv").chunk(3, -1)
    y = F.scaled_dot_product_attention(self.heads(q), self.heads(k), self.heads(v))
    x = x + self.dense(y.transpose(1, 2).flatten(2), f"{name}/attention/out", axes=2)
    return x + self.mlp(self.norm(x, f"{name}/norm2"), f"{name}/mlp")

  def ste(self, clips):
    m, (batch, frames, size) = self.model, clips.shape[:3]
    side = size // m.patch
    x = imagenet(clips).reshape(batch, frames, side, m.patch, side, m.patch, 3).transpose(3, 4)
    x = self.dense(x.reshape(batch, frames, side * side, -1), "ste/patch_embedding", axes=3)
    x = torch.cat([getattr(self, "ste/cls").expand(batch, frames, 1, -1), x], 2)
    x = x + getattr(self, "ste/spatial_embedding") + getattr(self, "ste/temporal_embedding")
    for u in range(m.units):
      for i in range(m.spatial):
        x = self.block(x.flatten(0, 1), f"ste/unit{u}/spatial{i}").unflatten(0, (batch, frames))
      cls, patches = x[:, :, :1], x[:, :, 1:].transpose(1, 2)
      for i in range(m.temporal):
        patches = self.block(patches.flatten(0, 1), f"ste/unit{u}/temporal{i}").unflatten(0, (batch, -1))
      x = torch.cat([cls, patches.transpose(1, 2)], 2)
    return self.norm(x, "ste/norm")

  def diffusion(self, nodes):
    """Eq. 1-4 for nodes `[B, 2L, E]`: distances `[B, 2L, 2L]`."""
    count = nodes.shape[1]
    distance = ((nodes[:, :, None] - nodes[:, None]) ** 2).sum(-1)
    position = torch.arange(count) % (count // 2)
    near = (position[:, None] - position[None, :]).abs() <= self.model.k_n // 2
    w = torch.where(near, torch.exp(-self.mu.abs() * distance), torch.zeros_like(distance))
    degree = w.sum(2)
    p = torch.linalg.matrix_power(w / degree[:, :, None], self.model.t)
    density = degree.sum(1, keepdim=True) / degree
    return ((p[:, :, None] - p[:, None]) ** 2 * density[:, None, None]).sum(-1)

  def dica(self, query, other, name, bias):
    q, k, v = (
      self.heads(self.dense(x, f"{name}/{y}")) for x, y in ((query, "query"), (other, "key"), (other, "value"))
    )
    y = F.scaled_dot_product_attention(q, k, v, attn_mask=bias[:, None])
    return self.dense(y.transpose(1, 2).flatten(2), f"{name}/out", axes=2)

  def forward(self, clips):
    """Clips [B, T, M, M, 3] uint8; the logit."""
    z = self.ste(clips)
    side = round((z.shape[2] - 1) ** 0.5)
    grid, cls = z[:, :, 1:].unflatten(2, (side, side)).mean(1), z[:, :, :1].mean(1)
    z_h, z_v = torch.cat([cls, grid.mean(2)], 1), torch.cat([cls, grid.mean(1)], 1)
    d = self.diffusion(torch.cat([z_h[:, 1:], z_v[:, 1:]], 1))
    tau = self.tau_1.abs()
    bias_h, bias_v = (F.pad(torch.exp(-tau * x), (1, 0, 1, 0)) for x in (d[:, :side, side:], d[:, side:, :side]))
    for i in range(self.model.layers):
      n_h, n_v = self.norm(z_h, f"dica{i}/norm1_h"), self.norm(z_v, f"dica{i}/norm1_v")
      z_h = z_h + self.dica(n_h, n_v, f"dica{i}/attention_h", bias_h)
      z_v = z_v + self.dica(n_v, n_h, f"dica{i}/attention_v", bias_v)
      z_h = z_h + self.mlp(self.norm(z_h, f"dica{i}/norm2_h"), f"dica{i}/mlp_h")
      z_v = z_v + self.mlp(self.norm(z_v, f"dica{i}/norm2_v"), f"dica{i}/mlp_v")
    z_h, z_v = self.norm(z_h[:, 0], "norm_h"), self.norm(z_v[:, 0], "norm_v")
    return self.dense(torch.cat([z_h, z_v], -1), "logit")[:, 0]


def build(method: Method) -> tuple[DIP, dict]:
  """The twin of a method, and the method's variables that it has too."""
  variables = draw(method)
  return DIP(variables, method.model), variables
