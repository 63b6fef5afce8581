"""Temporal augmentation: frames are dropped and repeated, the clip keeps its length."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key, Shaped


def drop_and_repeat(
  key: Key[Array, ""], clips: Shaped[Array, "B T H W C"], rate: float | tuple[float, float]
) -> Shaped[Array, "B T H W C"]:
  """Drops and repeats frames at constant length.

  Each frame is dropped or repeated once with probability rate/2 each; what is left is stretched or cut to T frames by
  repeating the last one or ending early. Order is kept: indices never fall.

  Args:
    key: random key; every clip is drawn for itself.
    clips: `[B, T, H, W, C]`, any dtype.
    rate: share of the frames that is touched, in [0, 1]; or the smallest and largest, drawn uniformly per clip.

  Returns:
    The same shape and dtype; every output frame is one of the input's frames.

  >>> clip = jnp.arange(4).reshape(1, 4, 1, 1, 1)
  >>> drop_and_repeat(jax.random.key(0), clip, 0.0).ravel().tolist()
  [0, 1, 2, 3]
  """
  batch, frames = clips.shape[:2]
  share: Array | float
  if isinstance(rate, tuple):
    rate_key, key = jax.random.split(key)
    share = jax.random.uniform(rate_key, (batch, 1), minval=rate[0], maxval=rate[1])
  else:
    share = rate
  draw = jax.random.uniform(key, (batch, frames))
  # The step from output k to output k + 1: 2 skips a frame, 0 shows it again.
  step = jnp.where(draw < share / 2, 2, jnp.where(draw < share, 0, 1))
  index = jnp.concatenate([jnp.zeros((batch, 1), step.dtype), jnp.cumsum(step, axis=1)[:, :-1]], axis=1)
  index = jnp.clip(index, 0, frames - 1)
  return jnp.take_along_axis(clips, index[:, :, None, None, None], axis=1)
