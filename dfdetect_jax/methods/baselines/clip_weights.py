"""Key tables of vision transformers for GenD: CLIP's vision tower (Hugging Face, OpenAI, timm) and timm's ViTs.

The first two are brought to timm's names; the text tower and the projection into the common space are left.
"""

import re
from collections.abc import Mapping

import numpy as np

from dfdetect_jax.layers import vit_weights
from dfdetect_jax.layers.weight_table import Entry, WeightTable

_HUGGING_FACE = (
  (r"embeddings\.class_embedding", "cls_token"),
  (r"embeddings\.position_embedding\.weight", "pos_embed"),
  (r"embeddings\.patch_embedding\.weight", "patch_embed.proj.weight"),
  (r"pre_layrnorm\.(weight|bias)", r"norm_pre.\1"),
  (r"post_layernorm\.(weight|bias)", r"norm.\1"),
  (r"encoder\.layers\.(\d+)\.layer_norm([12])\.(weight|bias)", r"blocks.\1.norm\2.\3"),
  (r"encoder\.layers\.(\d+)\.self_attn\.out_proj\.(weight|bias)", r"blocks.\1.attn.proj.\2"),
  (r"encoder\.layers\.(\d+)\.mlp\.(fc[12])\.(weight|bias)", r"blocks.\1.mlp.\2.\3"),
)
_OPENAI = (
  (r"class_embedding", "cls_token"),
  (r"positional_embedding", "pos_embed"),
  (r"conv1\.weight", "patch_embed.proj.weight"),
  (r"ln_pre\.(weight|bias)", r"norm_pre.\1"),
  (r"ln_post\.(weight|bias)", r"norm.\1"),
  (r"transformer\.resblocks\.(\d+)\.ln_([12])\.(weight|bias)", r"blocks.\1.norm\2.\3"),
  (r"transformer\.resblocks\.(\d+)\.attn\.in_proj_(weight|bias)", r"blocks.\1.attn.qkv.\2"),
  (r"transformer\.resblocks\.(\d+)\.attn\.out_proj\.(weight|bias)", r"blocks.\1.attn.proj.\2"),
  (r"transformer\.resblocks\.(\d+)\.mlp\.c_fc\.(weight|bias)", r"blocks.\1.mlp.fc1.\2"),
  (r"transformer\.resblocks\.(\d+)\.mlp\.c_proj\.(weight|bias)", r"blocks.\1.mlp.fc2.\2"),
)
_LEFT = (
  (r"(text_model|transformer|token_embedding|ln_final|text_projection)\b.*", "the text tower"),
  (r"positional_embedding", "the text tower"),
  (r"(visual_projection\.weight|visual\.proj|logit_scale|logit_bias)", "the space that CLIP shares with text"),
  (r".*position_ids", "an index"),
  vit_weights.CLASSIFIER,
  (r"input_resolution|context_length|vocab_size", "a number"),
)


def table(tower: str) -> WeightTable:
  """The table of a tower of `methods.baselines.frame_vit.TOWERS`."""
  entries = (
    Entry("patch_embedding", "patch_embed.proj", spatial=2),
    Entry("cls", "cls_token"),
    Entry("position_embedding", "pos_embed", adapt="position"),
    Entry("(norm_pre|norm)", r"\1"),
    *vit_weights.block(r"block(\d+)", r"blocks.\1"),
  )
  if tower == "clip":
    return WeightTable("CLIP's vision tower", entries, _LEFT, prepare=to_timm, export=True, normalisation="clip")
  return WeightTable(
    "timm ViT", entries, _LEFT, prepare=vit_weights.augreg_to_timm, export=True, first_layer="patch_embed.proj"
  )


def to_timm(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
  """Hugging Face's and OpenAI's names and shapes turned into timm's; other arrays stay as they are."""
  timm, projections = {}, {}
  for name, a in arrays.items():
    vision, of_hugging_face = re.match(r"(?:vision_model|visual)\.", name), name.startswith("vision_model.")
    inside = name[vision.end() :] if vision else ""
    if match := re.fullmatch(r"encoder\.layers\.(\d+)\.self_attn\.([qkv])_proj\.(weight|bias)", inside):
      number, part, leaf = match.groups()
      projections[number, leaf, part] = a
      continue
    rules = (_HUGGING_FACE if of_hugging_face else _OPENAI) if vision else ()
    renamed = next((m.expand(key) for p, key in rules if (m := re.fullmatch(p, inside))), name)
    if renamed in ("cls_token", "pos_embed") and a.ndim < 3:
      a = a.reshape(1, *((1,) if a.ndim == 1 else ()), *a.shape)
    timm[renamed] = a
  for number, leaf in sorted({key[:2] for key in projections}):
    parts = [projections[key] for key in ((number, leaf, part) for part in "qkv") if key in projections]
    if len(parts) == 3:  # else the key will be named as missing
      timm[f"blocks.{number}.attn.qkv.{leaf}"] = np.concatenate(parts)
  return timm
