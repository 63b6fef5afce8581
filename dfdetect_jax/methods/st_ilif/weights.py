"""Weights that ST-ILIF may start from."""

import ml_collections

from dfdetect_jax.layers.resnet_weights import UNUSED, entries
from dfdetect_jax.layers.weight_table import WeightTable


def weight_tables(config: ml_collections.ConfigDict) -> tuple[WeightTable, ...]:
  """See `methods.weight_tables`."""
  return (resnet18(),)


def resnet18() -> WeightTable:
  """ResNet-18 for ST-ILIF's sequence stream; stem and layer1 twice, for the middle frame and for the differences."""
  return WeightTable(
    "torchvision ResNet-18",
    (
      *entries("sequence/"),
      *entries("sequence/first/"),
      *entries("sequence/first/", "difference_", adapt_stem="stem"),
    ),
    UNUSED,
  )
