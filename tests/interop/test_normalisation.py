"""Which normalisation a weight file expects, and folding it into the first layer; arrays alone, no model."""

import json

import numpy as np
import pytest

from dfdetect_jax.errors import UserError
from dfdetect_jax.interop import normalisation
from dfdetect_jax.layers import resnet_weights
from dfdetect_jax.methods.baselines import clip_weights, xception_weights
from dfdetect_jax.methods.dip import weights as dip_weights

VIT = dip_weights.vit(3, 3, 1)
RESNET = resnet_weights.table("torchvision ResNet-50")
KEYS = {"blocks.0.norm1.weight": np.ones(1)}


@pytest.mark.parametrize(
  ("name", "table", "keys", "about", "expected"),
  [
    ("vit_base_patch16_224.safetensors", VIT, KEYS, {}, "half"),
    ("B_16-i21k.npz", VIT, KEYS, {}, "half"),
    ("deit_base_patch16_224-b5f2ef4d.pth", VIT, KEYS, {}, "imagenet"),
    ("dino_vitbase16_pretrain.pth", VIT, KEYS, {}, "imagenet"),
    ("mae_pretrain_vit_base.pth", VIT, KEYS, {}, "imagenet"),
    ("mae.pth", VIT, KEYS, {}, "imagenet"),
    ("kmaen.pth", VIT, KEYS, {}, "half"),
    ("ours.safetensors", VIT, KEYS | {"params/logit/bias": np.ones(1)}, {}, "imagenet"),
    ("ours.safetensors", VIT, KEYS, {"normalisation": "imagenet"}, "imagenet"),
    ("resnet50-11ad3fa6.pth", RESNET, KEYS, {}, "imagenet"),
    ("ViT-L-14.pt", clip_weights.table("clip"), KEYS, {}, "clip"),
    ("xception-43020ad28.pth", xception_weights.table(), KEYS, {}, "half"),
  ],
)
def test_what_a_file_expects_by_its_kind(name, table, keys, about, expected, tmp_path):
  """Guards the defaults: a wrong one moves DIP's tokens by half their length, and nothing else would show it."""
  assert normalisation.convention(tmp_path / name, keys, about, table, None)[0] == expected
  if about or name == "ours.safetensors" or not table.first_layer:
    other = "half" if expected == "imagenet" else "imagenet"
    with pytest.raises(UserError, match=f"--normalisation={other}"):
      normalisation.convention(tmp_path / name, keys, about, table, other)


def test_timms_own_word_comes_first(tmp_path):
  """Guards files named model.safetensors, beside which timm says what they expect; unknown statistics are refused."""
  file, config = tmp_path / "model.safetensors", tmp_path / "config.json"
  for mean, std, expected in (
    ([0.5] * 3, [0.5] * 3, "half"), ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225], "imagenet"),
  ):  # fmt: skip
    config.write_text(json.dumps({"pretrained_cfg": {"mean": mean, "std": std}}))
    assert normalisation.convention(file, KEYS, {}, VIT, None) == (expected, f"{tmp_path.name}/config.json says so")
  config.write_text(json.dumps({"pretrained_cfg": {"mean": [0.48, 0.46, 0.41], "std": [0.27] * 3}}))
  with pytest.raises(UserError, match=r"none of half, imagenet, clip; --normalisation=NAME"):
    normalisation.convention(file, KEYS, {}, VIT, None)
  assert normalisation.convention(file, KEYS, {}, VIT, "half")[0] == "half"
  config.write_text('{"architectures": ["ViTModel"]}')  # of another library
  assert normalisation.convention(file, KEYS, {}, VIT, None)[0] == "half"
  for text in ("", "[]", "{", '{"pretrained_cfg": 3}', '{"pretrained_cfg": {"mean": "x", "std": 1}}'):
    config.write_text(text)
    with pytest.raises(UserError, match=r"config\.json cannot be read .*--normalisation=NAME"):
      normalisation.convention(file, KEYS, {}, VIT, None)
    assert normalisation.convention(file, KEYS, {}, VIT, "half")[0] == "half"


def test_folding_keeps_the_response():
  """Guards the fold against the definition: each weight file's own input and ours give the same, patch by patch."""
  rng = np.random.default_rng(0)
  arrays = {"patch_embed.proj.weight": rng.normal(size=(5, 3, 4, 4)), "patch_embed.proj.bias": rng.normal(size=5)}
  arrays = {k: v.astype(np.float32) for k, v in arrays.items()} | {"norm.weight": np.ones(5, np.float32)}
  patch = rng.integers(0, 256, (4, 4, 3)) / 255

  def response(arrays, name):
    mean, std = normalisation.CONVENTIONS[name]
    return (
      np.einsum("oihw,hwi->o", arrays["patch_embed.proj.weight"].astype(np.float64), (patch - mean) / std)
      + (arrays["patch_embed.proj.bias"])
    )

  folded = normalisation.fold(arrays, VIT, "half")
  np.testing.assert_allclose(response(folded, "imagenet"), response(arrays, "half"), rtol=1e-5, atol=1e-5)
  assert folded["norm.weight"] is arrays["norm.weight"]
  for name, table in (("imagenet", VIT), ("half", RESNET)):
    assert all(value is arrays[key] for key, value in normalisation.fold(arrays, table, name).items())
