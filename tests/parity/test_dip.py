"""DIP, whole and in parts, against a PyTorch formulation written from §III of the paper, in float64."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from dfdetect_jax.methods.dip import decoder, encoder, model

TINY = dict(patch=4, width=12, heads=2, mlp=20, units=2, spatial=1, temporal=1, layers=1, k_n=3, t=5)
DEEP = {**TINY, "units": 1, "spatial": 2, "layers": 2}
B, FRAMES, SIZE, SIDE = 2, 3, 16, 4


def randomised(tree, seed=0):
  """Random parameters of the tree's shapes: with the initial zeros and ones a forgotten bias would not show."""
  rng = np.random.default_rng(seed)

  def draw(path, p):
    name = path[-1].key
    fixed = {"mu": 0.07, "tau_1": 1.3, "tau_2": 0.6, "scale": 1.0}.get(name, 0.0)
    width = np.prod(p.shape[:-1]) if name == "kernel" else 16.0
    return np.float32(fixed) + (rng.normal(size=p.shape) / width**0.5).astype(np.float32) * (p.ndim > 0)

  return jax.tree_util.tree_map_with_path(draw, tree)


def double(tree):
  return jax.tree.map(lambda p: torch.from_numpy(np.array(p, np.float64)).requires_grad_(), tree)


class Reference:
  """The paper's pipeline, sentence by sentence; tokens are looped over where the paper indexes them."""

  def __init__(self, params, settings):
    self.p = params
    self.s = settings

  def linear(self, x, p, axes=1):
    kernel = p["kernel"]
    inputs = int(np.prod(kernel.shape[:axes]))
    return x @ kernel.reshape(inputs, -1) + p["bias"].reshape(-1)

  def norm(self, x, p):
    return F.layer_norm(x, x.shape[-1:], p["scale"], p["bias"], 1e-6)

  def attention(self, query, other, q, k, v, out, bias=None):
    """PyTorch's multi-head attention on projection weights `[E, E]` given apart, `bias` added to the logits."""
    e, heads = query.shape[-1], self.s["heads"]
    weights = [x["kernel"].reshape(e, e).T for x in (q, k, v)]
    biases = torch.cat([x["bias"].reshape(e) for x in (q, k, v)])
    if bias is not None:
      bias = bias.repeat_interleave(heads, 0)
    y, maps = F.multi_head_attention_forward(
      query.transpose(0, 1), other.transpose(0, 1), other.transpose(0, 1), e, heads, None, biases, None, None, False,
      0.0, out["kernel"].reshape(e, e).T, out["bias"], need_weights=True, attn_mask=bias,
      use_separate_proj_weight=True, q_proj_weight=weights[0], k_proj_weight=weights[1], v_proj_weight=weights[2],
      average_attn_weights=False,
    )  # fmt: skip
    return y.transpose(0, 1), maps

  def mlp(self, x, p):
    return self.linear(F.gelu(self.linear(x, p["fc1"])), p["fc2"])

  def block(self, x, p):
    qkv = [
      {"kernel": p["attention"]["qkv"]["kernel"][:, i], "bias": p["attention"]["qkv"]["bias"][i]} for i in range(3)
    ]
    y = self.norm(x, p["norm1"])
    x = x + self.attention(y, y, *qkv, p["attention"]["out"])[0]
    return x + self.mlp(self.norm(x, p["norm2"]), p["mlp"])

  def ste(self, clips):
    p = self.p["ste"]
    mean, std = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]], dtype=torch.float64)
    x = (clips / 255 - mean) / std
    b, t, m = x.shape[:3]
    kernel = p["patch_embedding"]["kernel"].permute(3, 2, 0, 1)
    x = F.conv2d(x.flatten(0, 1).permute(0, 3, 1, 2), kernel, p["patch_embedding"]["bias"], self.s["patch"])
    x = x.flatten(2).transpose(1, 2)
    x = torch.cat([p["cls"].reshape(1, 1, -1).expand(b * t, 1, -1), x], 1).reshape(b, t, -1, x.shape[-1])
    x = x + p["spatial_embedding"] + p["temporal_embedding"]
    for u in range(self.s["units"]):
      unit = p[f"unit{u}"]
      for i in range(self.s["spatial"]):
        x = torch.stack([self.block(x[:, f], unit[f"spatial{i}"]) for f in range(t)], 1)
      for i in range(self.s["temporal"]):
        # Each position by itself over the frames; position 0, the classification token, is excluded.
        moved = [self.block(x[:, :, j], unit[f"temporal{i}"]) for j in range(1, x.shape[2])]
        x = torch.stack([x[:, :, 0], *moved], 2)
    return self.norm(x, p["norm"])

  def directional(self, z):
    """Z_h and Z_v token by token: rows are tokens 1 + iL … of a frame, columns every L-th."""
    side = round((z.shape[2] - 1) ** 0.5)
    grid = z[:, :, 1:].unflatten(2, (side, side))

    def reduce(x, axis):
      return x.mean(axis) if self.s.get("pooling", "mean") == "mean" else x.amax(axis)

    cls = z[:, :, 0].mean(1)
    rows = [reduce(reduce(grid[:, :, i], 2), 1) for i in range(side)]
    columns = [reduce(reduce(grid[:, :, :, j], 2), 1) for j in range(side)]
    return torch.stack([cls, *rows], 1), torch.stack([cls, *columns], 1)

  def idm(self, nodes):
    """Eq. 1-4 for one clip."""
    n = len(nodes)
    distance = ((nodes[:, None] - nodes[None, :]) ** 2).sum(-1)
    position = torch.arange(n) % (n // 2)
    near = (position[:, None] - position[None, :]).abs() <= self.s["k_n"] // 2
    w = torch.where(near, torch.exp(-self.p["mu"] * distance), torch.zeros_like(distance))
    degree = w.sum(1)
    p_t = torch.linalg.matrix_power(w / degree[:, None], self.s["t"])
    return ((p_t[:, None] - p_t[None, :]) ** 2 * (degree.sum() / degree)).sum(-1)

  def __call__(self, clips):
    z_h, z_v = self.directional(self.ste(clips))
    dica, idm = self.s.get("dica", True), self.s.get("idm", True)
    length = z_h.shape[1] - 1
    out = {}
    bias_h = bias_v = None
    if idm:
      d = torch.stack([self.idm(torch.cat([h[1:], v[1:]])) for h, v in zip(z_h, z_v)])
      hh, hv, vh, vv = d[:, :length, :length], d[:, :length, length:], d[:, length:, :length], d[:, length:, length:]

      def bias(d):
        grown = torch.zeros(len(d), length + 1, length + 1, dtype=d.dtype)
        grown[:, 1:, 1:] = torch.exp(-self.p["tau_1"] * d)
        return grown

      bias_h, bias_v = (bias(hv), bias(vh)) if dica else (bias(hh), bias(vv))
      out["diffusion"] = d
      out["diffusion_similarity"] = torch.exp(-self.p["tau_2"] * torch.stack([hh, vv], 1))
      pairs = [F.cosine_similarity(z[:, 1:, None], z[:, None, 1:], dim=-1) for z in (z_h, z_v)]
      out["cosine"] = (1 + torch.stack(pairs, 1)) / 2
    for i in range(self.s["layers"]):
      p = self.p[f"dica{i}"]
      n_h, n_v = self.norm(z_h, p["norm1_h"]), self.norm(z_v, p["norm1_v"])
      a_h, a_v = p["attention_h"], p["attention_v"]
      y_h, out["attention_h"] = self.attention(
        n_h, n_v if dica else n_h, a_h["query"], a_h["key"], a_h["value"], a_h["out"], bias_h
      )
      y_v, out["attention_v"] = self.attention(
        n_v, n_h if dica else n_v, a_v["query"], a_v["key"], a_v["value"], a_v["out"], bias_v
      )
      z_h, z_v = z_h + y_h, z_v + y_v
      z_h = z_h + self.mlp(self.norm(z_h, p["norm2_h"]), p["mlp_h"])
      z_v = z_v + self.mlp(self.norm(z_v, p["norm2_v"]), p["mlp_v"])
    z_h, z_v = self.norm(z_h, self.p["norm_h"]), self.norm(z_v, self.p["norm_v"])
    out["logit_h"] = self.linear(z_h[:, 0], self.p["logit_h"])[:, 0]
    out["logit_v"] = self.linear(z_v[:, 0], self.p["logit_v"])[:, 0]
    out["logit"] = self.linear(torch.cat([z_h[:, 0], z_v[:, 0]], -1), self.p["logit"])[:, 0]
    out["features"] = torch.cat([z_h[:, 1:].mean(1), z_v[:, 1:].mean(1)], -1)
    return out


@functools.cache
def clips():
  return jnp.array(np.random.default_rng(0).integers(0, 256, (B, FRAMES, SIZE, SIZE, 3)), jnp.uint8)


def scalar(outputs):
  """Something that every output has a part in, each entry with a weight of its own."""
  total = 0.0
  for name in sorted(outputs):
    x = outputs[name]
    weights = np.cos(np.arange(int(np.prod(x.shape)))).reshape(x.shape)
    total = total + (x * (torch.from_numpy(weights) if torch.is_tensor(x) else jnp.asarray(weights, x.dtype))).sum()
  return total


@pytest.mark.slow
@pytest.mark.parametrize(
  ("settings", "differentiated"),
  [
    (DEEP, True),
    ({**TINY, "dica": False, "pooling": "max", "diffusion_path": "power"}, True),
    ({**TINY, "idm": False}, False),
  ],
  ids=["paper", "no_dica_max_power", "no_idm"],
)
def test_whole_model_equals_pytorch(settings, differentiated):
  """Guards every sentence of §III at once, also with Table VII's switches: outputs, gradients of all parameters."""
  dip = model.DIP(**settings)
  params = randomised(jax.eval_shape(dip.init, jax.random.key(0), clips())["params"])

  def total(params):
    outputs = dip.apply({"params": params}, clips())
    return scalar(outputs), outputs

  reference = Reference(double(params), settings)
  expected = reference(torch.from_numpy(np.array(clips(), np.float64)))
  if differentiated:
    gradient, outputs = jax.jit(jax.grad(total, has_aux=True))(params)
  else:
    _, outputs = jax.jit(total)(params)
  assert set(outputs) == set(expected)
  for name, value in expected.items():
    np.testing.assert_allclose(outputs[name], value.detach(), atol=1e-4, rtol=1e-4, err_msg=name)
  if differentiated:
    scalar(expected).backward()
    for (path, actual), torch_param in zip(
      jax.tree_util.tree_leaves_with_path(gradient), jax.tree.leaves(reference.p), strict=True
    ):
      scale = max(1e-2, torch_param.grad.abs().max().item())
      error = np.abs(np.asarray(actual) - torch_param.grad.numpy()).max() / scale
      assert error < 1e-3, f"{jax.tree_util.keystr(path)}: {error}"


@pytest.mark.slow
@pytest.mark.parametrize("biased", [False, True])
def test_dica_equals_pytorch_cross_attention(biased):
  """Guards DiCA: with zero bias it is plain cross-attention, with a bias it adds that to all heads' logits."""
  rng = np.random.default_rng(1)
  query, other, g = jnp.array(rng.normal(size=(3, B, 5, 12)), jnp.float32)
  bias = jnp.float32(biased) * jnp.array(rng.normal(size=(B, 5, 5)), jnp.float32)
  attention = decoder.DirectionalAttention(heads=2)
  params = randomised(attention.init(jax.random.key(0), query, other, bias)["params"])
  (out, maps), vjp = jax.vjp(lambda q, o: attention.apply({"params": params}, q, o, bias), query, other)
  by_query, by_other = vjp((g, jnp.zeros_like(maps)))

  p = double(params)
  tq, to = (torch.from_numpy(np.array(x, np.float64)).requires_grad_() for x in (query, other))
  expected, expected_maps = Reference(p, {"heads": 2}).attention(
    tq, to, p["query"], p["key"], p["value"], p["out"], torch.from_numpy(np.array(bias, np.float64)) if biased else None
  )
  expected.backward(torch.from_numpy(np.array(g, np.float64)))
  np.testing.assert_allclose(out, expected.detach(), atol=1e-5)
  np.testing.assert_allclose(maps, expected_maps.detach(), atol=1e-5)
  np.testing.assert_allclose(by_query, tq.grad, atol=1e-4)
  np.testing.assert_allclose(by_other, to.grad, atol=1e-4)


def test_attention_bias_spares_cls():
  """Guards the bias of Eq. 6-7: exp(-τ₁ D), zero in the row and the column of the CLS token."""
  distance = np.arange(8, dtype=np.float32).reshape(2, 2, 2)
  bias = decoder.attention_bias(jnp.asarray(distance), jnp.float32(0.5))
  np.testing.assert_array_equal(bias[:, 0], 0)
  np.testing.assert_array_equal(bias[:, :, 0], 0)
  np.testing.assert_allclose(bias[:, 1:, 1:], np.exp(-0.5 * distance), rtol=1e-6)


def test_directional_pooling_of_a_ramp():
  """Guards rows against columns: Z_h is indexed by the row, Z_v by the column, and the CLS token is in neither pool."""
  i, j = np.meshgrid(np.arange(3.0), np.arange(3.0), indexing="ij")
  frame = np.concatenate([[100.0], (10 * i + j).reshape(-1)])
  z = (frame[None, :] + 1000 * np.arange(2)[:, None])[None, :, :, None].astype(np.float32)
  z_h, z_v = encoder.directional_pooling(jnp.asarray(z))
  np.testing.assert_allclose(z_h[0, :, 0], [600, 501, 511, 521])
  np.testing.assert_allclose(z_v[0, :, 0], [600, 510, 511, 512])
  z_h, z_v = encoder.directional_pooling(jnp.asarray(z), "max")
  np.testing.assert_allclose(z_h[0, :, 0], [600, 1002, 1012, 1022])
  np.testing.assert_allclose(z_v[0, :, 0], [600, 1020, 1021, 1022])


@pytest.mark.slow
def test_cls_bypasses_temporal_attention():
  """Guards "we exclude classification tokens": without spatial blocks they leave the unit as they came."""
  unit = encoder.SpatioTemporalUnit(spatial=0, temporal=1, heads=2, mlp=20)
  tokens = jax.random.normal(jax.random.key(0), (1, FRAMES, 5, 12))
  variables = randomised(unit.init(jax.random.key(1), tokens))
  out = unit.apply(variables, tokens)
  np.testing.assert_array_equal(out[:, :, 0], tokens[:, :, 0])
  # A position's frames see each other, positions do not.
  moved = unit.apply(variables, tokens.at[:, 0, 2].multiply(-1.0))
  changed = np.abs(np.asarray(moved - out)).max(axis=(0, 3)) > 1e-6
  np.testing.assert_array_equal(changed, np.arange(5)[None] == np.full((FRAMES, 1), 2))


@pytest.mark.slow
def test_temporal_attention_adds_nothing_at_the_start():
  """Guards the zero start of the temporal out-projections: loaded image weights are not disturbed through them."""
  unit = encoder.SpatioTemporalUnit(spatial=0, temporal=1, heads=2, mlp=20)
  tokens = jax.random.normal(jax.random.key(0), (1, FRAMES, 5, 12))
  params = unit.init(jax.random.key(1), tokens)["params"]["temporal0"]
  np.testing.assert_array_equal(params["attention"]["out"]["kernel"], 0)
  mlp_only = tokens + nn.LayerNorm(epsilon=1e-6).apply({"params": params["norm2"]}, tokens) @ np.zeros((12, 12))
  hidden = nn.gelu(
    nn.LayerNorm(epsilon=1e-6).apply({"params": params["norm2"]}, tokens) @ params["mlp"]["fc1"]["kernel"], False
  )
  mlp_only = mlp_only + hidden @ params["mlp"]["fc2"]["kernel"]
  out = unit.apply({"params": {"temporal0": params}}, tokens)
  np.testing.assert_allclose(out[:, :, 1:], mlp_only[:, :, 1:], atol=1e-5)
