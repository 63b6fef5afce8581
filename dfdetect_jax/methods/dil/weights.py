"""Weights that DIL starts from."""

import ml_collections

from dfdetect_jax.layers import resnet_weights
from dfdetect_jax.layers.weight_table import WeightTable


def weight_tables(config: ml_collections.ConfigDict) -> tuple[WeightTable, ...]:
  """See `methods.weight_tables`."""
  return (resnet_weights.table("torchvision ResNet-50"),)
