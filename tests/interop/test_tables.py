"""Every method at the paper's size takes the files that it is meant to start from, key by key."""

import importlib
import importlib.util
import pathlib
import re

import jax
import numpy as np
import pytest
import torch

from dfdetect_jax import methods
from dfdetect_jax.interop import names, transfer
from dfdetect_jax.layers import weight_table

_spec = importlib.util.spec_from_file_location("torch_resnet", pathlib.Path(__file__).with_name("torch_resnet.py"))
torch_resnet = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(torch_resnet)

COUNTERS, CLASSIFIER = r".*num_batches_tracked", r"fc\.(weight|bias)"
NOT_IN_FTCN = CLASSIFIER + r"|(conv1|bn1|layer4)\..*|.*\.(conv2|bn2)\..*"
NOT_IN_RESNET = r".*/(head|fusion|heads|stem|b|b_bn)/.*"  # of FTCN and SDR


def resnet_file(bottleneck):
  with torch.device("meta"):
    network = torch_resnet.ResNet(bottleneck)
  return {key: np.broadcast_to(np.float32(1), v.shape) for key, v in network.state_dict().items()}


def vit_file(width=768, depth=12, mlp=3072, grid=14):
  file = {"cls_token": (1, 1, width), "pos_embed": (1, grid**2 + 1, width), "head.weight": (1000, width)}
  file |= {"patch_embed.proj.weight": (width, 3, 16, 16), "norm.weight": (width,), "head.bias": (1000,)}
  file |= {"patch_embed.proj.bias": (width,), "norm.bias": (width,)}
  for i in range(depth):
    for name, out, inside in (
      ("attn.qkv", 3 * width, width), ("attn.proj", width, width), ("mlp.fc1", mlp, width), ("mlp.fc2", width, mlp)
    ):  # fmt: skip
      file |= {f"blocks.{i}.{name}.weight": (out, inside), f"blocks.{i}.{name}.bias": (out,)}
    for norm in ("norm1", "norm2"):
      file |= {f"blocks.{i}.{norm}.weight": (width,), f"blocks.{i}.{norm}.bias": (width,)}
  return {key: np.broadcast_to(np.float32(1), shape) for key, shape in file.items()}


def take(method, variant, arrays):
  """The report, and the fresh and adapted names without their collections."""
  config = importlib.import_module(f"configs.{method}").get_config(variant)
  shapes = jax.eval_shape(methods.build(config).init, jax.random.key(0))
  zeros = {k: np.broadcast_to(np.float32(0), v.shape) for k, v in names.flatten(shapes).items()}
  table = transfer.choose(arrays, methods.weight_tables(config), zeros)
  values, report = transfer.transfer(arrays, table, zeros)
  assert not report.problems(), str(report)
  assert all(values[name].shape == zeros[name].shape and np.all(values[name]) for name in report.loaded)
  return report


@pytest.mark.parametrize(
  "method, variant, bottleneck, fresh, adapted, unused",
  [
    ("dil", "", True, r"params/fc/.*|.*/(intra|inter)/.*", "-", CLASSIFIER),
    ("dil", "table4_none", True, r"params/fc/.*", "-", CLASSIFIER),
    ("baselines", "resnet50", True, r"params/fc/.*", "-", CLASSIFIER),
    ("baselines", "resnet18", False, r"params/fc/.*", "-", CLASSIFIER),
    ("baselines", "i3d_r50", True, r"params/fc/.*", r"params/(conv1|layer\d_\d/conv1)/kernel", CLASSIFIER),
    ("st_ilif", "", False, r".*/(phase|cafim\d|affm|gru\d)/.*|params/head/.*", r".*/difference_conv1/.*", CLASSIFIER),
    ("st_ilif", "table3_resnet18", False, r"params/head/.*", "-", CLASSIFIER),
    ("ftcn", "", True, NOT_IN_RESNET, r".*/(a|c|branch1)/kernel", NOT_IN_FTCN),
    ("sdr", "", True, NOT_IN_RESNET, r".*/branch[0-3]/.*/(a|c|branch1)/kernel", NOT_IN_FTCN),
    ("sdr", "table3_none", True, NOT_IN_RESNET, r".*/(a|c|branch1)/kernel", NOT_IN_FTCN),
  ],
  ids=lambda value: value if value in methods.METHODS else "",
)  # fmt: skip
def test_resnets(method, variant, bottleneck, fresh, adapted, unused):
  """Guards the tables at full depth and width: exactly the parts that a ResNet lacks stay fresh."""
  report = take(method, variant, resnet_file(bottleneck))
  assert report.loaded
  for pattern, found in ((fresh, report.fresh), (adapted, report.adapted), (f"{unused}|{COUNTERS}", report.unused)):
    assert all(re.fullmatch(pattern, name) for name in found), [n for n in found if not re.fullmatch(pattern, n)]
  assert report.fresh and (report.adapted or adapted == "-")


def test_vit():
  """Guards DIP's table at full size: twelve blocks in order, four of them temporal, whose attention starts at zero."""
  report = take("dip", "", vit_file())
  assert not report.adapted and not [n for n in report.loaded if "temporal" in n and "/attention/out/" in n]
  fresh = [n for n in report.fresh if "/ste/" in n and not re.search(r"temporal(0/attention/out/\w+|_embedding)$", n)]
  assert not fresh
  assert {k for k in report.unused if "head" not in k} == {
    f"blocks.{i}.attn.proj.{leaf}" for i in (3, 7, 11) for leaf in ("weight", "bias")
  }


def test_st_ilif_single_stem_is_adapted():
  """Guards ST-ILIF's 12-channel stem, which stacks four differences of three channels (`recurrence` = `single`)."""
  config = importlib.import_module("configs.st_ilif").get_config("").unlock()
  config.model.recurrence = "single"
  shapes = names.flatten(jax.eval_shape(methods.build(config).init, jax.random.key(0)))
  zeros = {k: np.broadcast_to(np.float32(0), v.shape) for k, v in shapes.items()}
  values, report = transfer.transfer(resnet_file(False), methods.weight_tables(config)[0], zeros)
  stem = "params/sequence/first/difference_conv1/kernel"
  assert list(report.adapted) == [stem] and values[stem].shape == (7, 7, 12, 64)
  np.testing.assert_allclose(values[stem], 3 / 12)


def test_a_detector_from_outside_brings_its_own(toy, monkeypatch):
  """Guards `weight_tables` beside a method's `build`, wherever that lies; a method without it starts from our files."""
  config = toy.get_config()
  assert methods.weight_tables(config) == ()
  table = weight_table.WeightTable("toy.pth", (weight_table.Entry("conv1", "features.0", spatial=2),))
  monkeypatch.setattr(toy, "weight_tables", lambda given: (table,) if given is config else (), raising=False)
  assert methods.weight_tables(config) == (table,)
