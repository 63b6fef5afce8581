"""Key table of FTCN's published weights, `ftcn_tt.pth` (Zheng et al., ICCV 2021)."""

from dfdetect_jax.interop.table import Entry, Table


def table() -> Table:
  """The authors' names: PySlowFast's for the trunk, those of their transformer for the head.

  A BatchNorm that a pool follows is the first of two layers there, `bn.0`.
  """
  block, theirs = r"trunk/res(\d)_(\d+)/", r"resnet.s\1.pathway0_res\2."
  pooled = r"trunk/res([34])_(0)/"
  layer, their_layer = r"head/layers_(\d+)/", r"resnet.head.time_T.transformer.layers.\1."
  return Table(
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
