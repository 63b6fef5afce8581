"""How faces differ beyond identity: tint, displaced features, sharpness.

A real video draws a `Variation` once and keeps it. A forged frame is painted with one drawn (in part) anew, *from the
same distribution*: any single frame of a forgery could be a frame of a real video, and only the change over time
betrays it.
"""

import dataclasses

import cv2
import numpy as np

GRID = 4  # displacement is drawn at GRID x GRID points over the face and interpolated
TINT, MOUTH_TINT = 7.5, 7.5  # standard deviations: grey levels
SHIFT, BEND = 0.024, 0.012  # half head heights: of the whole face, of each point by itself
_FINE = 24
_U, _V = (-0.62, 0.62), (-0.40, 1.00)


@dataclasses.dataclass(frozen=True)
class Variation:
  """Attributes:
  warp: displacement at the grid points, (u, v), `[GRID, GRID, 2]`.
  tint: added to the face, RGB grey levels, `[3]`; mouth_tint: added around the mouth, `[3]`.
  detail: rows of the face's picture per half head height; fewer are softer.
  """

  warp: np.ndarray
  tint: np.ndarray
  mouth_tint: np.ndarray
  detail: float

  def displacement(self, u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Displacement in u and v of the features at (u, v)."""
    fine = cv2.resize(self.warp.astype(np.float32), (_FINE, _FINE), interpolation=cv2.INTER_CUBIC)
    x = (u - _U[0]) * np.float32((_FINE - 1) / (_U[1] - _U[0]))
    y = (v - _V[0]) * np.float32((_FINE - 1) / (_V[1] - _V[0]))
    moved = cv2.remap(fine, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return moved[..., 0], moved[..., 1]


def draw_variation(rng: np.random.Generator) -> Variation:
  """One draw; every part is Gaussian with mean zero but `detail`, which is uniform."""
  warp = SHIFT * rng.standard_normal((1, 1, 2)) + BEND * rng.standard_normal((GRID, GRID, 2))
  return Variation(warp, _tint(rng, TINT), _tint(rng, MOUTH_TINT), rng.uniform(0.8, 1.6))


def _tint(rng: np.random.Generator, strength: float) -> np.ndarray:
  return (strength * (0.6 * rng.standard_normal() + 0.8 * rng.standard_normal(3))).astype(np.float32)


def redraw(kept: Variation, rng: np.random.Generator, warp: float, tint: float, mouth: float) -> Variation:
  """Draws a share of `kept` anew, leaving its distribution as it is: sqrt(1 - share) old + sqrt(share) new.

  Args:
    kept: what stays the same through the video.
    rng: random numbers of this frame.
    warp, tint, mouth: shares of the variance drawn anew, 0-1.
  """
  new = draw_variation(rng)
  mix = lambda old, fresh, share: np.sqrt(1 - share) * old + np.sqrt(share) * fresh  # noqa: E731
  return Variation(
    mix(kept.warp, new.warp, warp),
    mix(kept.tint, new.tint, tint).astype(np.float32),
    mix(kept.mouth_tint, new.mouth_tint, mouth).astype(np.float32),
    kept.detail,
  )
