"""The input normalisation that weights expect, folded into their first layer.

Our networks see (x − m) / s, mostly with ImageNet's statistics m, s per channel (`layers.imagenet`). Weights that were
trained on (x − m′) / s′ get a first layer that gives the same response:

    W′_c = (s_c / s′_c) · W_c,    b′ = b + Σ_c (m_c − m′_c) / s′_c · Σ_window W_c

Exact where the first layer has a bias and pads nothing, as a ViT's patch embedding.
"""

import pathlib
import re
from collections.abc import Mapping

import numpy as np

from dfdetect_jax.errors import UserError, unknown
from dfdetect_jax.files import damaged, read_json
from dfdetect_jax.layers import imagenet
from dfdetect_jax.layers.weight_table import WeightTable
from dfdetect_jax.methods.baselines.frame_vit import CLIP_MEAN, CLIP_STD

# Mean and standard deviation per channel on [0, 1]. `half`: augreg's, timm's augreg and Google's own ViTs; `imagenet`:
# torchvision's, DeiT's, DINO's and MAE's; `clip`: CLIP's towers.
CONVENTIONS = {
  "half": (np.full(3, 0.5), np.full(3, 0.5)),
  "imagenet": (imagenet.MEAN.astype(np.float64), imagenet.STD.astype(np.float64)),
  "clip": (CLIP_MEAN.astype(np.float64), CLIP_STD.astype(np.float64)),
}
_CURE = "--normalisation=NAME says what it would"
NAMED_IMAGENET = r"deit|dino|(?<![a-z])mae(?![a-z])|moco"


def convention(
  source: pathlib.Path, keys: Mapping[str, np.ndarray], about: Mapping[str, str], table: WeightTable, asked: str | None
) -> tuple[str, str]:
  """Which convention a weight file follows.

  Args:
    source: the file; timm's repositories have a `config.json` beside it that says so.
    keys: its arrays.
    about: text of its header; files that `interop.export` wrote say `normalisation` there.
    table: what the file is.
    asked: what the user says; None to find out.

  Returns:
    A name in `CONVENTIONS`, and how it is known.

  Raises:
    UserError: the user asks for one that there is none of, or that cannot be folded into this kind of network.
  """
  if asked not in (None, *CONVENTIONS):
    raise unknown("normalisation", asked, CONVENTIONS, "--normalisation: ")
  own = about.get("normalisation") or (table.normalisation if any(key.startswith("params/") for key in keys) else "")
  if own:
    found = own, "the file is of this project"
  elif not table.first_layer:
    found = table.normalisation, f"{table.name}: it has no other"
  elif asked is not None:
    found = asked, "as asked"
  elif stated := _beside(source):
    found = stated, f"{source.parent.name}/config.json says so"
  elif re.search(NAMED_IMAGENET, source.name.lower()):
    found = "imagenet", f"by the name {source.name}"
  else:
    found = "half", "augreg's and timm's own; DeiT, DINO and MAE need --normalisation=imagenet"
  if asked is None or asked == found[0]:
    return found if asked is None else (asked, "as asked")
  if own:
    raise UserError(
      f"--normalisation={asked}: {source} was exported from this project with '{own}' in its first layer."
    )
  if not table.first_layer:
    raise UserError(
      f"--normalisation={asked}: the first layer of a {table.name} pads with zeros, which another normalisation would "
      f"turn into another colour; only '{found[0]}' can be taken."
    )
  return asked, "as asked"


def _beside(source: pathlib.Path) -> str:
  """What timm's `config.json` beside a file says, "" if there is none, or that of another library.

  Raises:
    UserError: it is damaged, or says something else.
  """
  path = source.parent / "config.json"
  if not path.exists():
    return ""
  stated = read_json(path, _CURE).get("pretrained_cfg", {})
  try:
    mean, std = (np.array(stated[name], float) for name in ("mean", "std"))
  except KeyError:
    return ""
  except (ValueError, TypeError) as error:
    raise damaged(path, f"its mean or std is none: {error}", _CURE) from error
  for name, values in CONVENTIONS.items():
    if mean.shape == std.shape == (3,) and np.allclose([mean, std], values, atol=1e-4):
      return name
  raise UserError(
    f"{path} says mean {mean.tolist()} and std {std.tolist()}, which is none of "
    f"{', '.join(CONVENTIONS)}; --normalisation=NAME takes the weights as one of these."
  )


def fold(arrays: Mapping[str, np.ndarray], table: WeightTable, name: str) -> dict[str, np.ndarray]:
  """The arrays for inputs that are normalised as ours are.

  Args:
    arrays: as `table.entries` describe them; the first layer's kernel is `[O, 3, ...]`.
    table: says which layer is the first.
    name: convention of the arrays.
  """
  if name == table.normalisation or not table.first_layer:
    return dict(arrays)
  weight, bias = f"{table.first_layer}.weight", f"{table.first_layer}.bias"
  if weight not in arrays or bias not in arrays or arrays[weight].ndim < 2 or arrays[weight].shape[1] != 3:
    return dict(arrays)  # will be named as missing or misshaped
  (mean, std), (m, s) = CONVENTIONS[table.normalisation], CONVENTIONS[name]
  kernel = arrays[weight].astype(np.float64)
  window = kernel.reshape(*kernel.shape[:2], -1).sum(axis=2)  # [O, 3]
  scaled = kernel * (std / s).reshape(1, 3, *(1,) * (kernel.ndim - 2))
  shifted = arrays[bias] + window @ ((mean - m) / s)
  return dict(arrays) | {weight: scaled.astype(np.float32), bias: shifted.astype(np.float32)}
