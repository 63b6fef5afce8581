"""Products over the channels alone: x W, and the 1×1×1 convolution."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from dfdetect_jax.layers.initializers import KAIMING


@jax.custom_vjp
def matmul(x: Float[Array, "*batch C"], kernel: Float[Array, "C F"]) -> Float[Array, "*batch F"]:
  """`[..., C]` times `[C, F]`, of one dtype, to `[..., F]`.

  ∂x = g Wᵀ and ∂W = xᵀ g as anywhere; but autodiff writes the latter as (gᵀ x)ᵀ, for which XLA lays g out anew on a
  CPU. That took a third of the time of FTCN's blocks.
  """
  return x @ kernel


def _rule(x, kernel):
  return x @ kernel, (x, kernel)


def _gradient(kept, g):
  x, kernel = kept
  rows = x.reshape(-1, x.shape[-1]), g.reshape(-1, g.shape[-1])
  summed = jnp.float64 if x.dtype == jnp.float64 else jnp.float32
  dkernel = jax.lax.dot_general(*rows, (((0,), (0,)), ((), ())), preferred_element_type=summed)
  return g @ kernel.T, dkernel.astype(kernel.dtype)


matmul.defvjp(_rule, _gradient)


def dot_general(
  x: Float[Array, "..."],
  kernel: Float[Array, "..."],
  dimension_numbers: jax.lax.DotDimensionNumbers,
  precision: None = None,
) -> Float[Array, "..."]:
  """`jax.lax.dot_general` by `matmul`, for the field of that name of Linen's `Dense` and `DenseGeneral`.

  Args:
    x: its last axes are summed over, as these layers do.
    kernel: with its first axes.
    dimension_numbers: says over how many.
    precision: has to be None.
  """
  (axes, _), batch = dimension_numbers
  count = len(axes)
  assert precision is None and batch == ((), ()) and tuple(axes) == tuple(range(x.ndim - count, x.ndim))
  kept, features = x.shape[: x.ndim - count], kernel.shape[count:]
  y = matmul(x.reshape(*kept, -1), kernel.reshape(math.prod(kernel.shape[:count]), -1))
  return y.reshape(*kept, *features)


class Pointwise(nn.Module):
  """A 1×1×1 convolution without bias.

  Attributes:
    features: channels of the output.
    dtype: compute dtype; the parameter `kernel`, `[C, features]`, stays float32.
  """

  features: int
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(self, x: Float[Array, "*batch C"]) -> Float[Array, "*batch {self.features}"]:
    """Maps `[..., C]` to `[..., features]`."""
    kernel = self.param("kernel", KAIMING, (x.shape[-1], self.features))
    return matmul(jnp.asarray(x, self.dtype), jnp.asarray(kernel, self.dtype))
