"""BatchNorm as the papers' PyTorch code has it, with its gradient written out."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


class BatchNorm(nn.Module):
  """BatchNorm over all axes but the last, with PyTorch's defaults (its momentum 0.1 is 0.9 here).

  The normalisation is float32 whatever the input is, and the output has the input's dtype; XLA fuses the casts.
  (Parameters and statistics are named as Linen's BatchNorm has them; that one's `dtype` field mixes bfloat16 with
  float32, which strict dtype promotion refuses, and its derivative keeps x − mean beside x.)

  Attributes:
    momentum: share of the running statistics that stays at each step; the variance is the biased one.
    epsilon: added to the variance.
    scale_init: initialiser of the scale.
  """

  momentum: float = 0.9
  epsilon: float = 1e-5
  scale_init: nn.initializers.Initializer = nn.initializers.ones

  @nn.compact
  def __call__(self, x: Float[Array, "*batch C"], train: bool = False) -> Float[Array, "*batch C"]:
    """Normalises `[..., C]` by the batch's statistics in training (and updates the running ones), else by those."""
    channels = x.shape[-1:]
    x = jnp.asarray(x)
    scale = jnp.asarray(self.param("scale", self.scale_init, channels))
    bias = jnp.asarray(self.param("bias", nn.initializers.zeros, channels))
    running_mean = self.variable("batch_stats", "mean", jnp.zeros, channels)
    running_var = self.variable("batch_stats", "var", jnp.ones, channels)
    if not train:
      return _affine(x, jnp.asarray(running_mean.value), jax.lax.rsqrt(running_var.value + self.epsilon), scale, bias)
    y, mean, var = batch_normalize(x, scale, bias, self.epsilon)
    if not self.is_initializing():
      running_mean.value = self.momentum * running_mean.value + (1 - self.momentum) * mean
      running_var.value = self.momentum * running_var.value + (1 - self.momentum) * var
    return y


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def batch_normalize(
  x: Float[Array, "*batch C"], scale: Float[Array, " C"], bias: Float[Array, " C"], epsilon: float
) -> tuple[Float[Array, "*batch C"], Float[Array, " C"], Float[Array, " C"]]:
  """y = x̂·scale + bias, x̂ = (x − mean)/√(var + ε), mean and var over all axes but the last.

  The gradient is PyTorch's, with g that of y and ⟨·⟩ the mean over the same axes:

      ∂scale = Σ g x̂    ∂bias = Σ g    ∂x = scale/√(var + ε) · (g − ⟨g⟩ − x̂ ⟨g x̂⟩)

  What is kept for it is x, which the layer before keeps anyway; autodiff of the forward pass also writes and reads
  x − mean and g·(x − mean).

  Args:
    x: `[..., C]`.
    scale, bias: float32 `[C]`.
    epsilon: ε.

  Returns:
    y in the dtype of `x`; mean and biased variance, float32 `[C]`, through which no gradient flows.
  """
  y, (_, _, mean, _, var) = _forward(x, scale, bias, epsilon)
  return y, mean, var


def _affine(x: jax.Array, mean: jax.Array, inverse: jax.Array, scale: jax.Array, bias: jax.Array) -> jax.Array:
  mean, factor, bias = (v.reshape(*(1,) * (x.ndim - 1), -1) for v in (mean, inverse * scale, bias))
  return ((x.astype(jnp.float32) - mean) * factor + bias).astype(x.dtype)


def _forward(x, scale, bias, epsilon):
  axes = tuple(range(x.ndim - 1))
  x32 = x.astype(jnp.float32)
  mean = jnp.mean(x32, axes)
  var = jnp.maximum(jnp.mean(x32 * x32, axes) - mean * mean, 0)  # rounding may take it below zero
  inverse = jax.lax.rsqrt(var + epsilon)
  return _affine(x, mean, inverse, scale, bias), (x, scale, mean, inverse, var)


def _rule(x, scale, bias, epsilon):
  y, (x, scale, mean, inverse, var) = _forward(x, scale, bias, epsilon)
  return (y, mean, var), (x, scale, mean, inverse)


def _gradient(epsilon, kept, cotangents):
  del epsilon
  x, scale, mean, inverse = kept
  g, x32 = cotangents[0].astype(jnp.float32), x.astype(jnp.float32)
  axes = tuple(range(x.ndim - 1))
  # Of g and x themselves, not of x̂: a CPU then reduces the product without writing it.
  g_mean = jnp.mean(g, axes)
  projection = (jnp.mean(g * x32, axes) - mean * g_mean) * inverse  # ⟨g x̂⟩
  count = x.size // x.shape[-1]
  wide = lambda v: v.reshape(*(1,) * (x.ndim - 1), -1)  # noqa: E731
  dx = wide(scale * inverse) * (g - wide(g_mean) - (x32 - wide(mean)) * wide(inverse * projection))
  return dx.astype(x.dtype), count * projection, count * g_mean


batch_normalize.defvjp(_rule, _gradient)
