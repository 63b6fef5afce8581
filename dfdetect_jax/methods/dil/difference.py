"""How the first block with Intra-SIM starts: like any other, or as a second difference over a snippet's frames.

At the usual start motion reaches DIL through Intra-SMA's gate alone, which varies by less than a hundredth, and Eq. 4's
kernels, positive and of sum one, average over time. A network that has ImageNet's features learns from there; one that
starts from nothing does not. The equations leave room for a start that sees motion, with nothing added to them:

  conv1   makes each channel of I₂ equal to one of I₁
  K       starts as a mean of the neighbours in time, without the frame itself: its bias says (½, 0, ½), and φ₂ weighs
          the two by the input as it usually would (Eq. 4)
  conv2   takes O₂ away from I₁, divided by 1 + A_H · A_W where nothing moves (Eq. 5, 6)

The block's 3×3 convolution then sees F_t less that mean of F_{t−1} and F_{t+1}. Frames themselves go on through the
block's shortcut, and in part at a snippet's ends, beyond which Eq. 5 has zeros.
"""

import dataclasses
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from dfdetect_jax.layers.resnet import KERNEL_INIT
from dfdetect_jax.methods.dil import neighbours

# The logit of the kernel's own frame below its neighbours', whose share is then 0.3 %: little, and it can still grow.
_BELOW = 5.0


@dataclasses.dataclass(frozen=True)
class Start:
  """Initialisers of a block with Intra-SIM.

  Attributes:
    conv1, conv2: kernels of the convolutions before and after Intra-SIM.
    logits: bias of φ₂, `[3]`, on which the temporal kernels' softmax is taken (Eq. 4).
    taps: the temporal kernels where they do not depend on the input, `[3, C]`.
  """

  conv1: Callable = KERNEL_INIT
  conv2: Callable = KERNEL_INIT
  logits: Callable = nn.initializers.zeros_init()
  taps: Callable = neighbours.identity_taps


def second_difference(coordinate: bool) -> Start:
  """The start as a second difference.

  Args:
    coordinate: whether Intra-SMA multiplies two maps (CA); each of them is σ(0) = ½ where nothing moves.
  """
  still = 1 + 0.5 ** (2 if coordinate else 1)

  def paired(key: jax.Array, shape: tuple[int, ...], dtype: jnp.dtype = jnp.float32) -> jax.Array:
    half = KERNEL_INIT(key, (*shape[:-1], shape[-1] // 2), dtype)
    return jnp.concatenate([half, half], axis=-1)

  def opposed(key: jax.Array, shape: tuple[int, ...], dtype: jnp.dtype = jnp.float32) -> jax.Array:
    half = KERNEL_INIT(key, (*shape[:-2], shape[-2] // 2, shape[-1]), dtype)
    return jnp.concatenate([half, -half / still], axis=-2)

  def logits(key: jax.Array, shape: tuple[int], dtype: jnp.dtype = jnp.float32) -> jax.Array:
    del key
    return jnp.zeros(shape, dtype).at[1].set(-_BELOW)

  def taps(key: jax.Array, shape: tuple[int, int], dtype: jnp.dtype = jnp.float32) -> jax.Array:
    del key
    return jnp.full(shape, 0.5, dtype).at[1].set(0)

  return Start(paired, opposed, logits, taps)
