"""Weights that FTCN starts from: its authors', `ftcn_tt.pth` (Zheng et al., ICCV 2021), or an ImageNet ResNet-50."""

import ml_collections

from dfdetect_jax.layers.resnet_weights import UNUSED
from dfdetect_jax.layers.weight_table import Entry, WeightTable


def weight_tables(config: ml_collections.ConfigDict) -> tuple[WeightTable, ...]:
  """See `methods.weight_tables`."""
  return (published(), resnet50())


def published() -> WeightTable:
  """The authors' names: PySlowFast's for the trunk, those of their transformer for the head.

  A BatchNorm that a pool follows is the first of two layers there, `bn.0`.
  """
  block, theirs = r"trunk/res(\d)_(\d+)/", r"resnet.s\1.pathway0_res\2."
  pooled = r"trunk/res([34])_(0)/"
  layer, their_layer = r"head/layers_(\d+)/", r"resnet.head.time_T.transformer.layers.\1."
  return WeightTable(
    "ftcn_tt.pth",
    (
      Entry("trunk/stem/conv", "resnet.s1.pathway0_stem.conv", spatial=3),
      Entry("trunk/stem/bn", "resnet.s1.pathway0_stem.bn.0"),
      Entry(f"{pooled}branch1_bn", f"{theirs}branch1_bn.0"),
      Entry(f"{pooled}b_bn", f"{theirs}branch2.b_bn.0"),
      Entry(f"{block}branch1", f"{theirs}branch1", spatial=3),
      Entry(f"{block}branch1_bn", f"{theirs}branch1_bn"),
      Entry(rf"{block}([abc])", rf"{theirs}branch2.\3", spatial=3),
      Entry(rf"{block}([abc]_bn)", rf"{theirs}branch2.\3"),
      Entry(r"head/(cls_token|pos_embedding)", r"resnet.head.time_T.\1"),
      Entry(f"{layer}norm1", f"{their_layer}0.fn.norm"),
      Entry(f"{layer}attention/qkv", f"{their_layer}0.fn.fn.to_qkv", outputs=3),
      Entry(f"{layer}attention/out", f"{their_layer}0.fn.fn.to_out.0", inputs=2),
      Entry(f"{layer}norm2", f"{their_layer}1.fn.norm"),
      Entry(f"{layer}mlp/fc1", f"{their_layer}1.fn.fn.net.0"),
      Entry(f"{layer}mlp/fc2", f"{their_layer}1.fn.fn.net.3"),
      Entry("head/norm", "resnet.head.time_T.mlp_head.0"),
      Entry("head/out", "resnet.head.time_T.mlp_head.1"),
    ),
    ((r".*num_batches_tracked", "a counter"),),
    export=True,
    note="ftcn_tt.pth was trained by its authors on FaceForensics++; which videos is not listed, so that leaks from "
    "there cannot be looked for. It expects their crop (--align=ftcn).",
  )


def resnet50() -> WeightTable:
  """ResNet-50 for FTCN's trunk: its 1×1 convolutions, inflated over time where FTCN's have a temporal kernel.

  FTCN sees space through 1×1 kernels only, so that ResNet's stem and 3×3 convolutions have no place in it.
  """
  entries, unused = [], [(r"(conv1|bn1|layer4)\..*", "FTCN has no such layer"), *UNUSED]
  unused.append((r"layer\d\.\d+\.(conv2|bn2)\..*", "a 3×3 convolution; FTCN's are 1×1 in space"))
  for stage in (1, 2, 3):
    block, theirs = rf"trunk/res{stage + 1}_(\d+)/", rf"layer{stage}.\1."
    for ours, conv, norm in (("a", "conv1", "bn1"), ("c", "conv3", "bn3"), ("branch1", "downsample.0", "downsample.1")):
      entries.append(Entry(rf"{block}{ours}", f"{theirs}{conv}", spatial=3, adapt="inflate"))
      entries.append(Entry(rf"{block}{ours}_bn", f"{theirs}{norm}"))
  return WeightTable("torchvision ResNet-50", tuple(entries), tuple(unused))
