"""SpatioTemporal Encoder (STE) and directional pooling (DIP §III-B, Fig. 2, 3)."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Real

from dfdetect_jax.layers.matmul import dot_general
from dfdetect_jax.layers.remat import recompute
from dfdetect_jax.layers.transformer import Block, LayerNorm

# ImageNet statistics on the 0-255 scale: what the ViT weights that DIP starts from expect.
MEAN = (123.675, 116.28, 103.53)
STD = (58.395, 57.12, 57.375)


class SpatioTemporalUnit(nn.Module):
  """`spatial` blocks that attend within each frame, then `temporal` blocks that attend over time at each position.

  The CLS tokens take part in spatial attention and bypass the temporal blocks. The output projections of temporal
  attention start at zero, so that image weights loaded into the blocks are not disturbed (decision); `starts` has
  others.

  Attributes:
    spatial, temporal: number of blocks of each kind (Table IV).
    heads, mlp: of each block.
    remat: what the blocks keep for the backward pass, see `layers.remat`.
    dtype: compute dtype.
  """

  spatial: int
  temporal: int
  heads: int
  mlp: int
  remat: str = ""
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(self, tokens: Float[Array, "B T N E"], train: bool = False) -> Float[Array, "B T N E"]:
    """Maps `[B, T, 1 + L², E]` to the same shape, the CLS token first in each frame."""
    block = recompute(Block, self.remat)
    for i in range(self.spatial):
      tokens = block(self.heads, self.mlp, dtype=self.dtype, name=f"spatial{i}")(tokens, train)
    cls, patches = tokens[..., :1, :], jnp.swapaxes(tokens[..., 1:, :], -3, -2)
    for i in range(self.temporal):
      patches = block(
        self.heads, self.mlp, out_init=nn.initializers.zeros_init(), dtype=self.dtype, name=f"temporal{i}"
      )(patches, train)
    return jnp.concatenate([cls, jnp.swapaxes(patches, -3, -2)], axis=-2)


class SpatioTemporalEncoder(nn.Module):
  """Patch embedding, spatial and temporal embeddings, units of spatial and temporal attention, final LayerNorm.

  Attributes:
    patch: P, side of a patch in pixels; it must divide the clip's size.
    width: E.
    heads, mlp: of each block (ViT).
    units: number of units (paper: 3).
    spatial, temporal: blocks per unit, SA:TA (paper: 3:1; Tables IV, V).
    scan: run the units as one scanned program: compiles once, parameters get a leading axis of length `units`.
    remat: what the blocks keep for the backward pass, see `layers.remat`.
    dtype: compute dtype.
  """

  patch: int
  width: int
  heads: int
  mlp: int
  units: int = 3
  spatial: int = 3
  temporal: int = 1
  scan: bool = False
  remat: str = ""
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(self, clips: Real[Array, "B T M M 3"], train: bool = False) -> Float[Array, "B T N {self.width}"]:
    """Encodes clips `[B, T, M, M, 3]` on the 0-255 scale.

    Returns:
      Z `[B, T, 1 + L², E]`, L = M / P, the CLS token first, the patches row by row.
    """
    batch, frames, size = clips.shape[:3]
    side = size // self.patch
    x = (clips.astype(jnp.float32) - jnp.array(MEAN)[None, None, None, None]) / jnp.array(STD)[None, None, None, None]
    # A stride-P convolution as the matrix product it is; the kernel keeps the convolution's shape [P, P, 3, E].
    x = x.reshape(batch, frames, side, self.patch, side, self.patch, 3).swapaxes(3, 4).astype(self.dtype)
    x = nn.DenseGeneral(
      self.width, axis=(-3, -2, -1), dtype=self.dtype, dot_general=dot_general, name="patch_embedding"
    )(x)
    x = x.reshape(batch, frames, side * side, self.width)
    small = nn.initializers.normal(0.02)
    cls = self.param("cls", nn.initializers.zeros_init(), (1, 1, 1, self.width))
    e_s = self.param("spatial_embedding", small, (1, 1, side * side + 1, self.width))
    e_t = self.param("temporal_embedding", nn.initializers.zeros_init(), (1, frames, 1, self.width))
    cls = jnp.broadcast_to(cls.astype(self.dtype), (batch, frames, 1, self.width))
    x = jnp.concatenate([cls, x], axis=-2) + (e_s + e_t).astype(self.dtype)
    unit: dict[str, Any] = dict(
      spatial=self.spatial, temporal=self.temporal, heads=self.heads, mlp=self.mlp, remat=self.remat,
      dtype=self.dtype,
    )  # fmt: skip
    if self.scan:
      x, _ = nn.scan(
        lambda module, carry, _: (module(carry, train), None),
        variable_axes={"params": 0},
        split_rngs={"params": True, "dropout": True},
        length=self.units,
      )(SpatioTemporalUnit(**unit, name="units"), x, None)
    else:
      for i in range(self.units):
        x = SpatioTemporalUnit(**unit, name=f"unit{i}")(x, train)
    return LayerNorm(name="norm")(x)


def directional_pooling(
  z: Float[Array, "B T N E"], mode: str = "mean"
) -> tuple[Float[Array, "B M E"], Float[Array, "B M E"]]:
  """Pools the rows of Z into the horizontal sequence and its columns into the vertical one (§III-B, Fig. 2).

  Token i of Z_h is row i of every frame pooled over its columns, then over the frames; Z_v likewise by column. Both
  get the mean of the frames' CLS tokens as their first token (our decision).

  Args:
    z: `[B, T, 1 + L², E]`.
    mode: `mean` or `max`.

  Returns:
    Z_h and Z_v, each `[B, 1 + L, E]` in the dtype of `z`.
  """
  side = round((z.shape[-2] - 1) ** 0.5)
  pools: dict[str, Callable[..., Array]] = {"mean": jnp.mean, "max": _maximum}
  pool = pools[mode]
  cls = jnp.mean(z[:, :, :1], axis=1)
  patches = z[:, :, 1:].reshape(*z.shape[:2], side, side, z.shape[-1])
  rows = pool(pool(patches, axis=3), axis=1)
  columns = pool(pool(patches, axis=2), axis=1)
  return jnp.concatenate([cls, rows], axis=1), jnp.concatenate([cls, columns], axis=1)


def _maximum(x: Array, axis: int) -> Array:
  """Maximum along an axis whose gradient goes to the entry it was taken from.

  The derivative of `jnp.max` looks for entries equal to the maximum; compiled, XLA may compute them anew with another
  rounding and find none (measured: gradients off by 40 % on a CPU).
  """
  index = jnp.argmax(x, axis=axis, keepdims=True)
  return jnp.squeeze(jnp.take_along_axis(x, index, axis=axis), axis=axis)
