"""A ViT on single frames whose class token, brought to length one, is the feature: CLIP's vision tower, or timm's.

Radford et al., Learning Transferable Visual Models From Natural Language Supervision, ICML 2021 (tower `clip`);
Dosovitskiy et al., ICLR 2021 (tower `timm`: DeiT's, DINO's, augreg's).
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float32, Real

from dfdetect_jax.layers import imagenet
from dfdetect_jax.layers.remat import recompute
from dfdetect_jax.layers.transformer import Block, LayerNorm

# CLIP's own normalisation, per channel on [0, 1].
CLIP_MEAN = np.array([0.48145466, 0.4578275, 0.40821073], np.float32)
CLIP_STD = np.array([0.26862954, 0.26130258, 0.27577711], np.float32)
SIZES: dict[str, dict[str, Any]] = {
  "l14": {"patch": 14, "width": 1024, "depth": 24, "heads": 16},
  "b16": {"patch": 16, "width": 768, "depth": 12, "heads": 12},
  "b32": {"patch": 32, "width": 768, "depth": 12, "heads": 12},
  "small": {"patch": 8, "width": 96, "depth": 3, "heads": 4},
  "test": {"patch": 8, "width": 16, "depth": 2, "heads": 2},
}
TOWERS = ("clip", "timm")


class FrameViT(nn.Module):
  """Patches, class token, learned positions, pre-LN blocks, LayerNorm of the class token, a linear head.

  Attributes:
    patch: side of a patch in pixels.
    width, depth, heads: of the blocks; their MLPs are four times as wide.
    tower: `clip` has no bias at the patches, a LayerNorm before the blocks, x·σ(1.702 x) for GELU, ε = 1e-5 and CLIP's
      input normalisation; `timm` has a bias, no such LayerNorm, the exact GELU, ε = 1e-6 and ImageNet's.
    remat: what the blocks keep for the backward pass, see `layers.remat`.
    dtype: compute dtype; parameters stay float32.
  """

  patch: int = 14
  width: int = 1024
  depth: int = 24
  heads: int = 16
  tower: str = "clip"
  remat: str = ""
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(self, clips: Real[Array, "B T H W 3"], train: bool = False) -> dict[str, Float32[Array, " B *_"]]:
    """Scores clips.

    Args:
      clips: `[B, T, H, W, 3]` RGB, uint8 or float on the 0-255 scale; H and W multiples of `patch`; any T.
      train: has no effect.

    Returns:
      Float32 arrays: `logit` `[B]`, the mean of `frame_logits` `[B, T]`; `features` `[B, T, E]` of length one.
    """
    clip = self.tower == "clip"
    epsilon = 1e-5 if clip else 1e-6
    batch, frames, height, width, _ = clips.shape
    images = clips.reshape(-1, height, width, 3)
    if clip:
      images = (images.astype(jnp.float32) / 255 - CLIP_MEAN[None, None, None]) / CLIP_STD[None, None, None]
    else:
      images = imagenet.normalize(images)
    rows, columns = height // self.patch, width // self.patch
    x = images.astype(self.dtype).reshape(-1, rows, self.patch, columns, self.patch, 3)
    x = x.swapaxes(2, 3).reshape(-1, rows * columns, self.patch, self.patch, 3)
    patches = nn.DenseGeneral(
      self.width, axis=(-3, -2, -1), use_bias=not clip, dtype=self.dtype, name="patch_embedding"
    )(x)
    small = nn.initializers.normal(0.02)
    cls = self.param("cls", small, (1, 1, self.width))
    position = self.param("position_embedding", small, (1, 1 + rows * columns, self.width))
    cls = jnp.broadcast_to(cls.astype(self.dtype), (x.shape[0], 1, self.width))
    x = jnp.concatenate([cls, patches], axis=1) + position.astype(self.dtype)
    if clip:
      x = LayerNorm(epsilon=epsilon, name="norm_pre")(x)
    block = recompute(Block, self.remat)
    for i in range(self.depth):
      x = block(
        self.heads, 4 * self.width, epsilon=epsilon, activation="quick_gelu" if clip else "gelu", dtype=self.dtype,
        name=f"block{i}",
      )(x, train)  # fmt: skip
    x = LayerNorm(epsilon=epsilon, name="norm")(x[:, 0]).astype(jnp.float32)
    features = x / jnp.maximum(jnp.linalg.norm(x, axis=-1, keepdims=True), 1e-6)
    frame_logits = nn.Dense(1, name="head")(features).reshape(batch, frames)
    return {
      "logit": jnp.mean(frame_logits, axis=1),
      "frame_logits": frame_logits,
      "features": features.reshape(batch, frames, -1),
    }
