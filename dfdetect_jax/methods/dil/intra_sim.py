"""Intra-Snippet Inconsistency Module (paper: section "Intra-Snippet Inconsistency Module", Fig. 2, Eq. 1-6)."""

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Float32

from dfdetect_jax.layers.convolution import Conv
from dfdetect_jax.layers.depthwise_conv import DepthwiseConv, identity
from dfdetect_jax.methods.dil import neighbours

_INIT = nn.initializers.lecun_normal()


class MotionAttention(nn.Module):
  """Intra-SMA: attention from the temporal differences of a snippet (Eq. 1-3).

      D = ½ (D_{t,t+1} + D_{t+1,t})                     of the features squeezed by r, Eq. 1
      A_H = σ(Conv_1×1(Conv_3×3(D^h) + D^h))            on the (H, T) planes, Eq. 2
      A_W = σ(Conv_1×1(Conv_3×3(D^w) + D^w))            on the (T, W) planes, Eq. 3

  Decisions: the two directions share their convolutions ("in a similar way"). Between Eq. 1 and the average there are
  only linear maps, so the average is taken first and the convolutions run once. The depth-wise convolution of Eq. 1
  starts as the identity, so that the differences are differences from the first step on.

  Attributes:
    reduction: r, by which the channels are squeezed (at least one channel stays).
    bidirectional: forward and backward differences (BP); False takes the forward ones alone.
    coordinate: attention over (H, T) and (T, W) planes (CA); False takes one map over the (H, W) planes.
    dtype: compute dtype; parameters stay float32.
  """

  reduction: int = 16
  bidirectional: bool = True
  coordinate: bool = True
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(self, x: Float[Array, "*batch T H W C"]) -> Float[Array, "*batch T H W C"]:
    """Maps I₂ `[..., T, H, W, C]` to A_H · A_W, same shape, in (0, 1)."""
    channels = x.shape[-1]
    squeezed = max(1, channels // self.reduction)
    features = Conv(squeezed, 1, dtype=self.dtype, kernel_init=_INIT, name="squeeze")(x)
    convolved = DepthwiseConv(identity, name="depthwise")(features)
    forward, backward = neighbours.differences(features, convolved, axis=-4)
    difference = 0.5 * (forward + backward) if self.bidirectional else forward

    def attention(plane: str, other_axis: int) -> Array:
      # nn.Conv convolves over the two axes before the channels: the third one joins the batch axes.
      planes = jnp.moveaxis(difference, other_axis, -4)
      planes = planes + nn.Conv(squeezed, (3, 3), use_bias=False, dtype=self.dtype, name=f"conv_{plane}")(planes)
      planes = jnp.moveaxis(planes, -4, other_axis)
      recover = Conv(channels, 1, dtype=self.dtype, use_bias=True, kernel_init=_INIT, name=f"recover_{plane}")
      return nn.sigmoid(recover(planes))

    if not self.coordinate:
      return attention("hw", -4)
    return attention("th", -2) * attention("tw", -3)


class TemporalKernel(nn.Module):
  """K = softmax(φ₂(ReLU(φ₁(GAP(I₂))))), one kernel of three taps for each sample, snippet and channel (Eq. 4).

  φ₁: T → 2T and φ₂: 2T → 3 are fully connected over time, so that T is fixed by the parameters.

  Attributes:
    dtype: compute dtype; parameters and the softmax stay float32.
  """

  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(self, x: Float[Array, "*batch T H W C"]) -> Float32[Array, "*batch 3 C"]:
    """Maps I₂ `[..., T, H, W, C]` to kernels `[..., 3, C]`, float32, which sum to one over the taps."""
    profile = jnp.swapaxes(jnp.mean(x, axis=(-3, -2), dtype=jnp.float32), -1, -2)  # [..., C, T]
    hidden = nn.relu(nn.Dense(2 * x.shape[-4], dtype=self.dtype, name="phi1")(profile))
    logits = nn.Dense(3, dtype=self.dtype, name="phi2")(hidden)
    return jnp.swapaxes(nn.softmax(logits.astype(jnp.float32), axis=-1), -1, -2)


class IntraSIM(nn.Module):
  """Concat[I₁, K ⊗_t (A_H · A_W · I₂ + I₂)] (Eq. 5, 6).

  I₁ and I₂ are the halves of the channels, ⊗_t the depth-wise convolution over the frames of a snippet.

  Attributes:
    reduction, bidirectional, coordinate: see `MotionAttention`.
    learnable_kernel: K depends on the input (LK, Eq. 4). Decision: False convolves with ordinary weights, the same for
      all samples, which start as the identity.
    dtype: compute dtype; parameters and the kernels' softmax stay float32.

  Reference: Gu et al., "Delving into the Local", AAAI 2022, Eq. 1-6; switches: Table 5.
  """

  reduction: int = 16
  bidirectional: bool = True
  coordinate: bool = True
  learnable_kernel: bool = True
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(
    self, x: Float[Array, "*batch T H W C"]
  ) -> tuple[Float[Array, "*batch T H W C"], Float32[Array, "*batch T H W"]]:
    """Applies the module.

    Args:
      x: I, `[..., T, H, W, C]`, C even.

    Returns:
      O_Intra of the shape of `x`, and the Intra-SMA map that Fig. 4 draws: the mean of A_H · A_W over the channels,
      float32 `[..., T, H, W]` in (0, 1).
    """
    kept, x = jnp.split(x, 2, axis=-1)
    attention = MotionAttention(self.reduction, self.bidirectional, self.coordinate, self.dtype, name="attention")(x)
    y = attention * x + x
    if self.learnable_kernel:
      kernel = TemporalKernel(self.dtype, name="kernel")(x)
    else:
      kernel = self.param("kernel", neighbours.identity_taps, (3, x.shape[-1]))
      kernel = jnp.expand_dims(kernel, range(x.ndim - 4))
    taps = kernel.astype(self.dtype)[..., None, None, :]  # [..., 3, 1, 1, C]
    previous, own, following = jnp.split(taps, 3, axis=-4)
    y = neighbours.three_taps(y, previous, own, following, axis=-4)
    return jnp.concatenate([kept, y], axis=-1), jnp.mean(attention, axis=-1, dtype=jnp.float32)
