"""Key tables of torchvision's ResNets, for networks with the names of `layers.resnet`."""

from dfdetect_jax.layers.weight_table import Entry, WeightTable

UNUSED = ((r".*num_batches_tracked", "a counter"), (r"fc\..*", "the classifier of other classes"))


def entries(prefix: str = "", ours: str = "", adapt_stem: str = "") -> tuple[Entry, ...]:
  """The blocks of stages, and the stem, of a network with the names of `layers.resnet`.

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


def table(name: str, prefix: str = "", head: str = "fc", export: bool = True) -> WeightTable:
  """The table of a network that is a ResNet from stem to head, whatever else it has in its blocks.

  Args:
    name: of the table, e.g. "torchvision ResNet-50".
    prefix: in front of our names, e.g. "backbone/".
    head: our name of the classifier.
    export: see `WeightTable`.
  """
  return WeightTable(name, (*entries(prefix), Entry(head, "fc", optional=True)), UNUSED, export=export)
