"""What becomes of an array whose shape is not the one that is needed."""

from collections.abc import Callable

import jax
import numpy as np

Shape = tuple[int, ...]


def stem(kernel: np.ndarray, shape: Shape) -> np.ndarray | None:
  """A first convolution for another number of input channels: `[O, I, ...]` to `[O, C, ...]`.

      W′_c = (I / C) · mean_i W_i

  Each channel gets the mean over the input channels, scaled so that C equal channels give the response that I gave.
  Returns None where something else than the channels differs.
  """
  if kernel.ndim != len(shape) or kernel.shape[0] != shape[0] or kernel.shape[2:] != shape[2:]:
    return None
  mean = kernel.mean(axis=1, keepdims=True) * (kernel.shape[1] / shape[1])
  return np.broadcast_to(mean, shape)


def inflate(kernel: np.ndarray, shape: Shape) -> np.ndarray | None:
  """A 2-D convolution as a 3-D one: `[O, I, kh, kw]` to `[O, I, kt, kh, kw]`, repeated over time and divided by kt.

  A clip whose frames are all alike gives the response that the frame gave. Returns None where something else differs.

  Reference: Carreira and Zisserman, CVPR 2017, §2.4.
  """
  if (*kernel.shape[:2], shape[2], *kernel.shape[2:]) != shape:
    return None
  return np.broadcast_to(kernel[:, :, None] / shape[2], shape)


def position(embedding: np.ndarray, shape: Shape) -> np.ndarray | None:
  """Learned positions of another grid: `[1, 1 + g², E]` to `[1, 1 + L², E]`, the CLS token's first.

  The grid is resampled bicubically, with anti-aliasing where it gets coarser. Returns None where E differs, or the
  number of positions is no square plus one.
  """
  if embedding.ndim != 3 or embedding.shape[::2] != shape[::2]:
    return None
  old, new = (round((count - 1) ** 0.5) for count in (embedding.shape[1], shape[1]))
  if (embedding.shape[1], shape[1]) != (old**2 + 1, new**2 + 1):
    return None
  grid = embedding[0, 1:].reshape(old, old, -1)
  grid = np.asarray(jax.image.resize(grid, (new, new, grid.shape[-1]), "bicubic"))
  return np.concatenate([embedding[:, :1], grid.reshape(1, new * new, -1)], axis=1)


ADAPTATIONS: dict[str, tuple[Callable[[np.ndarray, Shape], np.ndarray | None], str]] = {
  "stem": (stem, "averaged over the input channels"),
  "inflate": (inflate, "inflated over time"),
  "position": (position, "positions resampled"),
}
