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
    form: `conv2d`, a 2-D convolution over (T, H·W): the fastest forward on a CPU; `conv3d`, as it is written; `matmul`,
      one matrix product and shifts: faster backwards on a CPU, and the one to batch over kernels (`vmap` makes grouped
      convolutions of the others, which XLA runs many times slower there).

  Returns:
    `[B, T, H, W, F]`.
  """
  batch, frames, height, width, channels = x.shape
  taps, features = kernel.shape[0], kernel.shape[2]
  half = taps // 2
  if taps == 1:
    return matmul(x, kernel[0])
  if form == "conv2d":
    y = jax.lax.conv_general_dilated(
      x.reshape(batch, frames, height * width, channels),
      kernel[:, None],
      window_strides=(1, 1),
      padding=((half, half), (0, 0)),
      dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
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
    return _by_matmul(x, kernel)
  raise UserError(f"temporal convolution: form is '{form}', it must be one of {', '.join(FORMS)}.")


def _by_matmul(x: Array, kernel: Array) -> Array:
  """One matrix product with all taps, gathered where there are fewer channels: before it or after."""
  batch, frames, height, width, channels = x.shape
  taps, _, features = kernel.shape
  half = taps // 2

  def shifted(y: Array) -> list[Array]:
    y = jnp.pad(y, ((0, 0), (half, half), (0, 0), (0, 0)))
    return [jax.lax.slice_in_dim(y, i, i + frames, axis=1) for i in range(taps)]

  x = x.reshape(batch, frames, height * width, channels)
  if channels <= features:
    x = jnp.concatenate(shifted(x), axis=-1).reshape(-1, taps * channels)
    y = matmul(x, kernel.reshape(taps * channels, features))
  else:
    y = matmul(x.reshape(-1, channels), kernel.transpose(1, 0, 2).reshape(channels, taps * features))
    y = y.reshape(batch, frames, height * width, taps * features)
    parts = (jax.lax.slice_in_dim(tap, i * features, (i + 1) * features, axis=-1) for i, tap in enumerate(shifted(y)))
    y = cast(Array, sum(parts))  # of one tap at least
  return y.reshape(batch, frames, height, width, features)


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
