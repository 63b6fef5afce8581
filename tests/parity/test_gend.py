"""GenD against PyTorch: CLIP's vision tower in both published layouts, a DINO-like ViT, and the metric losses."""

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import pytest
import torch
from torch import nn

from dfdetect_jax.interop import names, transfer
from dfdetect_jax.layers import imagenet
from dfdetect_jax.methods.baselines import clip_weights, frame_vit, gend

WIDTH, DEPTH, HEADS, PATCH, SIDE = 16, 2, 2, 8, 24


class TorchBlock(nn.Module):
  """A residual block as OpenAI's CLIP has it, on nn.MultiheadAttention; `exact` is timm's GELU."""

  def __init__(self, epsilon, exact):
    super().__init__()
    self.ln_1, self.ln_2 = nn.LayerNorm(WIDTH, epsilon), nn.LayerNorm(WIDTH, epsilon)
    self.attn = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)
    self.mlp = nn.ModuleDict({"c_fc": nn.Linear(WIDTH, 4 * WIDTH), "c_proj": nn.Linear(4 * WIDTH, WIDTH)})
    self.exact = exact

  def forward(self, x):
    y = self.ln_1(x)
    x = x + self.attn(y, y, y, need_weights=False)[0]
    y = self.mlp["c_fc"](self.ln_2(x))
    y = nn.functional.gelu(y) if self.exact else y * torch.sigmoid(1.702 * y)
    return x + self.mlp["c_proj"](y)


class TorchTower(nn.Module):
  """The vision tower, named as OpenAI names it; `bias` and `exact` make it timm's."""

  def __init__(self, of_timm):
    super().__init__()
    epsilon = 1e-6 if of_timm else 1e-5
    self.conv1 = nn.Conv2d(3, WIDTH, PATCH, PATCH, bias=of_timm)
    self.class_embedding = nn.Parameter(torch.randn(WIDTH))
    self.positional_embedding = nn.Parameter(torch.randn(1 + (SIDE // PATCH) ** 2, WIDTH))
    self.ln_pre = nn.Identity() if of_timm else nn.LayerNorm(WIDTH, epsilon)
    self.transformer = nn.ModuleDict({"resblocks": nn.ModuleList(TorchBlock(epsilon, of_timm) for _ in range(DEPTH))})
    self.ln_post = nn.LayerNorm(WIDTH, epsilon)

  def forward(self, images):
    x = self.conv1(images).flatten(2).transpose(1, 2)
    x = torch.cat([self.class_embedding.expand(len(x), 1, WIDTH), x], dim=1) + self.positional_embedding
    x = self.ln_pre(x)
    for block in self.transformer["resblocks"]:
      x = block(x)
    return self.ln_post(x[:, 0])


def tower(of_timm):
  torch.manual_seed(0)
  made = TorchTower(of_timm)
  with torch.no_grad():
    for parameter in made.parameters():
      parameter.copy_(parameter + 0.2 * torch.randn_like(parameter))
  return made.eval()


def openai(state):
  return {f"visual.{name}": a for name, a in state.items()} | {
    "visual.proj": np.ones((WIDTH, 4), np.float32), "logit_scale": np.float32(1), "token_embedding.weight": np.ones(4),
    "positional_embedding": np.ones((7, 4)), "transformer.resblocks.0.ln_1.weight": np.ones(4),
  }  # fmt: skip


def hugging_face(state):
  file = {
    "vision_model.embeddings.class_embedding": state["class_embedding"],
    "vision_model.embeddings.position_embedding.weight": state["positional_embedding"],
    "vision_model.embeddings.patch_embedding.weight": state["conv1.weight"],
    "vision_model.embeddings.position_ids": np.arange(10)[None],
    "text_model.final_layer_norm.weight": np.ones(4), "visual_projection.weight": np.ones((4, WIDTH)),
  }  # fmt: skip
  for ours, theirs in (("ln_pre", "pre_layrnorm"), ("ln_post", "post_layernorm")):
    file |= {f"vision_model.{theirs}.{leaf}": state[f"{ours}.{leaf}"] for leaf in ("weight", "bias")}
  for i in range(DEPTH):
    at, to = f"transformer.resblocks.{i}", f"vision_model.encoder.layers.{i}"
    for leaf in ("weight", "bias"):
      for ours, theirs in (
        ("ln_1", "layer_norm1"), ("ln_2", "layer_norm2"), ("attn.out_proj", "self_attn.out_proj"),
        ("mlp.c_fc", "mlp.fc1"), ("mlp.c_proj", "mlp.fc2"),
      ):  # fmt: skip
        file[f"{to}.{theirs}.{leaf}"] = state[f"{at}.{ours}.{leaf}"]
      for part, a in zip("qkv", np.split(state[f"{at}.attn.in_proj_{leaf}"], 3), strict=True):
        file[f"{to}.self_attn.{part}_proj.{leaf}"] = a
  return file


def timm(state):
  """timm's own names, which the tower's are brought to; the class token and positions have leading axes there."""
  file = clip_weights.to_timm({f"visual.{name}": a for name, a in state.items()})
  assert file["cls_token"].shape == (1, 1, WIDTH) and file["pos_embed"].shape == (1, 10, WIDTH)
  file["patch_embed.proj.bias"] = file.pop("visual.conv1.bias")  # CLIP has none
  return file | {"head.weight": np.ones((10, WIDTH), np.float32)}


@pytest.mark.parametrize(
  "name, layout, of_timm", [("clip", openai, False), ("clip", hugging_face, False), ("timm", timm, True)]
)
def test_the_tower_is_pytorchs(name, layout, of_timm):
  """Guards converted towers: class token, pre-norm, quick GELU, ε and normalisation, in each published layout."""
  theirs = tower(of_timm)
  arrays = layout({key: value.numpy() for key, value in theirs.state_dict().items()})
  model = frame_vit.FrameViT(PATCH, WIDTH, DEPTH, HEADS, name)
  frames = np.random.default_rng(0).integers(0, 256, (2, 3, SIDE, SIDE, 3), dtype=np.uint8)
  shapes = jax.eval_shape(model.init, jax.random.key(0), frames)
  flat = {key: np.zeros(x.shape, np.float32) for key, x in names.flatten(shapes).items()}
  flat, report = transfer.transfer(arrays, clip_weights.table(name), flat)
  assert not report.problems(), str(report)
  assert set(report.fresh) == {"params/head/kernel", "params/head/bias"}
  features = jax.jit(model.apply)(names.unflatten(flat, shapes), frames)["features"]

  mean, std = (frame_vit.CLIP_MEAN, frame_vit.CLIP_STD) if name == "clip" else (imagenet.MEAN, imagenet.STD)
  images = (frames.reshape(-1, SIDE, SIDE, 3) / 255 - mean) / std
  with torch.no_grad():
    wanted = nn.functional.normalize(theirs(torch.from_numpy(images.transpose(0, 3, 1, 2)).float()), dim=-1)
  np.testing.assert_allclose(features.reshape(6, WIDTH), wanted.numpy(), atol=2e-5)


def test_losses_are_pytorchs():
  """Guards alignment and uniformity against the pair loops of their definition, in PyTorch's float64."""
  rng = np.random.default_rng(1)
  features = rng.normal(size=(7, 5))
  features /= np.linalg.norm(features, axis=1, keepdims=True)
  label = np.array([0, 1, 0, 1, 1, 0, 1])
  squared = gend.squared_distances(jnp.asarray(features, jnp.float32))
  points = torch.from_numpy(features)
  same = [(points[i] - points[j]).square().sum() for i in range(7) for j in range(i) if label[i] == label[j]]
  np.testing.assert_allclose(gend.alignment_loss(squared, jnp.asarray(label)), torch.stack(same).mean(), rtol=1e-5)
  spread = torch.pdist(points).square().mul(-2).exp().mean().log()
  np.testing.assert_allclose(gend.uniformity_loss(squared), spread, rtol=1e-5)


def test_only_layer_norms_and_the_head_are_trained():
  """Guards GenD's 0.03 %: the rules of its config freeze everything else, and the sizes are CLIP's."""
  from configs import baselines
  from dfdetect_jax import methods
  from dfdetect_jax.training.optimizers import rule_factors

  config = baselines.get_config("gend")
  assert isinstance(config, ml_collections.ConfigDict) and config.clips.example == "pair"
  params = jax.eval_shape(methods.build(config).init, jax.random.key(0))["params"]
  trained = names.flatten(rule_factors(params, config.optimizer.rules)[1])
  sizes = {key: int(np.prod(leaf.shape)) for key, leaf in names.flatten(params).items()}
  # CLIP ViT-L/14's vision tower has 303,179,776 parameters without its projection; the head has 1,025.
  assert sum(sizes.values()) == 303_179_776 + 1_025
  assert {key for key, rate in trained.items() if rate} == {key for key in sizes if "norm" in key or "head" in key}
  assert sum(sizes[key] for key, rate in trained.items() if rate) == 50 * 2 * 1024 + 1_025
