"""Key tables of ImageNet ViTs for DIP: timm's, and the JAX-native "augreg" archives."""

import re

import numpy as np

from dfdetect_jax.interop.table import Entry, Table

_CLASSIFIER = (r"(head|pre_logits|fc_norm)\..*", "the classifier of other classes")


def block(ours: str, theirs: str, trained_out: bool = True) -> tuple[Entry, ...]:
  """One block of `dfdetect_jax.layers.transformer` as timm names it.

  Args:
    ours: name of our block, a regex.
    theirs: timm's name of the block.
    trained_out: whether the attention's output projection is taken too.
  """
  out = (Entry(f"{ours}/attention/out", f"{theirs}.attn.proj", inputs=2),) if trained_out else ()
  return (
    *(Entry(f"{ours}/{norm}", f"{theirs}.{norm}") for norm in ("norm1", "norm2")),
    Entry(f"{ours}/attention/qkv", f"{theirs}.attn.qkv", outputs=3),
    *out,
    *(Entry(f"{ours}/mlp/{fc}", f"{theirs}.mlp.{fc}") for fc in ("fc1", "fc2")),
  )


def dip(units: int, spatial: int, temporal: int) -> Table:
  """timm's ViT for DIP's encoder: its blocks in order, spatial and temporal ones alike.

  The output projections of temporal attention are left at zero, so that at the start the network sees what the image
  network saw (decision). Written in files of our own they keep our names, and come back from there as they were.
  """
  entries, untrained = [], []
  for unit in range(units):
    for i in range(spatial + temporal):
      number = unit * (spatial + temporal) + i
      kind = f"spatial{i}" if i < spatial else f"temporal{i - spatial}"
      entries += block(f"ste/unit{unit}/{kind}", f"blocks.{number}", trained_out=i < spatial)
      if i >= spatial:
        untrained.append((rf"blocks\.{number}\.attn\.proj\..*", "temporal attention starts at zero"))
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
  )


def augreg_to_timm(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
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
    parts = [projections.get((number, part, leaf)) for part in ("query", "key", "value")]
    if any(p is None for p in parts):
      continue  # an incomplete file: the key will be named as missing
    # Kernels [E, heads, d] to [heads·d, E], biases [heads, d] to [heads·d]; query, key and value below each other.
    parts = [p.reshape(p.shape[0], -1).T if leaf == "kernel" else p.reshape(-1) for p in parts]
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
    module, leaf = name, None
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
