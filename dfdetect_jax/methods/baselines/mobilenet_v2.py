"""MobileNetV2 on single frames, equal to torchvision's; with a temporal head over its frames a light video detector.

Sandler et al., MobileNetV2: Inverted Residuals and Linear Bottlenecks, CVPR 2018. Parameter names map onto
torchvision's keys (`mobilenet_v2_weights.py`): `block4/expand` is `features.4.conv.0.0`.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Float32, Real

from dfdetect_jax.layers import imagenet
from dfdetect_jax.layers.batch_norm import BatchNorm
from dfdetect_jax.layers.convolution import Conv
from dfdetect_jax.layers.depthwise_conv import DepthwiseConv
from dfdetect_jax.layers.remat import recompute
from dfdetect_jax.layers.transformer import Block, LayerNorm

# (expansion t, channels c, blocks n, stride s of the first), Table 2; the stem has 32 channels.
STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
HEADS = ("mean", "transformer")


class InvertedResidual(nn.Module):
  """1×1 to t times the channels, depth-wise 3×3, linear 1×1; a shortcut where shapes agree.

  Attributes:
    features: channels of the output.
    expansion: t; 1 leaves the first convolution out.
    stride: of the depth-wise convolution.
    dtype: compute dtype; parameters and statistics stay float32.
  """

  features: int
  expansion: int
  stride: int = 1
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(
    self, x: Float[Array, "*batch H W C"], train: bool = False
  ) -> Float[Array, "*batch h w {self.features}"]:
    """Maps `[..., H, W, C]` to `[..., ⌈H/stride⌉, ⌈W/stride⌉, features]`."""
    inside = self.expansion * x.shape[-1]
    y = x
    if self.expansion > 1:
      y = jax.nn.relu6(BatchNorm(name="expand_bn")(Conv(inside, 1, dtype=self.dtype, name="expand")(y), train))
    y = DepthwiseConv(stride=self.stride, name="depthwise")(y)
    y = jax.nn.relu6(BatchNorm(name="depthwise_bn")(y, train))
    y = BatchNorm(name="project_bn")(Conv(self.features, 1, dtype=self.dtype, name="project")(y), train)
    return x + y if self.stride == 1 and x.shape[-1] == self.features else y


class FrameMobileNetV2(nn.Module):
  """MobileNetV2 sees every frame; the clip's logit is the mean of its frames', or a temporal head's.

  Attributes:
    width: channels of the stem, 32; all others grow with it, in eights.
    head: `mean` over the frames' logits; or `transformer`: one block of width 128 over the frames' features, with a
      class token and learned positions (decision), which fixes T.
    frozen_statistics: BatchNorm's statistics stay those of the start in training too, so that a small batch, of few
      people, is seen as a single clip is at test.
    remat: what the blocks keep for the backward pass, see `layers.remat`.
    dtype: compute dtype; parameters and statistics stay float32.
  """

  width: int = 32
  head: str = "mean"
  frozen_statistics: bool = False
  remat: str = ""
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(self, clips: Real[Array, "B T H W 3"], train: bool = False) -> dict[str, Float32[Array, " B *_"]]:
    """Scores clips.

    Args:
      clips: `[B, T, H, W, 3]` RGB, uint8 or float on the 0-255 scale; any T.
      train: whether dropout is on and BatchNorm uses the batch's statistics (`frozen_statistics` aside).

    Returns:
      Float32 arrays: `logit` `[B]`; `frame_features` `[B, T, C]`; `features` `[B, C]`, their mean; `feature_map`
      `[B, T, ⌈H/32⌉, ⌈W/32⌉, C]`; of the head `mean` also `frame_logits` `[B, T]`.
    """
    scaled = lambda channels: divisible(channels * self.width / 32)  # noqa: E731
    by_batch = train and not self.frozen_statistics
    x = imagenet.normalize(clips).astype(self.dtype)
    x = jax.nn.relu6(BatchNorm(name="stem_bn")(Conv(scaled(32), 3, 2, self.dtype, name="stem")(x), by_batch))
    block, number = recompute(InvertedResidual, self.remat), 0
    for expansion, channels, blocks, stride in STAGES:
      for i in range(blocks):
        number += 1
        x = block(scaled(channels), expansion, stride if i == 0 else 1, self.dtype, name=f"block{number}")(x, by_batch)
    last = 1280 if self.width == 32 else scaled(1280)
    x = jax.nn.relu6(BatchNorm(name="last_bn")(Conv(last, 1, dtype=self.dtype, name="last")(x), by_batch))
    feature_map = x.astype(jnp.float32)
    frame_features = jnp.mean(feature_map, axis=(2, 3))
    outputs = {
      "frame_features": frame_features, "features": jnp.mean(frame_features, axis=1), "feature_map": feature_map,
    }  # fmt: skip
    dropped = nn.Dropout(0.2, deterministic=not train)(frame_features)
    if self.head == "mean":
      frame_logits = nn.Dense(1, name="fc")(dropped)[..., 0]
      return outputs | {"frame_logits": frame_logits, "logit": jnp.mean(frame_logits, axis=1)}
    tokens = nn.Dense(128, name="tokens")(dropped)
    small = nn.initializers.normal(0.02)
    cls = jnp.broadcast_to(self.param("cls", small, (1, 1, 128)), (len(clips), 1, 128))
    tokens = jnp.concatenate([cls, tokens], axis=1)
    tokens = tokens + self.param("position_embedding", small, (1, tokens.shape[1], 128))
    tokens = LayerNorm(name="norm")(Block(4, 256, name="time")(tokens, train))
    return outputs | {"logit": nn.Dense(1, name="fc")(tokens[:, 0])[..., 0]}


def divisible(channels: float) -> int:
  """The nearest multiple of 8, at least 8, and not less than 0.9 of the channels, as torchvision rounds."""
  rounded = max(8, int(channels + 4) // 8 * 8)
  return rounded + 8 if rounded < 0.9 * channels else rounded
