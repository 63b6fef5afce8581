"""ImageNet ViT weights, timm's and augreg's, in DIP's encoder against a PyTorch ViT written from the paper."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
import torch
import torch.nn.functional as F

from configs import dip as dip_config
from dfdetect_jax import interop
from dfdetect_jax.interop import convert, export
from dfdetect_jax.methods.dip.encoder import SpatioTemporalEncoder

PATCH, WIDTH, HEADS, MLP, DEPTH = 16, 32, 2, 64, 3
SIDE = 4  # patches along the side of DIP's test clips, 64 px


def timm_state(side=SIDE, seed=0):
  """Random weights under the names and in the layouts of timm's VisionTransformer."""
  rng = np.random.default_rng(seed)

  def values(*shape, around=0.0):
    return (around + 0.2 * rng.normal(size=shape)).astype(np.float32)

  state = {
    "cls_token": values(1, 1, WIDTH),
    "pos_embed": values(1, 1 + side**2, WIDTH),
    "patch_embed.proj.weight": values(WIDTH, 3, PATCH, PATCH),
    "patch_embed.proj.bias": values(WIDTH),
    "norm.weight": values(WIDTH, around=1),
    "norm.bias": values(WIDTH),
    "head.weight": values(10, WIDTH),
    "head.bias": values(10),
  }
  for i in range(DEPTH):
    for name, out, inside in (
      ("attn.qkv", 3 * WIDTH, WIDTH), ("attn.proj", WIDTH, WIDTH), ("mlp.fc1", MLP, WIDTH), ("mlp.fc2", WIDTH, MLP)
    ):  # fmt: skip
      state |= {f"blocks.{i}.{name}.weight": values(out, inside), f"blocks.{i}.{name}.bias": values(out)}
    for norm in ("norm1", "norm2"):
      state |= {f"blocks.{i}.{norm}.weight": values(WIDTH, around=1), f"blocks.{i}.{norm}.bias": values(WIDTH)}
  return state


def torch_vit(state, images, blocks):
  """Dosovitskiy et al., Eq. 1-4: tokens `[N, 1 + L², E]` of normalised images `[N, 3, H, W]`, through some blocks."""
  s = {k: torch.from_numpy(v) for k, v in state.items()}

  def norm(x, name):
    return F.layer_norm(x, (WIDTH,), s[f"{name}.weight"], s[f"{name}.bias"], 1e-6)

  def linear(x, name):
    return F.linear(x, s[f"{name}.weight"], s[f"{name}.bias"])

  x = F.conv2d(torch.from_numpy(images), s["patch_embed.proj.weight"], s["patch_embed.proj.bias"], stride=PATCH)
  x = x.flatten(2).transpose(1, 2)
  x = torch.cat([s["cls_token"].expand(x.shape[0], 1, WIDTH), x], dim=1) + s["pos_embed"]
  for i in blocks:
    y = linear(norm(x, f"blocks.{i}.norm1"), f"blocks.{i}.attn.qkv")
    q, k, v = (part.unflatten(-1, (HEADS, -1)).transpose(1, 2) for part in y.chunk(3, dim=-1))
    y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
    x = x + linear(y, f"blocks.{i}.attn.proj")
    x = x + linear(F.gelu(linear(norm(x, f"blocks.{i}.norm2"), f"blocks.{i}.mlp.fc1")), f"blocks.{i}.mlp.fc2")
  return norm(x, "norm").numpy()


def augreg(state):
  """The same weights as an augreg archive has them: Flax's names and layouts."""
  out = {
    "cls": state["cls_token"],
    "Transformer/posembed_input/pos_embedding": state["pos_embed"],
    "embedding/kernel": state["patch_embed.proj.weight"].transpose(2, 3, 1, 0),
    "embedding/bias": state["patch_embed.proj.bias"],
    "Transformer/encoder_norm/scale": state["norm.weight"],
    "Transformer/encoder_norm/bias": state["norm.bias"],
    "head/kernel": state["head.weight"].T,
    "head/bias": state["head.bias"],
  }
  depth = WIDTH // HEADS
  for i in range(DEPTH):
    ours, theirs = f"Transformer/encoderblock_{i}", f"blocks.{i}"
    attention = f"{ours}/MultiHeadDotProductAttention_1"
    for j, part in enumerate(("query", "key", "value")):
      rows = slice(j * WIDTH, (j + 1) * WIDTH)
      out[f"{attention}/{part}/kernel"] = state[f"{theirs}.attn.qkv.weight"][rows].T.reshape(WIDTH, HEADS, depth)
      out[f"{attention}/{part}/bias"] = state[f"{theirs}.attn.qkv.bias"][rows].reshape(HEADS, depth)
    out[f"{attention}/out/kernel"] = state[f"{theirs}.attn.proj.weight"].T.reshape(HEADS, depth, WIDTH)
    out[f"{attention}/out/bias"] = state[f"{theirs}.attn.proj.bias"]
    for a, b in (("LayerNorm_0", "norm1"), ("LayerNorm_2", "norm2")):
      out |= {f"{ours}/{a}/scale": state[f"{theirs}.{b}.weight"], f"{ours}/{a}/bias": state[f"{theirs}.{b}.bias"]}
    for a, b in (("Dense_0", "fc1"), ("Dense_1", "fc2")):
      out[f"{ours}/MlpBlock_3/{a}/kernel"] = state[f"{theirs}.mlp.{b}.weight"].T
      out[f"{ours}/MlpBlock_3/{a}/bias"] = state[f"{theirs}.mlp.{b}.bias"]
  return out


def config(spatial, temporal, **overrides):
  config = dip_config.get_config("test").unlock()
  overrides = {"model.spatial": spatial, "model.temporal": temporal, "clips.frames": 2, **overrides}
  config.update_from_flattened_dict(overrides)
  return config.lock()


def clips():
  return np.random.default_rng(3).integers(0, 256, (2, 2, 64, 64, 3), np.uint8)


def images():
  mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
  return ((clips().reshape(-1, 64, 64, 3) / 255 - mean) / std).transpose(0, 3, 1, 2).astype(np.float32)


def tokens(params, spatial, temporal):
  encoder = SpatioTemporalEncoder(PATCH, WIDTH, HEADS, MLP, 1, spatial, temporal)
  return jax.jit(encoder.apply)({"params": params["ste"]}, jnp.asarray(clips())).reshape(4, 1 + SIDE**2, WIDTH)


def relative(have, want):
  return np.linalg.norm(have - want) / np.linalg.norm(want)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["timm", "augreg"])
def test_tokens_equal_pytorch(kind, tmp_path):
  """Guards names and layouts of both kinds of file: DIP's encoder on single frames gives the ViT's tokens."""
  state = timm_state()
  file = tmp_path / ("vit.safetensors" if kind == "timm" else "vit.npz")
  if kind == "timm":
    safetensors.numpy.save_file(state, file)
  else:
    np.savez(file, **augreg(state))
  report = convert.convert(config(DEPTH, 0), file, tmp_path / "dip")
  assert set(report.unused) == {"head.weight", "head.bias"} and not report.adapted
  assert not [n for n in report.fresh if "/ste/" in n and "temporal_embedding" not in n]
  _, variables = interop.load(tmp_path / "dip")
  assert relative(tokens(variables["params"], DEPTH, 0), torch_vit(state, images(), range(DEPTH))) < 1e-4


@pytest.mark.slow
def test_temporal_blocks_start_as_their_mlps(tmp_path):
  """Guards the decision that temporal attention starts at zero although its block's other weights are loaded."""
  safetensors.numpy.save_file(timm_state(), tmp_path / "vit.safetensors")
  report = convert.convert(config(DEPTH - 1, 1), tmp_path / "vit.safetensors", tmp_path / "dip")
  out = "params/ste/unit0/temporal0/attention/out"
  assert {f"{out}/kernel", f"{out}/bias"} <= set(report.fresh)
  assert report.unused["blocks.2.attn.proj.weight"] == "temporal attention starts at zero"
  _, variables = interop.load(tmp_path / "dip")
  block = variables["params"]["ste"]["unit0"]["temporal0"]
  assert not np.any(block["attention"]["out"]["kernel"]) and np.any(block["mlp"]["fc1"]["kernel"])
  # The program runs the units of a scanned model as one; the file does not show it.
  export.export(tmp_path / "dip", tmp_path / "dip.safetensors")
  report = convert.convert(
    config(DEPTH - 1, 1, **{"model.scan": True}), tmp_path / "dip.safetensors", tmp_path / "scan"
  )
  assert not report.fresh and not report.adapted
  _, scanned = interop.load(tmp_path / "scan")
  before = variables["params"]["ste"]["unit0"]["spatial1"]["attention"]["qkv"]["kernel"]
  np.testing.assert_array_equal(scanned["params"]["ste"]["units"]["spatial1"]["attention"]["qkv"]["kernel"][0], before)


def test_positions_are_resampled(tmp_path):
  """Guards weights of another image size: the grid is resampled as PyTorch does it, the CLS token's stays."""
  state = timm_state(side=7)
  safetensors.numpy.save_file(state, tmp_path / "vit.safetensors")
  report = convert.convert(config(DEPTH, 0), tmp_path / "vit.safetensors", tmp_path / "dip")
  name = "params/ste/spatial_embedding"
  assert report.adapted == {name: "pos_embed [1, 50, 32] to [1, 17, 32], positions resampled"}
  have = np.asarray(interop.load(tmp_path / "dip")[1]["params"]["ste"]["spatial_embedding"])[0, 0]
  np.testing.assert_array_equal(have[0], state["pos_embed"][0, 0])
  grid = torch.from_numpy(state["pos_embed"][:, 1:].reshape(1, 7, 7, WIDTH)).permute(0, 3, 1, 2)
  want = F.interpolate(grid, size=(SIDE, SIDE), mode="bicubic", antialias=True).permute(0, 2, 3, 1).reshape(-1, WIDTH)
  np.testing.assert_allclose(have[1:], want.numpy(), atol=1e-5)
