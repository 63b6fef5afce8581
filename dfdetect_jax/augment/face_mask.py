"""Where a face is in a clip, from its landmarks: convex regions of four families, as distances to their edge.

Every family is a polygon whose corners are fixed linear combinations of the landmarks, and the signed distance to a
convex polygon is the largest over directions of (projection - support), so that nothing is drawn and nothing depends
on the frame's size.
"""

from typing import Any, TypeVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float32, Int32, Real

from dfdetect_jax.errors import UserError

# Where eyes, nose tip and mouth's corners lie in an upright face's box (unit square); data_pipelines aligns to it too.
FIVE_POINTS = np.array([[0.31, 0.40], [0.69, 0.40], [0.50, 0.60], [0.35, 0.78], [0.65, 0.78]])
FAMILIES = ("face", "face and forehead", "inner features", "lower half")
# Ellipses in the unit square, (centre x, y, half axes x, y, top above which the polygon is cut off), by family.
_ELLIPSES = (
  (0.50, 0.58, 0.42, 0.48, 0.16),
  (0.50, 0.53, 0.43, 0.54, -1.0),
  (0.50, 0.58, 0.32, 0.32, 0.0),
  (0.50, 0.72, 0.38, 0.34, 0.56),
)
_CORNERS = 24  # of a polygon that stands for an ellipse
_DIRECTIONS = 32
_SPREAD = float(np.sqrt(((FIVE_POINTS - FIVE_POINTS.mean(0)) ** 2).sum(1).mean()))


def _from_five() -> np.ndarray:
  """Corners `[4, K, 5]`: the ellipses, put onto a face by the affine map that fits the five points best."""
  fit = np.linalg.pinv(np.concatenate([FIVE_POINTS, np.ones((5, 1))], axis=1))
  angle = 2 * np.pi * np.arange(_CORNERS) / _CORNERS
  families = []
  for x, y, a, b, top in _ELLIPSES:
    corners = np.stack([x + a * np.cos(angle), np.maximum(y + b * np.sin(angle), top), np.ones(_CORNERS)], axis=1)
    families.append(corners @ fit)
  return np.stack(families).astype(np.float32)


def _from_sixty_eight() -> np.ndarray:
  """Corners `[4, 68, 68]`: all points, brows lifted by 0.6 of their height over the nose's bottom, eyes to mouth, and
  what lies below the nose's bridge. Points that a family lacks are one that it has: the hull is the same."""
  every = np.eye(68)
  lifted = every.copy()
  for brow in range(17, 27):
    lifted[brow] += 0.6 * (every[brow] - every[33])
  inner, lower = every.copy(), every.copy()
  inner[:17] = every[30]
  lower[[0, 1, 15, 16, *range(17, 29), *range(36, 48)]] = every[33]
  return np.stack([every, lifted, inner, lower]).astype(np.float32)


_CORNERS_OF = {5: _from_five(), 68: _from_sixty_eight()}
LANDMARKS = tuple(_CORNERS_OF)
_Points = TypeVar("_Points", Array, np.ndarray)


def five_points(landmarks: Real[_Points, "*batch P 2"]) -> Real[_Points, "*batch 5 2"]:
  """Eyes, nose tip and mouth's corners `[..., 5, 2]` of landmarks `[..., P, 2]`, P = 5 or 68.

  Raises:
    UserError: another number of landmarks.

  >>> sixty_eight = np.stack([np.arange(68.0), np.zeros(68)], axis=1)  # point i at x = i
  >>> five_points(sixty_eight)[:, 0].tolist()  # means of 36-41 and 42-47, then 30, 48, 54
  [38.5, 44.5, 30.0, 48.0, 54.0]
  """
  if landmarks.shape[-2] == 68:
    eyes: list[Any] = [landmarks[..., a : a + 6, :].mean(axis=-2) for a in (36, 42)]
    stack: Any = jnp.stack if isinstance(landmarks, Array) else np.stack
    return stack([*eyes, *(landmarks[..., i, :] for i in (30, 48, 54))], axis=-2)
  if landmarks.shape[-2] != 5:
    raise UserError(f"a face is known by 5 or 68 landmarks, not by {landmarks.shape[-2]}.")
  return landmarks


def outline(landmarks: Float32[Array, "T P 2"], family: Int32[Array, ""]) -> Float32[Array, "T K 2"]:
  """Corners of a region `[T, K, 2]`, in any order.

  Args:
    landmarks: `[T, P, 2]`, P = 5 or 68.
    family: index into `FAMILIES`, int32 scalar.
  """
  return jnp.einsum("kp,tpc->tkc", jnp.asarray(_CORNERS_OF[landmarks.shape[-2]])[family], landmarks)


def face_size(landmarks: Float32[Array, "*batch P 2"]) -> Float32[Array, ""]:
  """Side of the face's box, mean over the frames, in the landmarks' units; float32 scalar.

  >>> points = jnp.asarray(FIVE_POINTS, jnp.float32)[None]  # of a face that fills the unit square
  >>> round(float(face_size(points)), 4), round(float(face_size(0.5 * points)), 4)
  (1.0, 0.5)
  """
  points = five_points(landmarks)
  return jnp.mean(jnp.sqrt(jnp.mean(jnp.sum((points - jnp.mean(points, -2, keepdims=True)) ** 2, -1), -1))) / _SPREAD


def signed_distance(corners: Float32[Array, "T K 2"], points: Float32[Array, "T H W 2"]) -> Float32[Array, "T H W"]:
  """Distance to the edge of the convex hull of some corners: negative inside, positive outside.

      d(x) = max_θ (x·n_θ - max_k c_k·n_θ)

  An edge that lies between two directions bulges by at most 5 % of its length; the hull is never too small.

  Args:
    corners: `[T, K, 2]`.
    points: `[T, H, W, 2]`.

  Returns:
    float32 `[T, H, W]`.

  >>> square = jnp.array([[[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]])
  >>> centre_edge_outside = jnp.array([[[[0.5, 0.5], [1.0, 0.5], [3.0, 0.5]]]])
  >>> [round(x, 4) for x in signed_distance(square, centre_edge_outside).ravel().tolist()]
  [-0.5, 0.0, 2.0]
  """
  angle = 2 * np.pi * np.arange(_DIRECTIONS) / _DIRECTIONS
  cos, sin = (jnp.asarray(f(angle), jnp.float32) for f in (np.cos, np.sin))
  support = jnp.max(corners[..., :1] * cos[None, None] + corners[..., 1:] * sin[None, None], axis=1)[:, None, None]
  projection = points[..., :1] * cos[None, None, None] + points[..., 1:] * sin[None, None, None]
  return jnp.max(projection - support, axis=-1)
