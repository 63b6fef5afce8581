"""2-D convolution over images, with forms of it and of its gradient that XLA runs fast on a CPU.

What is written out here is what a profile of the training step showed: there XLA takes up to nine times as long for the
input gradient of a strided convolution (it convolves with a gradient that is mostly zeros) and for 3×3 kernels on maps
of 2×2 (it exchanges map and kernel). Its forward pass on larger maps and its weight gradients are the fastest that we
know.
"""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from dfdetect_jax.layers.initializers import KAIMING
from dfdetect_jax.layers.matmul import matmul

_LAYOUT = ("NHWC", "HWIO", "NHWC")


class Conv(nn.Module):
  """A k×k convolution, padded by k // 2 on every side (`SAME` would pad a strided one unevenly).

  Attributes:
    features: channels of the output.
    kernel: k, odd.
    stride: of both axes.
    dtype: compute dtype; the parameters, `kernel` `[k, k, C, features]` and perhaps `bias`, stay float32.
    use_bias: whether there is one.
    kernel_init: initialiser of the kernel.
  """

  features: int
  kernel: int
  stride: int = 1
  dtype: DTypeLike = jnp.float32
  use_bias: bool = False
  kernel_init: nn.initializers.Initializer = KAIMING

  @nn.compact
  def __call__(self, x: Float[Array, "*batch H W C"]) -> Float[Array, "*batch h w {self.features}"]:
    """Maps `[..., H, W, C]` to `[..., ⌈H/stride⌉, ⌈W/stride⌉, features]`."""
    kernel = self.param("kernel", self.kernel_init, (self.kernel, self.kernel, x.shape[-1], self.features))
    y = convolve(jnp.asarray(x, self.dtype), jnp.asarray(kernel, self.dtype), self.stride)
    if not self.use_bias:
      return y
    bias = self.param("bias", nn.initializers.zeros, (self.features,)).astype(self.dtype)
    return y + bias.reshape(*(1,) * (y.ndim - 1), -1)


def convolve(
  x: Float[Array, "*batch H W C"], kernel: Float[Array, "k k C F"], stride: int = 1
) -> Float[Array, "*batch -(-H//{stride}) -(-W//{stride}) F"]:
  """y_ij = Σ_ab x_{s·i+a−⌊k/2⌋, s·j+b−⌊k/2⌋} W_ab, zeros beyond the edges.

  Args:
    x: `[..., H, W, C]`.
    kernel: W, `[k, k, C, F]`, k odd, in the dtype of `x`.
    stride: s.

  Returns:
    `[..., ⌈H/s⌉, ⌈W/s⌉, F]`.
  """
  taps, _, channels, features = kernel.shape
  images = x.reshape(-1, *x.shape[-3:])
  if taps == 1:
    y = matmul(images[:, ::stride, ::stride], kernel[0, 0])
  elif images.shape[1] * images.shape[2] < taps * taps:
    patches = _patches(images, taps, stride)
    y = matmul(patches, kernel.reshape(taps * taps * channels, features))
  elif stride == 1:
    y = _plain(images, kernel, stride)
  else:
    y = _strided(images, kernel, stride)
  return y.reshape(*x.shape[:-3], *y.shape[1:])


def _plain(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
  half = kernel.shape[0] // 2
  padding = ((half, half), (half, half))
  return jax.lax.conv_general_dilated(x, kernel, (stride, stride), padding, dimension_numbers=_LAYOUT)


def _patches(x: jax.Array, taps: int, stride: int) -> jax.Array:
  """What each place of the output sees, side by side: `[N, H, W, C]` to `[N, ⌈H/s⌉, ⌈W/s⌉, k·k·C]`."""
  half = taps // 2
  height, width = x.shape[1:3]
  x = jnp.pad(x, ((0, 0), (half, half), (half, half), (0, 0)))
  seen = [x[:, i : i + height : stride, j : j + width : stride] for i in range(taps) for j in range(taps)]
  return jnp.concatenate(seen, axis=-1)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _strided(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
  """`_plain`, whose input gradient has a form of its own on a CPU."""
  return _plain(x, kernel, stride)


def _strided_rule(x, kernel, stride):
  return _plain(x, kernel, stride), (x, kernel)


def _strided_gradient(stride, kept, g):
  x, kernel = kept
  _, of_kernel = jax.vjp(lambda kernel: _plain(x, kernel, stride), kernel)

  def dilated(g, kernel):
    _, of_input = jax.vjp(lambda x: _plain(x, kernel, stride), x)
    return of_input(g)[0]

  by_phases = functools.partial(_input_gradient, stride=stride, height=x.shape[1], width=x.shape[2])
  return jax.lax.platform_dependent(g, kernel, cpu=by_phases, default=dilated), of_kernel(g)[0]


_strided.defvjp(_strided_rule, _strided_gradient)


def _input_gradient(g: jax.Array, kernel: jax.Array, stride: int, height: int, width: int) -> jax.Array:
  """∂x of a strided convolution as one of stride 1 with s·s times as many channels, one set for each phase of x.

  Along an axis, x_{s·m+p} meets y_{m+d} by the kernel's tap p + ⌊k/2⌋ − s·d, if there is one. All phases p of all m are
  therefore a convolution of g, over d, with the taps sorted so.
  """
  taps, _, channels, features = kernel.shape
  half = taps // 2
  first, last = -((taps - 1 - half) // stride), (stride - 1 + half) // stride  # least and largest d
  tap = np.arange(stride)[:, None] + half - stride * np.arange(first, last + 1)  # [p, d]
  tap = np.where((tap >= 0) & (tap < taps), tap, taps)  # the row of zeros below
  sorted_taps = jnp.pad(kernel, ((0, 1), (0, 1), (0, 0), (0, 0)))[tap][:, :, tap]  # [p, d, q, e, C, F]
  count = last - first + 1
  sorted_taps = sorted_taps.transpose(1, 3, 5, 0, 2, 4).reshape(count, count, features, stride * stride * channels)
  rows, columns = g.shape[1:3]
  dx = jax.lax.conv_general_dilated(
    g, sorted_taps, (1, 1), ((-first, last), (-first, last)), dimension_numbers=_LAYOUT
  )  # fmt: skip
  dx = dx.reshape(-1, rows, columns, stride, stride, channels).transpose(0, 1, 3, 2, 4, 5)
  return dx.reshape(-1, rows * stride, columns * stride, channels)[:, :height, :width]
