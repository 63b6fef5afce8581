"""Which kinds of weight files each method can start from."""

import dataclasses

import ml_collections

from dfdetect_jax.interop import clip, ftcn, mobilenet_v2, resnet, vit, xception
from dfdetect_jax.interop.table import Table


def tables(config: ml_collections.ConfigDict) -> tuple[Table, ...]:
  """The key tables of the method that a config describes, the preferred first."""
  model = config.model
  if config.method == "dil":
    return (resnet.table("torchvision ResNet-50"),)
  if config.method == "dip":
    return (vit.dip(model.units, model.spatial, model.temporal, model.temporal_init),)
  if config.method == "st_ilif":
    return (resnet.st_ilif(),)
  if config.method == "ftcn":
    return (ftcn.table(), resnet.ftcn())
  if config.method == "sdr":
    return (_for_branches(ftcn.table()), _for_branches(resnet.ftcn()))
  if config.method == "baselines" and model.network == "xception":
    return (xception.table(),)
  if config.method == "baselines" and model.network == "gend":
    return (clip.table(model.tower),)
  if config.method == "baselines" and model.network == "mobilenet_v2":
    return (mobilenet_v2.table(),)
  if config.method == "baselines":
    return (resnet.i3d() if model.network == "i3d_r50" else resnet.table("torchvision ResNet", "resnet/"),)
  return ()


def _for_branches(table: Table) -> Table:
  """FTCN's table for SDR, each of whose branches starts as FTCN's trunk (and which is FTCN where TRFI is off)."""
  entries = [
    dataclasses.replace(e, pattern=e.pattern.replace("trunk/", r"(?:branch\d*|trunk)/")) for e in table.entries
  ]
  # One array for several branches: files that SDR writes keep our names.
  return dataclasses.replace(table, entries=tuple(entries), export=False)
