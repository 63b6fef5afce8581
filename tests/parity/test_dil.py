"""Intra-SIM and Inter-SIM against PyTorch formulations written from the paper, with the same weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from dfdetect_jax.methods.dil.inter_sim import InterSIM
from dfdetect_jax.methods.dil.intra_sim import IntraSIM


def t(array) -> torch.Tensor:
  """A PyTorch copy."""
  return torch.from_numpy(np.array(array))


def conv_weight(params) -> torch.Tensor:
  """[out, in, height, width] from Linen's [height, width, in, out]."""
  return t(params["kernel"]).permute(3, 2, 0, 1)


def torch_intra_sim(params, i, bidirectional, coordinate, learnable_kernel):
  """Eq. 1-6 for I `[N, C, T, H, W]`, each direction's path spelled out by itself."""
  i1, i2 = i.chunk(2, dim=1)
  n, c, frames, height, width = i2.shape
  p = params["attention"]
  squeezed = torch.einsum("nctyx,cs->nstyx", i2, t(p["squeeze"]["kernel"])[0, 0])
  s = squeezed.shape[1]
  frame = [squeezed[:, :, k] for k in range(frames)]
  conv = [F.conv2d(f, conv_weight(p["depthwise"]), padding=1, groups=s) for f in frame]
  zero = torch.zeros_like(frame[0])
  forward = torch.stack([frame[k] - conv[k + 1] for k in range(frames - 1)] + [zero], dim=2)
  backward = torch.stack([zero] + [frame[k + 1] - conv[k] for k in range(frames - 1)], dim=2)

  def recover(planes, plane):
    weight, bias = conv_weight(p[f"recover_{plane}"]), t(p[f"recover_{plane}"]["bias"])
    return F.conv2d(F.conv2d(planes, weight_of[plane], padding=1) + planes, weight, bias)

  # Linen's kernel for the (H, T) planes has time first, Eq. 2 has height first.
  weight_of = {k: conv_weight(p[f"conv_{k}"]) for k in ("th", "tw", "hw") if f"conv_{k}" in p}
  if "th" in weight_of:
    weight_of["th"] = weight_of["th"].transpose(2, 3)

  def path(d):
    if not coordinate:
      planes = d.permute(0, 2, 1, 3, 4).reshape(n * frames, s, height, width)
      return [recover(planes, "hw").reshape(n, frames, c, height, width).permute(0, 2, 1, 3, 4)]
    d_h = d.permute(0, 4, 1, 3, 2).reshape(n * width, s, height, frames)
    d_w = d.permute(0, 3, 1, 2, 4).reshape(n * height, s, frames, width)
    d_h = recover(d_h, "th").reshape(n, width, c, height, frames).permute(0, 2, 4, 3, 1)
    d_w = recover(d_w, "tw").reshape(n, height, c, frames, width).permute(0, 2, 3, 1, 4)
    return [d_h, d_w]

  maps = [torch.sigmoid(0.5 * (f + b) if bidirectional else f) for f, b in zip(path(forward), path(backward))]
  attention = maps[0] * maps[1] if coordinate else maps[0]
  y = attention * i2 + i2
  if learnable_kernel:
    phi1, phi2 = params["kernel"]["phi1"], params["kernel"]["phi2"]
    profile = i2.mean(dim=(3, 4))
    hidden = F.relu(F.linear(profile, t(phi1["kernel"]).T, t(phi1["bias"])))
    kernel = torch.softmax(F.linear(hidden, t(phi2["kernel"]).T, t(phi2["bias"])), dim=-1).reshape(n * c, 1, 3, 1, 1)
  else:
    kernel = t(params["kernel"]).T.reshape(1, c, 3).expand(n, c, 3).reshape(n * c, 1, 3, 1, 1)
  o2 = F.conv3d(y.reshape(1, n * c, frames, height, width), kernel, padding=(1, 0, 0), groups=n * c)
  return torch.cat([i1, o2.reshape(i2.shape)], dim=1), attention.mean(dim=1)


def torch_inter_sim(params, stats, f, train):
  """Eq. 7-11 for F `[B, C, U, T, H, W]`."""
  b, c, snippets, frames, height, width = f.shape
  mean = f.mean(dim=(4, 5))

  def conv(x, name, **settings):
    bias = t(params[name]["bias"]) if "bias" in params[name] else None
    return F.conv2d(x, conv_weight(params[name]), bias, **settings)

  norm = params["snippet_norm"]
  running = t(stats["snippet_norm"]["mean"]), t(stats["snippet_norm"]["var"])
  x = conv(mean, "snippet_conv", padding=(1, 0))
  x = F.batch_norm(x, *running, t(norm["scale"]), t(norm["bias"]), train, 0.1, 1e-5)
  f1 = torch.sigmoid(conv(x, "snippet_recover"))
  x = conv(mean, "motion_squeeze")
  y = conv(x, "motion_conv", padding=(0, 1))
  d = torch.zeros_like(x)
  for u in range(snippets - 1):
    d[:, :, u] += x[:, :, u] - y[:, :, u + 1]
    d[:, :, u + 1] += x[:, :, u + 1] - y[:, :, u]
  f2 = torch.sigmoid(conv(d, "motion_recover"))
  attention = f1 * f2
  o = attention[..., None, None] * f + f
  o = o.permute(0, 3, 4, 5, 1, 2).reshape(-1, c, snippets)
  o = F.conv1d(o, t(params["conv_u"]).T.reshape(c, 1, 3), padding=1, groups=c)
  return o.reshape(b, frames, height, width, c, snippets).permute(0, 4, 5, 1, 2, 3), attention.mean(dim=1)


def check(module_fn, torch_fn, x, to_torch, from_torch):
  """Outputs and map equal to 1e-4, the gradient to the input to 1e-3, relative."""
  rng = np.random.default_rng(1)
  (out, drawn), vjp = jax.vjp(jax.jit(module_fn), jnp.asarray(x))
  probe, probe_map = (rng.normal(size=v.shape).astype(np.float32) for v in (out, drawn))
  gradient = vjp((jnp.asarray(probe), jnp.asarray(probe_map)))[0]

  x = to_torch(t(x)).requires_grad_()
  want, want_map = torch_fn(x)
  torch.autograd.backward([from_torch(want), want_map.reshape(drawn.shape)], [t(probe), t(probe_map)])
  for have, expected, tolerance in (
    (out, from_torch(want).detach(), 1e-4),
    (drawn, want_map.detach().reshape(drawn.shape), 1e-4),
    (gradient, from_torch(x.grad), 1e-3),
  ):
    error = np.linalg.norm(have - expected.numpy()) / np.linalg.norm(expected.numpy())
    assert error < tolerance, error


@pytest.mark.slow
@pytest.mark.parametrize(
  "switches", [(True, True, True), (False, False, False), (True, False, False), (True, True, False)]
)
def test_intra_sim_equals_pytorch(switches):
  """Guards Eq. 1-6: which frame a difference belongs to, the planes' axes, the kernel's direction; Table 5's rows."""
  rng = np.random.default_rng(0)
  x = rng.normal(size=(2, 3, 4, 5, 6, 16)).astype(np.float32)
  module = IntraSIM(4, *switches)
  params = jax.tree.map(
    lambda v: rng.normal(size=v.shape).astype(np.float32) * 0.5, jax.jit(module.init)(jax.random.key(0), x)["params"]
  )
  check(
    lambda x: module.apply({"params": params}, x),
    lambda x: torch_intra_sim(params, x, *switches),
    x,
    lambda x: x.reshape(6, *x.shape[2:]).permute(0, 4, 1, 2, 3).detach(),
    lambda y: y.permute(0, 2, 3, 4, 1).reshape(2, 3, *y.shape[2:], y.shape[1]),
  )


@pytest.mark.slow
@pytest.mark.parametrize("train", [False, True])
def test_inter_sim_equals_pytorch(train):
  """Guards Eq. 7-11: the axes of the 3×1 and 1×3 convolutions, BatchNorm's place, where differences stand, Conv_U."""
  rng = np.random.default_rng(0)
  x = rng.normal(size=(2, 5, 4, 3, 6, 8)).astype(np.float32)
  module = InterSIM(2)
  variables = jax.tree.map(
    lambda v: rng.uniform(0.2, 1.2, size=v.shape).astype(np.float32), jax.jit(module.init)(jax.random.key(0), x)
  )
  params = jax.tree.map(lambda v: v - np.float32(0.7), variables["params"])
  stats = variables["batch_stats"]
  check(
    lambda x: module.apply({"params": params, "batch_stats": stats}, x, train, mutable=["batch_stats"])[0],
    lambda x: torch_inter_sim(params, stats, x, train),
    x,
    lambda x: x.permute(0, 5, 1, 2, 3, 4).detach(),
    lambda y: y.permute(0, 2, 3, 4, 5, 1),
  )
