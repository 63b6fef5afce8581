"""Weights that DIP starts from: ImageNet ViTs of timm and augreg."""

import re
from collections.abc import Mapping

import ml_collections
import numpy as np

from dfdetect_jax.layers.vit_weights import CLASSIFIER, augreg_to_timm, block
from dfdetect_jax.layers.weight_table import Entry, WeightTable

# What temporal blocks take of their block of the file, by how temporal attention starts (`model.temporal_init`), and
# why the rest is left. `identity` takes nothing: such blocks do not count, and the file's go to the spatial ones.
TEMPORAL = {
  "zero": (("qkv", "mlp"), r"attn\.proj", "temporal attention starts at zero"),
  "difference": (("mlp",), r"attn\.(qkv|proj)", "temporal attention starts as a difference of frames"),
}
MOST_BLOCKS = 100


def weight_tables(config: ml_collections.ConfigDict) -> tuple[WeightTable, ...]:
  """See `methods.weight_tables`."""
  model = config.model
  return (vit(model.units, model.spatial, model.temporal, model.temporal_init),)


def vit(units: int, spatial: int, temporal: int, temporal_init: str = "zero") -> WeightTable:
  """timm's ViT for DIP's encoder, block by block in the order in which they run, whatever SA:TA is (decision).

  `zero` and `difference`: spatial and temporal blocks alike take the file's next block, a temporal one without the
  attention's projections that its start replaces. The image network's features go through the MLPs of temporal blocks
  alone there, so the start is near that network, not equal to it. `identity`: the file's blocks go to the spatial ones
  in order and temporal blocks do nothing at first; the start equals the image network of so many blocks on each frame.

  Blocks of the file that no block takes are left. Blocks past its end start as copies of its last one whose outputs are
  zero, so that they do nothing at first. Written in files of our own they keep our names, and come back from there as
  they were.
  """
  entries: list[Entry] = []
  untrained: list[tuple[str, str]] = []
  number = 0
  for unit in range(units):
    for i in range(spatial + temporal):
      kind = f"spatial{i}" if i < spatial else f"temporal{i - spatial}"
      if i < spatial:
        entries += block(f"ste/unit{unit}/{kind}", f"blocks.{number}")
      elif temporal_init == "identity":
        continue
      else:
        trained, parts, why = TEMPORAL[temporal_init]
        entries += block(f"ste/unit{unit}/{kind}", f"blocks.{number}", trained)
        untrained.append((rf"blocks\.{number}\.{parts}\..*", why))
      number += 1
  beyond = "|".join(map(str, range(number, MOST_BLOCKS)))
  untrained.append((rf"blocks\.({beyond})\..*", f"the model takes {number} blocks"))
  return WeightTable(
    "timm ViT",
    (
      Entry("ste/patch_embedding", "patch_embed.proj", spatial=2),
      Entry("ste/cls", "cls_token", leading=1),
      Entry("ste/spatial_embedding", "pos_embed", leading=1, adapt="position"),
      Entry("ste/norm", "norm"),
      *entries,
    ),
    (CLASSIFIER, *untrained),
    prepare=augreg_to_timm,
    export=True,
    first_layer="patch_embed.proj",
    fill=_past_the_end,
  )


def _past_the_end(key: str, arrays: Mapping[str, np.ndarray]) -> tuple[np.ndarray, str] | None:
  """An array of a block past the file's last one: its copy, or zero where it is a block's output."""
  numbers = {int(match[1]) for name in arrays if (match := re.fullmatch(r"blocks\.(\d+)\..*", name))}
  match = re.fullmatch(r"blocks\.(\d+)\.(.*)", key)
  if not match or not numbers or int(match[1]) <= max(numbers):
    return None
  last = arrays.get(f"blocks.{max(numbers)}.{match[2]}")
  if last is None:
    return None
  reason = f"the file has {max(numbers) + 1} blocks: "
  if re.match(r"(attn\.proj|mlp\.fc2)\.", match[2]):
    return np.broadcast_to(np.zeros((), last.dtype), last.shape), reason + "zero, the block does nothing at first"
  return last, reason + "a copy of the last"
