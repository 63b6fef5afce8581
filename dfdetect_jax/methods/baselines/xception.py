"""Xception on single frames, the baseline of face-forgery detection (DIP, Table III and Fig. 6; SDR, Tables I and II).

Chollet, Xception: Deep Learning with Depthwise Separable Convolutions, CVPR 2017; as a detector: Rössler et al.,
FaceForensics++, ICCV 2019. Equal to the PyTorch network whose ImageNet weights (Cadene's, timm's `legacy_xception`)
are in use there; parameter names map onto its keys (`xception_weights.py`).
"""

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Float32, Real

from dfdetect_jax.layers.batch_norm import BatchNorm
from dfdetect_jax.layers.convolution import Conv
from dfdetect_jax.layers.depthwise_conv import DepthwiseConv
from dfdetect_jax.layers.initializers import KAIMING
from dfdetect_jax.layers.pooling import max_pool_3
from dfdetect_jax.layers.remat import recompute


class SeparableConv(nn.Module):
  """Depth-wise 3×3, then 1×1, without bias; `[..., H, W, C]` to `[..., H, W, features]`."""

  features: int
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(self, x: Float[Array, "*batch H W C"]) -> Float[Array, "*batch H W {self.features}"]:
    x = DepthwiseConv(name="depthwise")(x)
    return Conv(self.features, 1, dtype=self.dtype, name="pointwise")(x)


class XceptionBlock(nn.Module):
  """Separable convolutions with BatchNorm, ReLU before each, around a shortcut; a max-pool at the end if it strides.

  Attributes:
    features: channels after each convolution.
    stride: 2 halves height and width, by the pool and the shortcut's 1×1 convolution.
    project: whether the shortcut is a 1×1 convolution with BatchNorm rather than the identity.
    first_relu: False in the first block, whose input is a ReLU's output.
    dtype: compute dtype; parameters and statistics stay float32.
  """

  features: tuple[int, ...]
  stride: int = 1
  project: bool = False
  first_relu: bool = True
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(
    self, x: Float[Array, "*batch H W C"], train: bool = False
  ) -> Float[Array, "*batch h w {self.features[-1]}"]:
    """Maps `[..., H, W, C]` to `[..., ⌈H/stride⌉, ⌈W/stride⌉, features[-1]]`."""
    y = x
    for i, features in enumerate(self.features, start=1):
      y = nn.relu(y) if i > 1 or self.first_relu else y
      y = SeparableConv(features, self.dtype, name=f"sep{i}")(y)
      y = BatchNorm(name=f"bn{i}")(y, train)
    if self.stride > 1:
      y = max_pool_3(y)
    if self.project:
      x = Conv(self.features[-1], 1, self.stride, self.dtype, name="skip")(x)
      x = BatchNorm(name="skipbn")(x, train)
    return y + x


class Xception(nn.Module):
  """Xception scores every frame; the clip's logit is the mean of its frames'.

  Attributes:
    width: channels of the entry flow's second convolution, 64; all others grow with it.
    middle: blocks of the middle flow.
    remat: what the blocks keep for the backward pass, see `layers.remat`.
    dtype: compute dtype; parameters and statistics stay float32.
  """

  width: int = 64
  middle: int = 8
  remat: str = ""
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(self, clips: Real[Array, "B T H W 3"], train: bool = False) -> dict[str, Float32[Array, " B *_"]]:
    """Scores clips.

    Args:
      clips: `[B, T, H, W, 3]` RGB, uint8 or float on the 0-255 scale; any T; normalised to [-1, 1] here, as the weights
        in use expect.
      train: whether BatchNorm uses the batch's statistics.

    Returns:
      Float32 arrays: `logit` `[B]`; `frame_logits` `[B, T]`; `features` `[B, C]`, mean over frames and places;
      `feature_map` `[B, T, H/32, W/32, C]`, C = 32·width.
    """
    block = recompute(XceptionBlock, self.remat)
    n, wide = self.width, round(728 * self.width / 64)
    x = (clips.astype(jnp.float32) / 127.5 - 1).astype(self.dtype)
    for i, (features, stride) in enumerate(((n // 2, 2), (n, 1)), start=1):
      x = nn.Conv(
        features, (3, 3), stride, padding=0, use_bias=False, kernel_init=KAIMING, dtype=self.dtype, name=f"conv{i}"
      )(x)
      x = nn.relu(BatchNorm(name=f"bn{i}")(x, train))
    for i, features in enumerate((2 * n, 4 * n, wide), start=1):
      x = block((features, features), 2, True, first_relu=i > 1, dtype=self.dtype, name=f"block{i}")(x, train)
    for i in range(4, 4 + self.middle):
      x = block((wide,) * 3, dtype=self.dtype, name=f"block{i}")(x, train)
    x = block((wide, 16 * n), 2, True, dtype=self.dtype, name=f"block{4 + self.middle}")(x, train)
    for i, features in ((3, 24 * n), (4, 32 * n)):
      x = SeparableConv(features, self.dtype, name=f"conv{i}")(x)
      x = nn.relu(BatchNorm(name=f"bn{i}")(x, train))
    feature_map = x.astype(jnp.float32)
    pooled = jnp.mean(feature_map, axis=(2, 3))
    frame_logits = nn.Dense(1, name="fc")(pooled)[..., 0]
    return {
      "logit": jnp.mean(frame_logits, axis=1),
      "frame_logits": frame_logits,
      "features": jnp.mean(pooled, axis=1),
      "feature_map": feature_map,
    }
