"""Overlap of boxes and greedy non-maximum suppression."""

import numpy as np


def intersections(a: np.ndarray, b: np.ndarray) -> np.ndarray:
  """Areas `[n, m]` shared by boxes `[n, 4]` and `[m, 4]` (x1, y1, x2, y2)."""
  corner = np.maximum(a[:, None, :2], b[None, :, :2])
  sides = np.clip(np.minimum(a[:, None, 2:], b[None, :, 2:]) - corner, 0, None)
  return sides[..., 0] * sides[..., 1]


def areas(boxes: np.ndarray) -> np.ndarray:
  """Areas `[n]` of boxes `[n, 4]`, 0 for one turned inside out."""
  sides = np.clip(boxes[:, 2:] - boxes[:, :2], 0, None)
  return sides[:, 0] * sides[:, 1]


def iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
  """Intersection over union `[n, m]` of boxes `[n, 4]` and `[m, 4]`, 0 where both are empty."""
  shared = intersections(a, b)
  union = areas(a)[:, None] + areas(b)[None, :] - shared
  return shared / np.maximum(union, np.finfo(np.float64).tiny)


def suppress(boxes: np.ndarray, scores: np.ndarray, overlap: float, of_smaller: bool = False) -> np.ndarray:
  """Indices of the boxes that no stronger kept box covers, strongest first.

  Args:
    boxes: `[n, 4]`.
    scores: `[n]`; equal scores keep their order.
    overlap: the share above which a box is dropped.
    of_smaller: measure the share of the smaller box instead of the union.
  """
  if not len(boxes):
    return np.zeros(0, np.int64)
  order = np.argsort(-scores, kind="stable")
  boxes, size = boxes[order], areas(boxes[order])
  shared = intersections(boxes, boxes)
  base = np.minimum(size[:, None], size[None, :]) if of_smaller else size[:, None] + size[None, :] - shared
  covers = shared > overlap * base
  dropped = np.zeros(len(boxes), bool)
  kept = []
  for n in range(len(boxes)):
    if not dropped[n]:
      kept.append(order[n])
      dropped |= covers[n]
  return np.array(kept)
