"""FTCN, the fully temporal convolution network, and its temporal transformer (Zheng et al., ICCV 2021).

A 3-D ResNet-50 (I3D) whose spatial kernels are all 1×1, cut after its fourth stage: every pixel is filtered over time
alone, and space is seen by max-pools only, so that the network cannot lean on texture. The transformer then looks
across the T/2 time tokens. Parameter names map onto the authors' checkpoint's keys (`weights.py`).
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Float32, Real

from dfdetect_jax.errors import UserError
from dfdetect_jax.layers.batch_norm import BatchNorm
from dfdetect_jax.layers.imagenet import normalize
from dfdetect_jax.layers.matmul import Pointwise
from dfdetect_jax.layers.pooling import max_pool_3, max_pool_time
from dfdetect_jax.layers.remat import recompute
from dfdetect_jax.layers.temporal_conv import TemporalConv
from dfdetect_jax.layers.transformer import Block

# width: channels of the stem (res2-res4 give 4, 8 and 16 times that); depths: bottlenecks in res2, res3, res4; layers,
# heads, mlp: of the transformer.
SIZES: dict[str, dict[str, Any]] = {
  "paper": {"width": 64, "depths": (3, 4, 6), "layers": 1, "heads": 16, "mlp": 2048},
  "small": {"width": 16, "depths": (3, 4, 6), "layers": 1, "heads": 4, "mlp": 512},
  "test": {"width": 4, "depths": (1, 2, 2), "layers": 1, "heads": 4, "mlp": 32},
}


class Stem(nn.Module):
  """Conv 5×1×1 → BN → max-pool 1×2×2 → ReLU → max-pool 1×3×3 s2: `[B, T, H, W, 3]` to `[B, T, H/4, W/4, width]`."""

  width: int
  form: str = "conv2d"
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(self, x: Float[Array, "B T H W 3"], train: bool) -> Float[Array, "B T H//4 W//4 {self.width}"]:
    x = TemporalConv(self.width, 5, self.form, self.dtype, name="conv")(x)
    return max_pool_3(nn.relu(BatchNorm(pool=True, name="bn")(x, train)))


class Bottleneck(nn.Module):
  """ReLU(x + c(b(a(x)))) with convolutions a: t×1×1, b and c: 1×1×1, BatchNorm after each.

  Attributes:
    inner: channels of a and b; c has four times as many.
    kernel: temporal kernel t of a.
    project: whether the shortcut is a 1×1×1 convolution with BatchNorm (the first block of a stage).
    pool: whether b's BatchNorm and the shortcut's are followed by a max-pool 1×2×2, which replaces I3D's stride.
    form: how temporal convolutions are computed, see `layers.temporal_conv`.
    dtype: compute dtype; parameters and statistics stay float32.
  """

  inner: int
  kernel: int
  project: bool = False
  pool: bool = False
  form: str = "conv2d"
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(self, x: Float[Array, "B T H W C"], train: bool) -> Float[Array, "B T h w 4*{self.inner}"]:
    """Maps `[B, T, H, W, C]` to `[B, T, H, W, 4·inner]`, H and W halved where it pools."""
    y = TemporalConv(self.inner, self.kernel, self.form, self.dtype, name="a")(x)
    y = nn.relu(BatchNorm(name="a_bn")(y, train))
    y = Pointwise(self.inner, self.dtype, name="b")(y)
    y = nn.relu(BatchNorm(pool=self.pool, name="b_bn")(y, train))
    y = Pointwise(4 * self.inner, self.dtype, name="c")(y)
    y = BatchNorm(scale_init=nn.initializers.zeros, name="c_bn")(y, train)
    if self.project:
      x = Pointwise(4 * self.inner, self.dtype, name="branch1")(x)
      x = BatchNorm(pool=self.pool, name="branch1_bn")(x, train)
    return nn.relu(x + y)


class Trunk(nn.Module):
  """The convolutional part: clips to time tokens. SDR's spatial perturbation branch is one of these.

  Attributes:
    width: channels of the stem.
    depths: bottlenecks in res2, res3, res4.
    form: how temporal convolutions are computed, see `layers.temporal_conv`.
    remat: what each block keeps for the backward pass, see `layers.remat`. The stem's map is 392 MiB per 32×224² clip
      in float32.
    dtype: compute dtype; parameters, statistics and the output stay float32.
  """

  width: int
  depths: tuple[int, int, int]
  form: str = "conv2d"
  remat: str = ""
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(self, clips: Real[Array, "B T H W 3"], train: bool = False) -> Float32[Array, "B T//2 16*{self.width}"]:
    """Maps clips `[B, T, H, W, 3]` on the 0-255 scale to float32 tokens `[B, T/2, 16·width]`, averaged over space."""
    stem, bottleneck = recompute(Stem, self.remat), recompute(Bottleneck, self.remat)
    x = stem(self.width, self.form, self.dtype, name="stem")(normalize(clips).astype(self.dtype), train)
    for stage, depth in enumerate(self.depths):
      for i in range(depth):
        x = bottleneck(
          inner=self.width * 2**stage,
          # Kernels of 3 frames in all of res2, in every other block of res3 and res4.
          kernel=1 if stage > 0 and i % 2 else 3,
          project=i == 0,
          pool=stage > 0 and i == 0,
          form=self.form,
          dtype=self.dtype,
          name=f"res{stage + 2}_{i}",
        )(x, train)
      if stage == 0:
        x = max_pool_time(x)
    return jnp.mean(x.astype(jnp.float32), axis=(2, 3))


class TimeTransformer(nn.Module):
  """CLS token and learned positions on the time tokens, pre-LN transformer, logit from CLS.

  Attributes:
    layers, heads, mlp: number of blocks, heads in each, hidden width of their MLPs.
    dropout: on the embedding, the attention's output and in the MLP.
    dtype: compute dtype; parameters, the residual's last LayerNorm and the logit are float32.
  """

  layers: int
  heads: int
  mlp: int
  dropout: float = 0.1
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(self, tokens: Float[Array, "B N E"], train: bool = False) -> Float32[Array, " B"]:
    """Maps tokens `[B, N, E]` to the logit of "fake", float32 `[B]`. N is fixed by the positions' parameter."""
    batch, count, width = tokens.shape
    normal = nn.initializers.normal(1.0)
    cls_token = self.param("cls_token", normal, (1, 1, width))
    positions = self.param("pos_embedding", normal, (1, count + 1, width))
    x = (
      jnp.concatenate([jnp.broadcast_to(cls_token, (batch, 1, width)), tokens.astype(jnp.float32)], axis=1) + positions
    )
    x = nn.Dropout(self.dropout, deterministic=not train)(x.astype(self.dtype))
    for i in range(self.layers):
      x = Block(
        self.heads, self.mlp, qkv_bias=False, dropout=self.dropout, epsilon=1e-5, dtype=self.dtype, name=f"layers_{i}"
      )(x, train)
    x = nn.LayerNorm(epsilon=1e-5, name="norm")(x[:, 0].astype(jnp.float32))
    return nn.Dense(1, name="out")(x)[:, 0]


class FTCN(nn.Module):
  """The fully temporal convolution network with its temporal transformer.

  Attributes:
    frames: T; the positions are T/2 learned vectors, so that a trained network takes no other number.
    width, depths, form, remat: see `Trunk`.
    layers, heads, mlp, dropout: see `TimeTransformer`.
    dtype: compute dtype; parameters, statistics and the outputs stay float32.

  Reference: Zheng et al., Exploring Temporal Coherence for More General Video Face Forgery Detection, ICCV 2021.
  """

  frames: int
  width: int
  depths: tuple[int, int, int]
  layers: int
  heads: int
  mlp: int
  dropout: float = 0.1
  form: str = "conv2d"
  remat: str = ""
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(self, clips: Real[Array, " B *clip"], train: bool = False) -> dict[str, Float32[Array, " B *_"]]:
    """Classifies clips.

    Args:
      clips: RGB `[B, T, H, W, 3]`, uint8 or float on the 0-255 scale; H and W multiples of 16.
      train: batch statistics in BatchNorm, and dropout (needs the rng `dropout`).

    Returns:
      `logit` float32 `[B]`; `features` float32 `[B, T/2, 16·width]`, the time tokens.

    Raises:
      UserError: the clips do not fit the model.
    """
    if clips.ndim != 5:
      raise UserError(f"FTCN: clips of shape {clips.shape}; they must be [B, T, H, W, 3].")
    check_clips(clips.shape[1:], self.frames)
    tokens = Trunk(self.width, self.depths, self.form, self.remat, self.dtype, name="trunk")(clips, train)
    head = TimeTransformer(self.layers, self.heads, self.mlp, self.dropout, self.dtype, name="head")
    return {"logit": head(tokens, train), "features": tokens}


def check_clips(shape: tuple[int, ...], frames: int) -> None:
  """Refuses clips of `shape` (T, H, W, 3) that FTCN cannot take, before anything is compiled.

  Raises:
    UserError: with the numbers that do not fit.
  """
  t, height, width, _ = shape
  if t % 2:
    raise UserError(f"FTCN: clips of {t} frames; the number must be even, because a pool merges them two by two.")
  if t != frames:
    raise UserError(f"FTCN: clips of {t} frames, but the model's positions are for {frames}: set clips.frames alike.")
  if height % 16 or width % 16:
    raise UserError(f"FTCN: clips of {height}×{width} px; height and width must be multiples of 16 (four poolings).")
