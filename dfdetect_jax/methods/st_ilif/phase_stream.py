"""The phase-aware stream (§4.2, Fig. 4): convolutions on the phase-based reconstruction beside the grey image."""

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from dfdetect_jax.layers.batch_norm import BatchNorm
from dfdetect_jax.layers.convolution import Conv
from dfdetect_jax.layers.pooling import max_pool_3
from dfdetect_jax.layers.remat import recompute


class ConvBlock(nn.Module):
  """ReLU(BN(Conv k×k)), `[..., H, W, C]` to `[..., ⌈H/stride⌉, ⌈W/stride⌉, features]`."""

  features: int
  kernel: int = 3
  stride: int = 1
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(
    self, x: Float[Array, "*batch H W C"], train: bool = False
  ) -> Float[Array, "*batch h w {self.features}"]:
    x = Conv(self.features, self.kernel, self.stride, self.dtype, name="conv")(x)
    return nn.relu(BatchNorm(name="bn")(x, train))


class PhaseStream(nn.Module):
  """Four stages whose maps have the sizes of ResNet-18's, so that CAFIM can join the two streams after each.

  The paper gives the first stage 64 channels and says nothing of the others: 128, 256, 512 as in ResNet-18 (decision).
  The pools are 3×3, stride 2, as in ResNet's stem (decision).

  Attributes:
    width: channels of the first stage; doubles with each of the next.
    remat: what the blocks keep for the backward pass, see `layers.remat`.
    dtype: compute dtype; parameters and statistics stay float32.
  """

  width: int = 64
  remat: str = ""
  dtype: DTypeLike = jnp.float32

  def setup(self):
    block = recompute(ConvBlock, self.remat)
    self.stem = [block(self.width, kernel, stride, self.dtype) for kernel, stride in ((3, 1), (3, 1), (7, 2))]
    self.stages = [[block(self.width * 2**k, 3, 1, self.dtype) for _ in range(2)] for k in range(4)]

  def stage(self, k: int, x: Float[Array, "B H W C"], train: bool = False) -> Float[Array, "B h w C_out"]:
    """Stage k in 1-4: max-pool, two convolutions; the first stage has the stem before it.

    Args:
      k: number of the stage.
      x: the input `[B, H, W, 2]` for stage 1, else the last stage's map.
      train: whether BatchNorm uses the batch's statistics.

    Returns:
      `[B, H/2^{k+1}, W/2^{k+1}, 2^{k-1}·width]`.
    """
    if k == 1:
      for block in self.stem:
        x = block(x, train)
    x = max_pool_3(x)
    for block in self.stages[k - 1]:
      x = block(x, train)
    return x
