"""2-D ResNet-18 and ResNet-50 (He et al., CVPR 2016), equal to torchvision's.

Parameter names map onto torchvision's keys: `layer1_0/conv1` is `layer1.0.conv1`, `downsample_conv` is `downsample.0`,
`downsample_bn` is `downsample.1`, the others keep their names. The classifier is the caller's.
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from dfdetect_jax.layers.batch_norm import BatchNorm
from dfdetect_jax.layers.convolution import Conv
from dfdetect_jax.layers.pooling import max_pool_3
from dfdetect_jax.layers.remat import recompute

SIZES: dict[str, dict[str, Any]] = {
  "resnet18": {"depths": (2, 2, 2, 2), "bottleneck": False},
  "resnet50": {"depths": (3, 4, 6, 3), "bottleneck": True},
}


class BasicBlock(nn.Module):
  """ReLU(BN(Conv3×3(ReLU(BN(Conv3×3 x)))) + shortcut(x)), the block of ResNet-18.

  Attributes:
    features: channels of the output.
    stride: of the first convolution and the shortcut.
    project: whether the shortcut is a 1×1 convolution with BatchNorm rather than the identity.
    dtype: compute dtype; parameters and statistics stay float32.
  """

  features: int
  stride: int = 1
  project: bool = False
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(
    self, x: Float[Array, "*batch H W C"], train: bool = False
  ) -> Float[Array, "*batch h w {self.features}"]:
    """Maps `[..., H, W, C]` to `[..., ⌈H/stride⌉, ⌈W/stride⌉, features]`."""
    y = Conv(self.features, 3, self.stride, self.dtype, name="conv1")(x)
    y = nn.relu(BatchNorm(name="bn1")(y, train))
    y = Conv(self.features, 3, 1, self.dtype, name="conv2")(y)
    y = BatchNorm(name="bn2")(y, train)
    return nn.relu(y + _shortcut(self, x, train))


class Bottleneck(nn.Module):
  """1×1, 3×3 and 1×1 convolutions around a shortcut, the block of ResNet-50; the 3×3 one strides (v1.5).

  Attributes:
    features: channels of the output, four times those inside.
    stride: of the 3×3 convolution and the shortcut.
    project: whether the shortcut is a 1×1 convolution with BatchNorm rather than the identity.
    dtype: compute dtype; parameters and statistics stay float32.
  """

  features: int
  stride: int = 1
  project: bool = False
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(
    self, x: Float[Array, "*batch H W C"], train: bool = False
  ) -> Float[Array, "*batch h w {self.features}"]:
    """Maps `[..., H, W, C]` to `[..., ⌈H/stride⌉, ⌈W/stride⌉, features]`."""
    inner = self.features // 4
    y = Conv(inner, 1, 1, self.dtype, name="conv1")(x)
    y = nn.relu(BatchNorm(name="bn1")(y, train))
    y = Conv(inner, 3, self.stride, self.dtype, name="conv2")(y)
    y = nn.relu(BatchNorm(name="bn2")(y, train))
    y = Conv(self.features, 1, 1, self.dtype, name="conv3")(y)
    y = BatchNorm(name="bn3")(y, train)
    return nn.relu(y + _shortcut(self, x, train))


def _shortcut(block: BasicBlock | Bottleneck, x: Array, train: bool) -> Array:
  """The block's input, projected where its shape changes; creates its layers in the calling block."""
  if not block.project:
    return x
  x = Conv(block.features, 1, block.stride, block.dtype, name="downsample_conv")(x)
  return BatchNorm(name="downsample_bn")(x, train)


def stage(
  depth: int, features: int, stride: int, bottleneck: bool = False, remat: str = "", dtype: DTypeLike = jnp.float32
) -> list[nn.Module]:
  """The blocks of one stage; assigned to `self.layerK` in a `setup`, they are named `layerK_0`, `layerK_1`, ….

  Args:
    depth: number of blocks.
    features: channels of the stage's output.
    stride: of the first block.
    bottleneck: whether the blocks are bottlenecks.
    remat: what the blocks keep for the backward pass, see `layers.remat`.
    dtype: compute dtype.
  """
  block = recompute(Bottleneck if bottleneck else BasicBlock, remat)
  first = block(features, stride, project=stride > 1 or bottleneck, dtype=dtype)
  return [first, *(block(features, dtype=dtype) for _ in range(depth - 1))]


class ResNet(nn.Module):
  """ResNet without its classifier.

  Attributes:
    depths: number of blocks in each of the stages 1-4.
    bottleneck: bottlenecks (ResNet-50) or basic blocks (ResNet-18).
    width: channels of the stem; 64 in the paper, less in tests.
    remat: what the blocks keep for the backward pass, see `layers.remat`.
    dtype: compute dtype; parameters and statistics stay float32.
  """

  depths: tuple[int, ...]
  bottleneck: bool
  width: int = 64
  remat: str = ""
  dtype: DTypeLike = jnp.float32

  def setup(self):
    self.conv1 = Conv(self.width, 7, 2, self.dtype)
    self.bn1 = BatchNorm()
    for k, depth in enumerate(self.depths):
      features = self.width * 2**k * (4 if self.bottleneck else 1)
      blocks = stage(depth, features, 2 if k else 1, self.bottleneck, self.remat, self.dtype)
      setattr(self, f"layer{k + 1}", blocks)

  def __call__(self, x: Float[Array, "*batch H W 3"], train: bool = False) -> Float[Array, "*batch h w C"]:
    """Maps normalised images `[..., H, W, 3]` to the last stage's features `[..., H/32, W/32, 8·width (·4)]`.

    Leading axes are free; BatchNorm takes its statistics over all of them.
    """
    x = max_pool_3(nn.relu(self.bn1(self.conv1(x), train)))
    for k in range(1, len(self.depths) + 1):
      for block in getattr(self, f"layer{k}"):
        x = block(x, train)
    return x
