"""Inter-Snippet Interaction Module (paper: section "Inter-Snippet Interaction Module", Fig. 2, Eq. 7-11)."""

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Float32

from dfdetect_jax.layers.batch_norm import BatchNorm
from dfdetect_jax.methods.dil import neighbours


class InterSIM(nn.Module):
  """Conv_U(F₁ · F₂ · F + F), with two attentions over snippets and frames (Eq. 7-11).

      F₁ = σ(Conv_1×1(BN(Conv_3×1(GAP(F)))))                  over snippets alone, Eq. 7
      F̂  = squeeze_1×1(GAP(F))
      D_{u,u+1} = F̂_u − Conv_1×3(F̂_{u+1}),  D_{u+1,u} = F̂_{u+1} − Conv_1×3(F̂_u)          Eq. 8, 9
      F₂ = σ(Conv_1×1(D_{u,u+1} + D_{u+1,u}))                 Eq. 10

  Decisions: the "Conv_1×3 first" of the text is the one inside Eq. 8 and 9, shared by both; differences without a
  neighbour are zero; Conv_U is depth-wise and starts as the identity, which keeps ImageNet's features alive.

  Attributes:
    reduction: r, by which the channels are squeezed (at least one channel stays).
    dtype: compute dtype; parameters and BatchNorm's statistics stay float32.

  Reference: Gu et al., "Delving into the Local", AAAI 2022, Eq. 7-11.
  """

  reduction: int = 16
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(
    self, x: Float[Array, "B U T H W C"], train: bool = False
  ) -> tuple[Float[Array, "B U T H W C"], Float32[Array, "B U T"]]:
    """Applies the module.

    Args:
      x: F, `[B, U, T, H, W, C]`; any U, also another than in training.
      train: whether BatchNorm uses the batch's statistics.

    Returns:
      O_Inter of the shape of `x`, and the U-T attention map that Fig. 5 draws: the mean of F₁ · F₂ over the channels,
      float32 `[B, U, T]` in (0, 1).
    """
    channels = x.shape[-1]
    squeezed = max(1, channels // self.reduction)
    mean = jnp.mean(x, axis=(-3, -2), dtype=jnp.float32).astype(self.dtype)  # [B, U, T, C]

    snippets = nn.Conv(squeezed, (3, 1), use_bias=False, dtype=self.dtype, name="snippet_conv")(mean)
    snippets = BatchNorm(name="snippet_norm")(snippets, train)
    attention1 = nn.sigmoid(nn.Conv(channels, (1, 1), dtype=self.dtype, name="snippet_recover")(snippets))

    features = nn.Conv(squeezed, (1, 1), use_bias=False, dtype=self.dtype, name="motion_squeeze")(mean)
    convolved = nn.Conv(squeezed, (1, 3), use_bias=False, dtype=self.dtype, name="motion_conv")(features)
    forward, backward = neighbours.differences(features, convolved, axis=-3)
    attention2 = nn.sigmoid(nn.Conv(channels, (1, 1), dtype=self.dtype, name="motion_recover")(forward + backward))

    attention = attention1 * attention2
    taps = jnp.asarray(self.param("conv_u", neighbours.identity_taps, (3, channels)), self.dtype)
    previous, own, following = (tap.reshape((1,) * (x.ndim - 1) + (channels,)) for tap in taps)
    y = neighbours.three_taps(attention[..., None, None, :] * x + x, previous, own, following, axis=-5)
    return y, jnp.mean(attention, axis=-1, dtype=jnp.float32)
