"""Random horizontal flip, the same for all frames of a clip."""

import jax
import jax.numpy as jnp


def random_flip(key: jax.Array, clips: jax.Array, probability: float = 0.5) -> jax.Array:
  """Mirrors each clip left to right with the given probability.

  Args:
    key: random key.
    clips: `[B, ..., H, W, C]`, any dtype; all frames (and snippets) of one b are flipped together.
    probability: of a flip.

  Returns:
    Clips of the same shape and dtype.
  """
  flip = jax.random.bernoulli(key, probability, (clips.shape[0],) + (1,) * (clips.ndim - 1))
  return jnp.where(flip, clips[..., ::-1, :], clips)
