"""Weights that the plain networks start from."""

import ml_collections

from dfdetect_jax.layers import resnet_weights
from dfdetect_jax.layers.weight_table import Entry, WeightTable
from dfdetect_jax.methods.baselines import clip_weights, mobilenet_v2_weights, xception_weights


def weight_tables(config: ml_collections.ConfigDict) -> tuple[WeightTable, ...]:
  """See `methods.weight_tables`."""
  network = config.model.network
  if network == "xception":
    return (xception_weights.table(),)
  if network == "gend":
    return (clip_weights.table(config.model.tower),)
  if network == "mobilenet_v2":
    return (mobilenet_v2_weights.table(),)
  return (i3d() if network == "i3d_r50" else resnet_weights.table("torchvision ResNet", "resnet/"),)


def i3d() -> WeightTable:
  """ResNet-50 for I3D, whose stem and whose blocks' first convolutions are inflated over time."""
  return WeightTable(
    "torchvision ResNet-50",
    (
      Entry("conv1", "conv1", spatial=3, adapt="inflate"),
      Entry(r"layer(\d)_(\d+)/conv1", r"layer\1.\2.conv1", spatial=3, adapt="inflate"),
      *resnet_weights.entries(),
      Entry("fc", "fc", optional=True),
    ),
    resnet_weights.UNUSED,
  )
