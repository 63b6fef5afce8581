"""Task-relevant feature integration: what the branches have in common (SDR, §II-B, Eq. 1-4)."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Float32


class Fusion(nn.Module):
  """z_t = W · MLP(concat_i r_{i,t}): the bottleneck MLP at each time step, then the projection W of §II-C.

  Attributes:
    bottleneck: hidden width of the MLP (unstated; decision).
    dtype: compute dtype; parameters stay float32.
  """

  bottleneck: int
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(self, r: Float[Array, "B N T E"]) -> Float[Array, "B T E"]:
    """Maps the branches' tokens r `[B, N, T, E]` to integrated ones z `[B, T, E]`."""
    batch, branches, frames, width = r.shape
    x = jnp.moveaxis(r, 1, 2).reshape(batch, frames, branches * width).astype(self.dtype)
    x = nn.relu(nn.Dense(self.bottleneck, dtype=self.dtype, name="squeeze")(x))
    x = nn.Dense(width, dtype=self.dtype, name="restore")(x)
    return nn.Dense(width, dtype=self.dtype, name="projection")(x)


class PredictiveHeads(nn.Module):
  """The variational p(y|r_all) and p(y|r_∖i): linear on the concatenated time-averaged features (decision).

  The joint head sees all branches, head i all but the i-th, so that it has no weights for that one.
  """

  @nn.compact
  def __call__(self, r: Float[Array, "B N T E"]) -> tuple[Float32[Array, " B"], Float32[Array, "B left_out"]]:
    """Maps the branches' tokens r `[B, N, T, E]` to the joint logit `[B]` and the leave-one-out logits `[B, N]`.

    With N = 1 nothing is left when a branch is left out: `[B, 0]`.
    """
    batch, branches, _, width = r.shape
    r = jnp.mean(r.astype(jnp.float32), axis=2)
    joint = nn.Dense(1, name="joint")(r.reshape(batch, branches * width))[:, 0]
    if branches == 1:
      return joint, jnp.zeros((batch, 0))
    others = np.array([[j for j in range(branches) if j != i] for i in range(branches)])
    init = nn.initializers.variance_scaling(1.0, "fan_in", "truncated_normal", in_axis=(1, 2), out_axis=0)
    kernel = self.param("left_out_kernel", init, (branches, branches - 1, width))
    bias = self.param("left_out_bias", nn.initializers.zeros, (branches,))
    return joint, jnp.einsum("bijc,ijc->bi", r[:, others], kernel) + bias[None]


def mutual_information_loss(
  joint: Float[Array, " B"], left_out: Float[Array, "B N"], temperature: float = 1.5
) -> Float[Array, ""]:
  """L_MI = Σ_i KL(p(y|r_all) ‖ p(y|r_∖i)), averaged over the batch, p = σ(logit / temperature).

  It is minimised: each subset of the branches must predict what all of them do. No gradient flows into the joint side.

  Args:
    joint: logits of p(y|r_all), `[B]`.
    left_out: logits of p(y|r_∖i), `[B, N]`.
    temperature: softens both sides (lost in the paper's text; decision).

  Returns:
    Float32 scalar, ≥ 0.

  Reference: SDR, Eq. 2-4.
  """
  p = jax.lax.stop_gradient(joint)[:, None] / temperature
  q = left_out / temperature
  # log σ(x) = −softplus(−x), finite for any logit.
  fake = jax.nn.sigmoid(p) * (jax.nn.softplus(-q) - jax.nn.softplus(-p))
  real = jax.nn.sigmoid(-p) * (jax.nn.softplus(q) - jax.nn.softplus(p))
  return jnp.mean(jnp.sum(fake + real, axis=1))
