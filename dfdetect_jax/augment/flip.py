"""Horizontal flip."""

from jaxtyping import Array, Key, Real


def mirror(
  key: Key[Array, ""], clips: Real[Array, "*batch W C"], unused: tuple[float, float] = (0.0, 0.0)
) -> Real[Array, "*batch W C"]:
  """Every clip `[..., W, C]` left to right. It draws nothing: the pipeline's probability says which ones.

  >>> import jax, jax.numpy as jnp
  >>> mirror(jax.random.key(0), jnp.array([[1.0], [2.0], [3.0]])).ravel().tolist()
  [3.0, 2.0, 1.0]
  """
  del key, unused
  return clips[..., ::-1, :]
