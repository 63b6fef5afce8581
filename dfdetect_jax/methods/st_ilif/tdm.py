"""The temporal difference module (§4.3, Fig. 7) and the sequence stream that it opens."""

from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Float32

from dfdetect_jax.layers.batch_norm import BatchNorm
from dfdetect_jax.layers.conv_gru import ConvGRU
from dfdetect_jax.layers.convolution import Conv
from dfdetect_jax.layers.pooling import max_pool_3
from dfdetect_jax.layers.resnet import stage

RECURRENCES = ("single", "scan")


def frame_differences(frames: Float[Array, "B T H W 3"], recurrence: str) -> Float[Array, "B steps H W C"]:
  """I_{t+1} − I_t, the consecutive differences, as steps of the recurrence.

  Args:
    frames: `[B, T, H, W, 3]` float.
    recurrence: `single`, one step with the differences side by side in channels, or `scan`, one step per difference.

  Returns:
    `[B, 1, H, W, 3(T-1)]`, or `[B, T-1, H, W, 3]`.
  """
  differences = frames[:, 1:] - frames[:, :-1]
  if recurrence == "single":
    b, steps, h, w, c = differences.shape
    return jnp.moveaxis(differences, 1, 3).reshape(b, 1, h, w, steps * c)
  return differences


def halve(x: Float[Array, "*batch H W C"]) -> Float[Array, "*batch H//2 W//2 C"]:
  """Averages 2×2 squares, `[..., H, W, C]` to `[..., H/2, W/2, C]`."""
  *leading, h, w, c = x.shape
  return jnp.mean(x.reshape(*leading, h // 2, 2, w // 2, 2, c), axis=(-4, -2))


def upsample(x: Float[Array, "*batch H W C"]) -> Float[Array, "*batch 2*H 2*W C"]:
  """Doubles height and width by repetition, `[..., H, W, C]` to `[..., 2H, 2W, C]` (nearest as in TDN: decision)."""
  return jnp.repeat(jnp.repeat(x, 2, axis=-3), 2, axis=-2)


class TDM(nn.Module):
  """The temporal difference module: middle frame and differences of its neighbours, refined by three ConvGRUs.

  F_t = pool(ReLU(BN(Conv7×7 I_t)));  F_d = pool(ReLU(BN(Conv7×7 avgpool(ΔI))))
  F′ = layer1(F_t + up(ConvGRU₁(F_d)));  out = ConvGRU₃(F′ + up(ConvGRU₂(convs(F_d))))

  Attributes:
    width: channels.
    differences: False leaves the middle frame's path alone, which is the stem and layer1 of ResNet-18 (Table 3).
    recurrence: `single` stacks the differences in channels, as §4.3 prints it twice, which leaves the recurrence a
      single step; `scan`, our variant, shares the stem among them and runs ConvGRU₁ and ConvGRU₂ over them. ConvGRU₃
      has one step in both.
    remat: what the residual blocks keep for the backward pass, see `layers.remat`.
    dtype: compute dtype; parameters and statistics stay float32.

  Reference: ST-ILIF, §4.3, Fig. 7.
  """

  width: int = 64
  differences: bool = True
  recurrence: str = "single"
  remat: str = ""
  dtype: DTypeLike = jnp.float32

  def setup(self):
    self.conv1, self.bn1 = Conv(self.width, 7, 2, self.dtype), BatchNorm()
    self.layer1 = stage(2, self.width, 1, remat=self.remat, dtype=self.dtype)
    if self.differences:
      self.difference_conv1, self.difference_bn1 = Conv(self.width, 7, 2, self.dtype), BatchNorm()
      self.difference_layer1 = stage(2, self.width, 1, remat=self.remat, dtype=self.dtype)
      self.gru1, self.gru2, self.gru3 = ConvGRU(self.dtype), ConvGRU(self.dtype), ConvGRU(self.dtype)

  def __call__(
    self, frames: Float32[Array, "B T H W 3"], train: bool = False
  ) -> Float[Array, "B H//4 W//4 {self.width}"]:
    """Maps normalised float32 frames `[B, T, H, W, 3]`, T odd, H and W multiples of 8, to `[B, H/4, W/4, width]`."""
    x = frames[:, frames.shape[1] // 2].astype(self.dtype)
    x = max_pool_3(nn.relu(self.bn1(self.conv1(x), train)))
    if not self.differences:
      return _run(self.layer1, x, train)
    # Differences of neighbours are small next to the frames: take them before rounding to the compute dtype.
    d = frame_differences(frames, self.recurrence)
    d = halve(d).astype(self.dtype)
    d = max_pool_3(nn.relu(self.difference_bn1(self.difference_conv1(d), train)))
    x = _run(self.layer1, x + upsample(self.gru1(d)), train)
    x = x + upsample(self.gru2(_run(self.difference_layer1, d, train)))
    return self.gru3(x[:, None])


def _run(blocks: Sequence[nn.Module], x: Array, train: bool) -> Array:
  for block in blocks:
    x = block(x, train)
  return x


class SequenceStream(nn.Module):
  """TDM in place of ResNet-18's first layers, then its layer2, layer3 and layer4.

  Attributes:
    width: channels of the first stage; doubles with each of the next.
    tdm: whether the differences take part; without them this is ResNet-18 on the middle frame.
    recurrence: see `TDM`.
    remat: what the residual blocks keep for the backward pass, see `layers.remat`.
    dtype: compute dtype; parameters and statistics stay float32.
  """

  width: int = 64
  tdm: bool = True
  recurrence: str = "single"
  remat: str = ""
  dtype: DTypeLike = jnp.float32

  def setup(self):
    self.first = TDM(self.width, self.tdm, self.recurrence, self.remat, self.dtype)
    self.layer2 = stage(2, self.width * 2, 2, remat=self.remat, dtype=self.dtype)
    self.layer3 = stage(2, self.width * 4, 2, remat=self.remat, dtype=self.dtype)
    self.layer4 = stage(2, self.width * 8, 2, remat=self.remat, dtype=self.dtype)

  def stage(self, k: int, x: Float[Array, " B *map C"], train: bool = False) -> Float[Array, "B h w C_out"]:
    """Stage k in 1-4: normalised frames `[B, T, H, W, 3]` for stage 1, else the last stage's map, to the next map."""
    if k == 1:
      return self.first(x, train)
    return _run((self.layer2, self.layer3, self.layer4)[k - 2], x, train)
