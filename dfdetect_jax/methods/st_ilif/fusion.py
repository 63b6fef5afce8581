"""CAFIM, which joins the streams after every stage (§4.4), and AFFM, which fuses them at the end (§4.5)."""

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from dfdetect_jax.layers.batch_norm import BatchNorm
from dfdetect_jax.layers.convolution import Conv
from dfdetect_jax.layers.depthwise_conv import DepthwiseConv


def conv1d(kernel: int, dtype: DTypeLike, name: str) -> nn.Conv:
  """A convolution along the channels, one channel wide, without bias; takes and gives `[B, C, 1]`."""
  return nn.Conv(1, (kernel,), padding=kernel // 2, use_bias=False, dtype=dtype, name=name)


def channel_mean(x: Float[Array, "B H W C"]) -> Float[Array, "B C 1"]:
  """Average over height and width, accumulated in float32: `[B, H, W, C]` to `[B, C, 1]`."""
  return jnp.mean(x, axis=(1, 2), dtype=jnp.float32).astype(x.dtype)[..., None]


class CAFIM(nn.Module):
  """Channel attention-based feature interaction module (Fig. 10).

  F_agg = F_p · σ(Conv1D₅(GAP F_p)) + F_s · σ(Conv1D₅(GAP F_s))                                (Eq. 4)
  A = σ(BN(Conv1×1(ReLU(BN(DWConv3×3(F_agg))))))                                               (Eq. 5)
  F_p ← F_p + F_p · A;  F_s ← F_s + F_s · A                                                    (Eq. 6)

  Attributes:
    dtype: compute dtype; parameters and statistics stay float32.

  Reference: ST-ILIF, §4.4, Eq. 4-6.
  """

  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(
    self, phase: Float[Array, "B H W C"], sequence: Float[Array, "B H W C"], train: bool = False
  ) -> tuple[Float[Array, "B H W C"], Float[Array, "B H W C"], Float[Array, "B H W C"]]:
    """Joins the streams.

    Args:
      phase: F_p `[B, H, W, C]`.
      sequence: F_s `[B, H, W, C]`.
      train: whether BatchNorm uses the batch's statistics.

    Returns:
      New F_p and F_s, and the attention A in (0, 1), each `[B, H, W, C]`.
    """
    weight_p = nn.sigmoid(conv1d(5, self.dtype, name="phase_conv1d")(channel_mean(phase)))
    weight_s = nn.sigmoid(conv1d(5, self.dtype, name="sequence_conv1d")(channel_mean(sequence)))
    a = phase * weight_p[:, None, None, :, 0] + sequence * weight_s[:, None, None, :, 0]
    a = DepthwiseConv(name="depthwise")(a)
    a = nn.relu(BatchNorm(name="bn1")(a, train))
    a = Conv(phase.shape[-1], 1, dtype=self.dtype, name="pointwise")(a)
    a = nn.sigmoid(BatchNorm(name="bn2")(a, train))
    return phase + phase * a, sequence + sequence * a, a


class AFFM(nn.Module):
  """Adaptive feature fusion module: one weight per place and channel, seen globally and locally (Fig. 11).

  X = Conv1×1(F_p) + Conv1×1(F_s)                                                              (Eq. 7)
  L = σ(BN(Conv3×3(ReLU(BN(Conv3×3 X)))))                                                      (Eq. 8)
  G = σ(BN(Conv1D₃(ReLU(BN(Conv1D₃(GAP X))))))                                                 (Eq. 9)
  W = σ(L + G)                                                                                 (Eq. 10)
  out = concat(F_p + F_p · W, F_s + F_s · W)                                                   (Eq. 11)

  Printed like this W lies in (0.5, 0.88).

  Attributes:
    single_sigmoid: leave out the sigmoids of Eq. 8 and 9, so that W fills (0, 1) (decision: as printed).
    dtype: compute dtype; parameters and statistics stay float32.

  Reference: ST-ILIF, §4.5, Eq. 7-11. The kernel size of Eq. 7 is unstated: 1×1 (decision).
  """

  single_sigmoid: bool = False
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(
    self, phase: Float[Array, "B H W C"], sequence: Float[Array, "B H W C"], train: bool = False
  ) -> tuple[Float[Array, "B H W 2*C"], Float[Array, "B H W C"]]:
    """Fuses F_p and F_s, each `[B, H, W, C]`, to `[B, H, W, 2C]`; also returns W `[B, H, W, C]`."""
    channels = phase.shape[-1]
    x = Conv(channels, 1, dtype=self.dtype, name="phase_conv")(phase)
    x = x + Conv(channels, 1, dtype=self.dtype, name="sequence_conv")(sequence)

    local_map = Conv(channels, 3, dtype=self.dtype, name="local_conv1")(x)
    local_map = nn.relu(BatchNorm(name="local_bn1")(local_map, train))
    local_map = Conv(channels, 3, dtype=self.dtype, name="local_conv2")(local_map)
    local_map = BatchNorm(name="local_bn2")(local_map, train)

    global_map = conv1d(3, self.dtype, name="global_conv1")(channel_mean(x))
    global_map = nn.relu(BatchNorm(name="global_bn1")(global_map, train))
    global_map = conv1d(3, self.dtype, name="global_conv2")(global_map)
    global_map = BatchNorm(name="global_bn2")(global_map, train)[:, None, None, :, 0]

    if not self.single_sigmoid:
      local_map, global_map = nn.sigmoid(local_map), nn.sigmoid(global_map)
    weight = nn.sigmoid(local_map + global_map)
    return jnp.concatenate([phase + phase * weight, sequence + sequence * weight], axis=-1), weight
