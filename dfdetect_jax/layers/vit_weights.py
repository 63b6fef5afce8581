"""Weights of ImageNet ViTs: timm's names, into which the JAX-native "augreg" archives are brought."""

import re
from collections.abc import Mapping

import numpy as np

from dfdetect_jax.layers.weight_table import Entry

CLASSIFIER = (r"(head|pre_logits|fc_norm)\..*", "the classifier of other classes")


def block(ours: str, theirs: str, trained: tuple[str, ...] = ("qkv", "out", "mlp")) -> tuple[Entry, ...]:
  """One block of `layers.transformer` as timm names it.

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
