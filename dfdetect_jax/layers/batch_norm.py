"""BatchNorm as the papers' PyTorch code has it, with its gradient written out."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from dfdetect_jax.layers.pooling import max_pool_2, place_in_square, spread_in_square, squares


class BatchNorm(nn.Module):
  """BatchNorm over all axes but the last, with PyTorch's defaults (its momentum 0.1 is 0.9 here).

  The normalisation is float32 whatever the input is, and the output has the input's dtype; XLA fuses the casts.
  (Parameters and statistics are named as Linen's BatchNorm has them; that one's `dtype` field mixes bfloat16 with
  float32, which strict dtype promotion refuses, and its derivative keeps x − mean beside x.)

  Attributes:
    momentum: share of the running statistics that stays at each step; the variance is the biased one.
    epsilon: added to the variance.
    scale_init: initialiser of the scale.
    pool: whether `pooling.max_pool_2` follows, which costs less together, see `batch_normalize_pool`.
  """

  momentum: float = 0.9
  epsilon: float = 1e-5
  scale_init: nn.initializers.Initializer = nn.initializers.ones
  pool: bool = False

  @nn.compact
  def __call__(self, x: Float[Array, "*batch C"], train: bool = False) -> Float[Array, "*pooled C"]:
    """Normalises `[..., C]` by the batch's statistics in training (and updates the running ones), else by those.

    Gives `[..., C]`; where it pools, `[..., H, W, C]` become `[..., H/2, W/2, C]`.
    """
    channels = x.shape[-1:]
    x = jnp.asarray(x)
    scale = jnp.asarray(self.param("scale", self.scale_init, channels))
    bias = jnp.asarray(self.param("bias", nn.initializers.zeros, channels))
    running_mean = self.variable("batch_stats", "mean", jnp.zeros, channels)
    running_var = self.variable("batch_stats", "var", jnp.ones, channels)
    if not train:
      y = _affine(x, jnp.asarray(running_mean.value), jax.lax.rsqrt(running_var.value + self.epsilon), scale, bias)
      return max_pool_2(y) if self.pool else y
    y, mean, var = (batch_normalize_pool if self.pool else batch_normalize)(x, scale, bias, self.epsilon)
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
  return _rule(x, scale, bias, epsilon)[0]


def _affine(x: jax.Array, mean: jax.Array, inverse: jax.Array, scale: jax.Array, bias: jax.Array) -> jax.Array:
  mean, factor, bias = (v.reshape(*(1,) * (x.ndim - 1), -1) for v in (mean, inverse * scale, bias))
  return ((x.astype(jnp.float32) - mean) * factor + bias).astype(x.dtype)


def _statistics(x, epsilon):
  """Mean, biased variance and 1/√(var + ε) over all axes but the last."""
  axes = tuple(range(x.ndim - 1))
  x32 = x.astype(jnp.float32)
  mean = jnp.mean(x32, axes)
  var = jnp.maximum(jnp.mean(x32 * x32, axes) - mean * mean, 0)  # rounding may take it below zero
  return mean, var, jax.lax.rsqrt(var + epsilon)


def _rule(x, scale, bias, epsilon):
  mean, var, inverse = _statistics(x, epsilon)
  return (_affine(x, mean, inverse, scale, bias), mean, var), (x, scale, mean, inverse)


def _gradient(epsilon, kept, cotangents):
  del epsilon
  x, scale, mean, inverse = kept
  return _derivatives(x, scale, mean, inverse, cotangents[0], x, lambda g: g)


def _derivatives(x, scale, mean, inverse, g, taken, spread):
  """∂x, ∂scale, ∂bias from g, the gradient of `taken`'s normalisation; `spread` gives g the places of x."""
  g, taken, x32 = (a.astype(jnp.float32) for a in (g, taken, x))
  axes, count = tuple(range(x.ndim - 1)), x.size // x.shape[-1]
  # Of g and x themselves, not of x̂: a CPU then reduces the product without writing it.
  g_mean = jnp.sum(g, axes) / count
  projection = (jnp.sum(g * taken, axes) / count - mean * g_mean) * inverse  # ⟨g x̂⟩
  wide = lambda v: v.reshape(*(1,) * (x.ndim - 1), -1)  # noqa: E731
  dx = wide(scale * inverse) * (spread(g) - wide(g_mean) - (x32 - wide(mean)) * wide(inverse * projection))
  return dx.astype(x.dtype), count * projection, count * g_mean


batch_normalize.defvjp(_rule, _gradient)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def batch_normalize_pool(
  x: Float[Array, "*batch H W C"], scale: Float[Array, " C"], bias: Float[Array, " C"], epsilon: float
) -> tuple[Float[Array, "*batch H//2 W//2 C"], Float[Array, " C"], Float[Array, " C"]]:
  """`max_pool_2` of `batch_normalize`, whose map and gradient at full size are never written.

  Normalisation is monotone, rounding included: the maximum of a square's normalised members is its largest member's, or
  where scale is negative its smallest's, normalised. So the pool comes first, and ⟨g⟩ and ⟨g x̂⟩, to which the other
  three members add nothing, are sums over the squares. Of members that differ but are equal once normalised the larger
  gets the gradient (in PyTorch the first).

  Args:
    x: `[..., H, W, C]`, H and W even.
    scale, bias, epsilon: as of `batch_normalize`.

  Returns:
    y `[..., H/2, W/2, C]`; mean and variance of x as `batch_normalize` gives them.
  """
  return _pool_rule(x, scale, bias, epsilon)[0]


def _pool_rule(x, scale, bias, epsilon):
  mean, var, inverse = _statistics(x, epsilon)
  upwards = (scale >= 0).reshape(*(1,) * (x.ndim - 1), -1)
  taken = functools.reduce(lambda a, b: jnp.where(upwards, jnp.maximum(a, b), jnp.minimum(a, b)), squares(x))
  return (_affine(taken, mean, inverse, scale, bias), mean, var), (x, scale, mean, inverse, taken)


def _pool_gradient(epsilon, kept, cotangents):
  del epsilon
  x, scale, mean, inverse, taken = kept
  spread = lambda g: spread_in_square(g, place_in_square(x, taken))  # noqa: E731
  return _derivatives(x, scale, mean, inverse, cotangents[0], taken, spread)


batch_normalize_pool.defvjp(_pool_rule, _pool_gradient)
