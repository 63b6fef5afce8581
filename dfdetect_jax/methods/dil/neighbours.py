"""What both modules of DIL do with neighbours along an axis: frames of a snippet, snippets of a video."""

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Key, Num


def differences(
  x: Num[Array, "*shape"], convolved: Num[Array, "*shape"], axis: int
) -> tuple[Num[Array, "*shape"], Num[Array, "*shape"]]:
  """Differences to the next and to the previous neighbour.

      D_{i,i+1} = F_i − Conv(F)_{i+1}        D_{i+1,i} = F_{i+1} − Conv(F)_i

  D_{i,i+1} stands at position i and D_{i+1,i} at position i + 1; the position that has no such neighbour holds zeros.

  Args:
    x: F, of any shape.
    convolved: Conv(F), same shape.
    axis: the axis that i counts.

  Returns:
    Forward and backward differences, each of the shape of `x`.

  Reference: Gu et al., AAAI 2022, Eq. 1 (frames) and Eq. 8, 9 (snippets).
  """
  count = x.shape[axis]

  def all_but_last(a):
    return jax.lax.slice_in_dim(a, 0, count - 1, axis=axis)

  def all_but_first(a):
    return jax.lax.slice_in_dim(a, 1, count, axis=axis)

  edge = jnp.zeros_like(jax.lax.slice_in_dim(x, 0, 1, axis=axis))
  forward = jnp.concatenate([all_but_last(x) - all_but_first(convolved), edge], axis)
  backward = jnp.concatenate([edge, all_but_first(x) - all_but_last(convolved)], axis)
  return forward, backward


def three_taps(
  x: Num[Array, "*shape"],
  previous: Num[Array, "*#shape"],
  own: Num[Array, "*#shape"],
  following: Num[Array, "*#shape"],
  axis: int,
) -> Num[Array, "*shape"]:
  """Depth-wise convolution with three taps as three shifted multiply-adds, zeros beyond both ends.

      y_i = previous · x_{i−1} + own · x_i + following · x_{i+1}

  Args:
    x: of any shape.
    previous, own, following: the kernel's taps, of the rank of `x` and broadcast against it.
    axis: the axis that i counts.

  Returns:
    y, of the shape of `x`.
  """
  count = x.shape[axis]
  edge = jnp.zeros_like(jax.lax.slice_in_dim(x, 0, 1, axis=axis))
  earlier = jnp.concatenate([edge, jax.lax.slice_in_dim(x, 0, count - 1, axis=axis)], axis)
  later = jnp.concatenate([jax.lax.slice_in_dim(x, 1, count, axis=axis), edge], axis)
  return previous * earlier + own * x + following * later


def identity_taps(rng: Key[Array, ""], shape: tuple[int, int], dtype: DTypeLike = jnp.float32) -> Float[Array, "3 C"]:
  """Initialises depth-wise taps `[3, C]` as the identity."""
  del rng
  return jnp.zeros(shape, dtype).at[1].set(1)
