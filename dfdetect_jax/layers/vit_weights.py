"""Key tables of ImageNet ViTs for DIP: timm's, and the JAX-native "augreg" archives."""

import re
from collections.abc import Mapping

import numpy as np

from dfdetect_jax.interop.table import Entry, Table

_CLASSIFIER = (r"(head|pre_logits|fc_norm)\..*", "the classifier of other classes")


def block(ours: str, theirs: str, trained: tuple[str, ...] = ("qkv", "out", "mlp")) -> tuple[Entry, ...]:
  """One block of `dfdetect_jax.layers.transformer` as timm names it.

  Args:
    ours: name of our block, a regex.
    theirs: timm's name of the block.
    trained: which of its parts are taken, beside the LayerNorms; the others keep their initial values.
  """
  parts = {
    "qkv": (Entry(f"{ours}/attention/qkv", f"{theirs}.attn.qkv", outputs=3),),
    "out": (Entry(f"{ours}/attention/out", f"{theirs}.attn.proj", inputs=2),),
    "mlp": tuple(Entry(f"{ours}/mlp/{fc}", f"{theirs}.mlp.{fc}") for fc in ("fc1", "fc2")),
  }
  norms = (Entry(f"{ours}/{norm}", f"{theirs}.{norm}") for norm in ("norm1", "norm2"))
  return (*norms, *(entry for name in trained for entry in parts[name]))


# What temporal blocks take of their block of the file, by how temporal attention starts (`model.temporal_init`), and
# why the rest is left. `identity` takes nothing: such blocks do not count, and the file's go to the spatial ones.
TEMPORAL = {
  "zero": (("qkv", "mlp"), r"attn\.proj", "temporal attention starts at zero"),
  "difference": (("mlp",), r"attn\.(qkv|proj)", "temporal attention starts as a difference of frames"),
}
MOST_BLOCKS = 100


def dip(units: int, spatial: int, temporal: int, temporal_init: str = "zero") -> Table:
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
  return Table(
    "timm ViT",
    (
      Entry("ste/patch_embedding", "patch_embed.proj", spatial=2),
      Entry("ste/cls", "cls_token", leading=1),
      Entry("ste/spatial_embedding", "pos_embed", leading=1, adapt="position"),
      Entry("ste/norm", "norm"),
      *entries,
    ),
    (_CLASSIFIER, *untrained),
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
  told = f"the file has {max(numbers) + 1} blocks: "
  if re.match(r"(attn\.proj|mlp\.fc2)\.", match[2]):
    return np.broadcast_to(np.zeros((), last.dtype), last.shape), told + "zero, the block does nothing at first"
  return last, told + "a copy of the last"


def augreg_to_timm(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
  """Names and layouts of an augreg archive (Flax's ViT) turned into timm's; other arrays stay as they are."""
  timm, projections = {}, {}
  for name, a in arrays.items():
    if match := re.fullmatch(
      r"Transformer/encoderblock_(\d+)/MultiHeadDotProductAttention_1/(query|key|value)/(\w+)", name
    ):
      projections[match.groups()] = a
    elif translated := _translate(name):
      timm[translated] = _to_torch(a, name)
    else:
      timm[name] = a
  for number, leaf in sorted({(n, leaf) for n, _, leaf in projections}):
    wanted = [(number, part, leaf) for part in ("query", "key", "value")]
    if any(key not in projections for key in wanted):
      continue  # an incomplete file: the key will be named as missing
    # Kernels [E, heads, d] to [heads·d, E], biases [heads, d] to [heads·d]; query, key and value below each other.
    whole = (projections[key] for key in wanted)
    parts = [p.reshape(p.shape[0], -1).T if leaf == "kernel" else p.reshape(-1) for p in whole]
    timm[f"blocks.{number}.attn.qkv.{'weight' if leaf == 'kernel' else 'bias'}"] = np.concatenate(parts)
  return timm


_AUGREG = (
  (r"cls", "cls_token"),
  (r"Transformer/posembed_input/pos_embedding", "pos_embed"),
  (r"embedding", "patch_embed.proj"),
  (r"Transformer/encoder_norm", "norm"),
  (r"(head|pre_logits)", r"\1"),
  (r"Transformer/encoderblock_(\d+)/LayerNorm_0", r"blocks.\1.norm1"),
  (r"Transformer/encoderblock_(\d+)/LayerNorm_2", r"blocks.\1.norm2"),
  (r"Transformer/encoderblock_(\d+)/MultiHeadDotProductAttention_1/out", r"blocks.\1.attn.proj"),
  (r"Transformer/encoderblock_(\d+)/MlpBlock_3/Dense_0", r"blocks.\1.mlp.fc1"),
  (r"Transformer/encoderblock_(\d+)/MlpBlock_3/Dense_1", r"blocks.\1.mlp.fc2"),
)
_LEAVES = {"kernel": ".weight", "scale": ".weight", "bias": ".bias"}


def _translate(name: str) -> str | None:
  """timm's name of an array of an augreg archive, None if it has none."""
  module, _, leaf = name.rpartition("/")
  if leaf not in _LEAVES:
    module, leaf = name, ""
  for pattern, key in _AUGREG:
    if match := re.fullmatch(pattern, module):
      return match.expand(key) + _LEAVES.get(leaf, "")
  return None


def _to_torch(a: np.ndarray, name: str) -> np.ndarray:
  """An augreg array in PyTorch's layout: kernels have their outputs first."""
  if not name.endswith("/kernel"):
    return a
  if name.startswith("embedding"):
    return np.transpose(a, (3, 2, 0, 1))
  return a.reshape(-1, a.shape[-1]).T  # the attention's output projection is [heads, d, E]
