"""Key tables of torchvision's ResNets, for the methods that are built on one."""

from dfdetect_jax.interop.table import Entry, Table

UNUSED = ((r".*num_batches_tracked", "a counter"), (r"fc\..*", "the classifier of other classes"))


def entries(prefix: str = "", ours: str = "", adapt_stem: str = "") -> tuple[Entry, ...]:
  """The blocks of stages, and the stem, of a network with the names of `dfdetect_jax.layers.resnet`.

  Args:
    prefix: in front of our names.
    ours: in front of the last part of our names, `x_` for `x_conv1`.
    adapt_stem: adaptation of the first convolution.
  """
  block = rf"{prefix}{ours}layer(\d)_(\d+)/"
  return (
    Entry(rf"{prefix}{ours}conv1", "conv1", spatial=2, adapt=adapt_stem),
    Entry(rf"{prefix}{ours}bn1", "bn1"),
    Entry(rf"{block}(conv\d)", r"layer\1.\2.\3", spatial=2),
    Entry(rf"{block}(bn\d)", r"layer\1.\2.\3"),
    Entry(rf"{block}downsample_conv", r"layer\1.\2.downsample.0", spatial=2),
    Entry(rf"{block}downsample_bn", r"layer\1.\2.downsample.1"),
  )


def table(name: str, prefix: str = "", head: str = "fc", export: bool = True) -> Table:
  """The table of a network that is a ResNet from stem to head, whatever else it has in its blocks.

  Args:
    name: of the table, e.g. "torchvision ResNet-50".
    prefix: in front of our names, e.g. "backbone/".
    head: our name of the classifier.
    export: see `Table`.
  """
  return Table(name, (*entries(prefix), Entry(head, "fc", optional=True)), UNUSED, export=export)


def st_ilif() -> Table:
  """ResNet-18 for ST-ILIF's sequence stream; stem and layer1 twice, for the middle frame and for the differences."""
  return Table(
    "torchvision ResNet-18",
    (
      *entries("sequence/"),
      *entries("sequence/first/"),
      *entries("sequence/first/", "difference_", adapt_stem="stem"),
    ),
    UNUSED,
  )


def i3d() -> Table:
  """ResNet-50 for I3D, whose stem and whose blocks' first convolutions are inflated over time."""
  return Table(
    "torchvision ResNet-50",
    (
      Entry("conv1", "conv1", spatial=3, adapt="inflate"),
      Entry(r"layer(\d)_(\d+)/conv1", r"layer\1.\2.conv1", spatial=3, adapt="inflate"),
      *entries(),
      Entry("fc", "fc", optional=True),
    ),
    UNUSED,
  )


def ftcn() -> Table:
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
  return Table("torchvision ResNet-50", tuple(entries), tuple(unused))
