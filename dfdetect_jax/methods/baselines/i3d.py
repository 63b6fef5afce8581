"""I3D on ResNet-50: the 2-D network with some kernels inflated in time (DIL, Table 1; ST-ILIF, Tables 5 and 10).

Inflation: Carreira and Zisserman, CVPR 2017; on ResNet-50: Wang et al., Non-local Neural Networks, CVPR 2018.
"""

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Float32, Real

from dfdetect_jax.layers import imagenet
from dfdetect_jax.layers.batch_norm import BatchNorm
from dfdetect_jax.layers.convolution import Conv
from dfdetect_jax.layers.initializers import KAIMING
from dfdetect_jax.layers.pooling import max_pool_3
from dfdetect_jax.layers.remat import recompute
from dfdetect_jax.layers.temporal_conv import TemporalConv

# Temporal kernel of each block's first convolution, by stage.
TEMPORAL_KERNELS = ((3, 3, 3), (3, 1, 3, 1), (3, 1, 3, 1, 3, 1), (1, 3, 1))


class InflatedBottleneck(nn.Module):
  """k×1×1, 1×3×3 and 1×1×1 convolutions around a shortcut.

  Attributes:
    features: channels of the output, four times those inside.
    temporal_kernel: k.
    stride: in height and width, of the 1×3×3 convolution and the shortcut.
    project: whether the shortcut is a 1×1×1 convolution with BatchNorm rather than the identity.
    dtype: compute dtype; parameters and statistics stay float32.
  """

  features: int
  temporal_kernel: int
  stride: int = 1
  project: bool = False
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(self, x: Float[Array, "B T H W C"], train: bool = False) -> Float[Array, "B T h w {self.features}"]:
    """Maps `[B, T, H, W, C]` to `[B, T, ⌈H/stride⌉, ⌈W/stride⌉, features]`."""
    inner = self.features // 4
    y = TemporalConv(inner, self.temporal_kernel, dtype=self.dtype, name="conv1")(x)
    y = nn.relu(BatchNorm(name="bn1")(y, train))
    y = Conv(inner, 3, self.stride, self.dtype, name="conv2")(y)
    y = nn.relu(BatchNorm(name="bn2")(y, train))
    y = Conv(self.features, 1, 1, self.dtype, name="conv3")(y)
    y = BatchNorm(name="bn3")(y, train)
    if self.project:
      x = Conv(self.features, 1, self.stride, self.dtype, name="downsample_conv")(x)
      x = BatchNorm(name="downsample_bn")(x, train)
    return nn.relu(y + x)


class I3D(nn.Module):
  """Stem 5×7×7, four stages of inflated bottlenecks, time halved after the first; dropout and a linear head.

  Attributes:
    temporal_kernels: of each block's first convolution, by stage.
    width: channels of the stem.
    dropout: rate before the head.
    remat: what the blocks keep for the backward pass, see `layers.remat`.
    dtype: compute dtype; parameters and statistics stay float32.
  """

  temporal_kernels: tuple[tuple[int, ...], ...] = TEMPORAL_KERNELS
  width: int = 64
  dropout: float = 0.5
  remat: str = ""
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(self, clips: Real[Array, "B T H W 3"], train: bool = False) -> dict[str, Float32[Array, " B *_"]]:
    """Scores clips.

    Args:
      clips: `[B, T, H, W, 3]` RGB, uint8 or float on the 0-255 scale.
      train: whether dropout is on and BatchNorm uses the batch's statistics.

    Returns:
      Float32 arrays: `logit` `[B]`; `features` `[B, C]`, the mean of `feature_map` `[B, T/2, H/32, W/32, C]`.
    """
    x = imagenet.normalize(clips).astype(self.dtype)
    x = nn.Conv(
      self.width,
      (5, 7, 7),
      strides=(1, 2, 2),
      padding=((2, 2), (3, 3), (3, 3)),
      use_bias=False,
      kernel_init=KAIMING,
      dtype=self.dtype,
      name="conv1",
    )(x)
    x = max_pool_3(nn.relu(BatchNorm(name="bn1")(x, train)))
    block = recompute(InflatedBottleneck, self.remat)
    for k, kernels in enumerate(self.temporal_kernels, start=1):
      for i, kernel in enumerate(kernels):
        features = 4 * self.width * 2 ** (k - 1)
        stride = 2 if k > 1 and i == 0 else 1
        x = block(features, kernel, stride, project=i == 0, dtype=self.dtype, name=f"layer{k}_{i}")(x, train)
      if k == 1:
        # A pool 2×1×1 with stride 2; an odd last frame falls away.
        x = jnp.maximum(x[:, : x.shape[1] // 2 * 2 : 2], x[:, 1::2])
    feature_map = x.astype(jnp.float32)
    features = jnp.mean(feature_map, axis=(1, 2, 3))
    logit = nn.Dense(1, name="fc")(nn.Dropout(self.dropout, deterministic=not train)(features))[:, 0]
    return {"logit": logit, "features": features, "feature_map": feature_map}
