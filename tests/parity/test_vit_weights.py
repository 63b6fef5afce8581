"""ImageNet ViT weights, timm's and augreg's, in DIP's encoder against a PyTorch ViT written from the paper."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
import torch
import torch.nn.functional as F

from configs import dip as dip_config
from dfdetect_jax import interop, methods
from dfdetect_jax.interop import convert, export, names
from dfdetect_jax.interop.transfer import transfer
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


def images(half: bool):
  """What the weights' own network is fed: augreg's and timm's (x/255 − ½)/½, or ImageNet's statistics."""
  mean, std = (0.5, 0.5) if half else (np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225]))
  return ((clips().reshape(-1, 64, 64, 3) / 255 - mean) / std).transpose(0, 3, 1, 2).astype(np.float32)


def tokens(params, spatial, temporal):
  encoder = SpatioTemporalEncoder(PATCH, WIDTH, HEADS, MLP, 1, spatial, temporal)
  return jax.jit(encoder.apply)({"params": params["ste"]}, jnp.asarray(clips())).reshape(4, 1 + SIDE**2, WIDTH)


def relative(have, want):
  return np.linalg.norm(have - want) / np.linalg.norm(want)


# Name of the file, what is asked, whether (x/255 − ½)/½ is expected.
FILES = [
  ("vit.safetensors", None, True), ("vit_base_augreg.npz", None, True), ("deit_base.safetensors", None, False),
  ("vit.safetensors", "imagenet", False),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("name", "asked", "half"), FILES)
def test_tokens_equal_pytorch(name, asked, half, tmp_path):
  """Guards names, layouts and normalisation of both kinds of file: DIP's encoder on single frames gives the tokens
  that the ViT gives of images as the file's own network expects them."""
  state, file = timm_state(), tmp_path / name
  if name.endswith(".npz"):
    np.savez(file, **augreg(state))
  else:
    safetensors.numpy.save_file(state, file)
  report = convert.convert(config(DEPTH, 0), file, tmp_path / "dip", normalisation=asked)
  assert set(report.unused) == {"head.weight", "head.bias"} and not report.adapted
  assert not [n for n in report.fresh if "/ste/" in n and "temporal_embedding" not in n]
  told = json.loads((tmp_path / "dip" / "conversion.json").read_text())["source"]["normalisation"]
  assert told == ("half" if half else "imagenet")
  _, variables = interop.load(tmp_path / "dip")
  assert relative(tokens(variables["params"], DEPTH, 0), torch_vit(state, images(half), range(DEPTH))) < 1e-4


@pytest.mark.slow
def test_identity_starts_as_the_image_network(tmp_path):
  """Guards `temporal_init=identity` by equality: with temporal blocks between them, the spatial blocks hold the file's
  in order, and the encoder is the ViT of so many blocks on each frame."""
  state = timm_state()
  safetensors.numpy.save_file(state, tmp_path / "vit.safetensors")
  settings = config(1, 1, **{"model.temporal_init": "identity", "model.units": DEPTH})
  convert.convert(config(DEPTH, 0), tmp_path / "vit.safetensors", tmp_path / "dip")
  variables, report = interop.initial_variables(tmp_path / "dip", settings, jax.random.key(1))
  random = {*report.random_modules()}
  assert {n for n in random if "ste/" in n} == {f"ste/unit{i}/temporal0" for i in range(DEPTH)} | {
    "ste/temporal_embedding"
  }
  encoder = SpatioTemporalEncoder(PATCH, WIDTH, HEADS, MLP, DEPTH, 1, 1)
  have = jax.jit(encoder.apply)({"params": variables["params"]["ste"]}, jnp.asarray(clips()))
  want = torch_vit(state, images(half=True), range(DEPTH))
  assert relative(have.reshape(want.shape), want) < 1e-4


def test_blocks_go_by_the_number_of_the_file(tmp_path):
  """Guards SA:TA ratios from one folder: block n of a model is block n of the file, however the model groups them;
  blocks past the file's end do nothing at first, and what the file has beyond the model's is named."""
  state = timm_state()
  safetensors.numpy.save_file(state, tmp_path / "vit.safetensors")
  for spatial, temporal, units in ((1, 1, 1), (1, 2, 1), (2, 1, 2), (1, 1, 3)):
    settings = config(spatial, temporal, **{"model.units": units})
    shapes = jax.eval_shape(methods.build(settings).init, jax.random.key(0))
    flat = {n: np.zeros(s.shape, s.dtype) for n, s in names.flatten(shapes).items()}
    [table] = methods.weight_tables(settings)
    values, report = transfer(state, table, flat)
    assert not report.problems()
    for number in range(units * (spatial + temporal)):
      unit, place = divmod(number, spatial + temporal)
      block = f"params/ste/unit{unit}/" + (f"spatial{place}" if place < spatial else f"temporal{place - spatial}")
      source = f"blocks.{min(number, DEPTH - 1)}"
      np.testing.assert_array_equal(values[f"{block}/mlp/fc1/kernel"], state[f"{source}.mlp.fc1.weight"].T)
      if number >= DEPTH:
        assert not values[f"{block}/mlp/fc2/kernel"].any() and not values[f"{block}/attention/out/kernel"].any()
        assert "does nothing at first" in report.adapted[f"{block}/mlp/fc2/kernel"]
    beyond = {key.split(".")[1] for key, why in report.unused.items() if "blocks" in why}
    assert beyond == {str(n) for n in range(units * (spatial + temporal), DEPTH)}


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
