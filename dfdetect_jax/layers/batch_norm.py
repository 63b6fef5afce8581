"""BatchNorm as the papers' PyTorch code has it."""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float


class BatchNorm(nn.BatchNorm):
  """BatchNorm over all axes but the last, with PyTorch's defaults (its momentum 0.1 is 0.9 here).

  The normalisation is float32 whatever the input is, and the output has the input's dtype; XLA fuses the casts.
  (Linen's own `dtype` field mixes bfloat16 with float32, which strict dtype promotion refuses.)
  """

  momentum: float = 0.9
  epsilon: float = 1e-5

  # Not called in Linen's place, but in that of a module of these papers: `train` is what all of ours take.
  def __call__(self, x: Float[Array, "*batch C"], train: bool = False) -> Float[Array, "*batch C"]:  # type: ignore[override]
    """Normalises `[..., C]` by the batch's statistics in training (and updates the running ones), else by those."""
    return super().__call__(x.astype(jnp.float32), use_running_average=not train).astype(x.dtype)
