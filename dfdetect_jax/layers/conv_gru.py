"""Convolutional gated recurrent unit over half of the channels (ST-ILIF, Fig. 8 and 9)."""

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float


class ConvGRUCell(nn.Module):
  """One step of a GRU whose products are 3×3 convolutions.

  z, r = σ(Conv[x, h]);  c = tanh(Conv[x, r∘h]);  h′ = (1 − z)∘h + z∘c

  Attributes:
    dtype: compute dtype; parameters stay float32.
  """

  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(self, h: Float[Array, "B H W C"], x: Float[Array, "B H W C"]) -> tuple[Float[Array, "B H W C"], None]:
    """Takes the state h and the input x, both `[B, H, W, C]`, to the next state; (carry, output) for `nn.scan`."""
    channels = h.shape[-1]
    gates = nn.Conv(2 * channels, (3, 3), padding=1, dtype=self.dtype, name="gates")
    z, r = jnp.split(nn.sigmoid(gates(jnp.concatenate([x, h], axis=-1))), 2, axis=-1)
    candidate = nn.Conv(channels, (3, 3), padding=1, dtype=self.dtype, name="candidate")
    c = jnp.tanh(candidate(jnp.concatenate([x, r * h], axis=-1)))
    return (1 - z) * h + z * c, None


class ConvGRU(nn.Module):
  """A GRU over the steps on the first half of the channels; the second half is kept as it is.

  out = concat(h_S, x_S″), where x_s = concat(x_s′, x_s″), h_s = GRU(h_{s−1}, x_s′), h₀ = 0.

  The paper does not say what is kept when there are several steps: the last step's half goes on with the last state
  (decision).

  Attributes:
    dtype: compute dtype; parameters stay float32.

  Reference: ST-ILIF, §4.3, Fig. 8 and 9.
  """

  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(self, x: Float[Array, "B S H W C"]) -> Float[Array, "B H W C"]:
    """Maps S steps `[B, S, H, W, C]`, C even, to the last one's output `[B, H, W, C]`."""
    moving, kept = jnp.split(x, 2, axis=-1)
    # unroll=0 writes the few steps out: in a loop XLA takes tens of times as long for the gradients on a CPU.
    scan = nn.scan(ConvGRUCell, variable_broadcast="params", split_rngs={"params": False}, in_axes=1, unroll=0)
    h, _ = scan(self.dtype, name="cell")(jnp.zeros_like(moving[:, 0]), moving)
    return jnp.concatenate([h, kept[:, -1]], axis=-1)
