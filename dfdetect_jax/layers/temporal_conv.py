"""Convolution over time alone: kernels k×1×1 of a 3-D convolution, in forms that XLA runs fast."""

from typing import cast

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from dfdetect_jax.errors import UserError
from dfdetect_jax.layers.initializers import KAIMING
from dfdetect_jax.layers.matmul import matmul

# The same numbers in three ways; benchmarks/temporal_conv.py tells which is faster where.
FORMS = ("conv2d", "conv3d", "matmul")


def temporal_conv(
  x: Float[Array, "B T H W C"], kernel: Float[Array, "k C F"], form: str = "conv2d"
) -> Float[Array, "B T H W F"]:
  """y_t = Σ_i x_{t+i−⌊k/2⌋} W_i, zeros beyond the clip's ends.

  Args:
    x: `[B, T, H, W, C]`.
    kernel: W, `[k, C, F]`, k odd, in the dtype of `x`.
    form: `conv2d`, a 2-D convolution over (T, H·W), the fastest on a CPU, where its kernel's gradient is that of
      `matmul`; `conv3d`, as it is written; `matmul`, one matrix product and shifts, and the one to batch over kernels
      (`vmap` makes grouped convolutions of the others, which XLA runs many times slower there).

  Returns:
    `[B, T, H, W, F]`.
  """
  batch, frames, height, width, channels = x.shape
  taps, features = kernel.shape[0], kernel.shape[2]
  half = taps // 2
  if taps == 1:
    return matmul(x, kernel[0])
  if form == "conv2d":
    y = _by_conv2d(x.reshape(batch, frames, height * width, channels), kernel)
    return y.reshape(batch, frames, height, width, features)
  if form == "conv3d":
    return jax.lax.conv_general_dilated(
      x,
      kernel[:, None, None],
      window_strides=(1, 1, 1),
      padding=((half, half), (0, 0), (0, 0)),
      dimension_numbers=("NDHWC", "DHWIO", "NDHWC"),
    )
  if form == "matmul":
    y = _by_matmul(x.reshape(batch, frames, height * width, channels), kernel)
    return y.reshape(batch, frames, height, width, features)
  raise UserError(f"temporal convolution: form is '{form}', it must be one of {', '.join(FORMS)}.")


def _plain(x: jax.Array, kernel: jax.Array) -> jax.Array:
  half = kernel.shape[0] // 2
  padding = ((half, half), (0, 0))
  return jax.lax.conv_general_dilated(x, kernel[:, None], (1, 1), padding, dimension_numbers=("NHWC", "HWIO", "NHWC"))


@jax.custom_vjp
def _by_conv2d(x: jax.Array, kernel: jax.Array) -> jax.Array:
  """`[B, T, HW, C]` to `[B, T, HW, F]`; the kernel's gradient is a matrix product on a CPU, several times as fast."""
  return _plain(x, kernel)


def _conv2d_rule(x, kernel):
  return _plain(x, kernel), (x, kernel)


def _conv2d_gradient(kept, g):
  x, kernel = kept
  _, of_input = jax.vjp(lambda x: _plain(x, kernel), x)

  def of_kernel(convolve):
    return lambda x, g: jax.vjp(lambda kernel: convolve(x, kernel), kernel)[1](g)[0]

  dkernel = jax.lax.platform_dependent(x, g, cpu=of_kernel(_by_matmul), default=of_kernel(_plain))
  return of_input(g)[0], dkernel


_by_conv2d.defvjp(_conv2d_rule, _conv2d_gradient)


def _by_matmul(x: jax.Array, kernel: jax.Array) -> jax.Array:
  """As `_by_conv2d`: one matrix product for all taps, gathered before it or after, where there are fewer channels."""
  taps, channels, features = kernel.shape
  if channels <= features:
    return matmul(jnp.concatenate(_shifted(x, taps), axis=-1), kernel.reshape(taps * channels, features))
  y = matmul(x, kernel.transpose(1, 0, 2).reshape(channels, taps * features))
  parts = (tap[..., i * features : (i + 1) * features] for i, tap in enumerate(_shifted(y, taps)))
  return cast(jax.Array, sum(parts))  # of one tap at least


def _shifted(y: jax.Array, taps: int) -> list[jax.Array]:
  """What each tap sees of `[B, T, ...]`: frames t + i − ⌊k/2⌋, zeros beyond the ends."""
  frames, half = y.shape[1], taps // 2
  y = jnp.pad(y, ((0, 0), (half, half), (0, 0), (0, 0)))
  return [jax.lax.slice_in_dim(y, i, i + frames, axis=1) for i in range(taps)]


class TemporalConv(nn.Module):
  """`temporal_conv` with a learned kernel, no bias.

  Attributes:
    features: F.
    kernel: k, odd.
    form: see `temporal_conv`; the parameter's shape `[k, C, F]` does not depend on it.
    dtype: compute dtype; the parameter stays float32.
  """

  features: int
  kernel: int
  form: str = "conv2d"
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(self, x: Float[Array, "B T H W C"]) -> Float[Array, "B T H W {self.features}"]:
    """Maps `[B, T, H, W, C]` to `[B, T, H, W, features]`."""
    kernel = self.param("kernel", KAIMING, (self.kernel, x.shape[-1], self.features))
    return temporal_conv(jnp.asarray(x, self.dtype), jnp.asarray(kernel, self.dtype), self.form)
