"""Which kinds of weight files each method can start from."""

import ml_collections

from dfdetect_jax.interop import resnet, vit
from dfdetect_jax.interop.table import Table


def tables(config: ml_collections.ConfigDict) -> tuple[Table, ...]:
  """The key tables of the method that a config describes, the preferred first."""
  model = config.model
  if config.method == "dil":
    return (resnet.table("torchvision ResNet-50"),)
  if config.method == "dip":
    return (vit.dip(model.units, model.spatial, model.temporal),)
  if config.method == "st_ilif":
    return (resnet.st_ilif(),)
  if config.method == "baselines":
    return (resnet.i3d() if model.network == "i3d_r50" else resnet.table("torchvision ResNet", "resnet/"),)
  return ()
