"""Random crop, resized back, the same window for all frames of a clip."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float32, Key, Real


def random_crop(
  key: Key[Array, ""], clips: Real[Array, "B T H W C"], side: tuple[float, float] = (0.7, 1.0)
) -> Float32[Array, "B T H W C"]:
  """Enlarges a random square window of the clip to the whole frame, bilinearly.

  The window's place and size are continuous; at its edge the interpolation looks at the pixels outside it.

  Args:
    key: random key.
    clips: `[B, T, H, W, C]`, any dtype.
    side: smallest and largest side of the window as a share of the frame's, drawn uniformly per clip; the place is
      uniform too.

  Returns:
    Float32 clips of the same shape.

  >>> clip = jnp.arange(4, dtype=jnp.float32).reshape(1, 1, 2, 2, 1)
  >>> random_crop(jax.random.key(0), clip, (1.0, 1.0)).ravel().tolist()  # the window is the frame
  [0.0, 1.0, 2.0, 3.0]
  """
  _, frames, height, width, channels = clips.shape
  side_key, place_key = jax.random.split(key)
  share = jax.random.uniform(side_key, (clips.shape[0], 1), minval=side[0], maxval=side[1])
  place = jax.random.uniform(place_key, (clips.shape[0], 2)) * (1 - share)

  def enlarge(clip: Array, share: Array, place: Array) -> Array:
    size = jnp.array([height, width], jnp.float32)
    return jax.image.scale_and_translate(
      clip,
      (frames, height, width, channels),
      spatial_dims=(1, 2),
      scale=jnp.broadcast_to(1 / share, (2,)),
      translation=-place * size / share,
      method="linear",
      antialias=False,
    )

  return jax.vmap(enlarge)(clips.astype(jnp.float32), share, place)
