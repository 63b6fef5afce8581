"""Key table of torchvision's MobileNetV2."""

from dfdetect_jax.layers.weight_table import Entry, WeightTable


def table() -> WeightTable:
  """The whole network; the classifier of other classes is left."""
  # The first block has no expansion, so its layers are counted from its depth-wise convolution on.
  first, other = r"block1", r"block(\d+)"
  return WeightTable(
    "torchvision MobileNetV2",
    (
      Entry("stem", "features.0.0", spatial=2),
      Entry("stem_bn", "features.0.1"),
      Entry("last", "features.18.0", spatial=2),
      Entry("last_bn", "features.18.1"),
      Entry(f"{first}/depthwise", "features.1.conv.0.0", spatial=2),
      Entry(f"{first}/depthwise_bn", "features.1.conv.0.1"),
      Entry(f"{first}/project", "features.1.conv.1", spatial=2),
      Entry(f"{first}/project_bn", "features.1.conv.2"),
      Entry(f"{other}/expand", r"features.\1.conv.0.0", spatial=2),
      Entry(f"{other}/expand_bn", r"features.\1.conv.0.1"),
      Entry(f"{other}/depthwise", r"features.\1.conv.1.0", spatial=2),
      Entry(f"{other}/depthwise_bn", r"features.\1.conv.1.1"),
      Entry(f"{other}/project", r"features.\1.conv.2", spatial=2),
      Entry(f"{other}/project_bn", r"features.\1.conv.3"),
    ),
    ((r".*num_batches_tracked", "a counter"), (r"classifier\..*", "the classifier of other classes")),
    export=True,
  )
