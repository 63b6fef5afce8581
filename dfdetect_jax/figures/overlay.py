"""Maps of places drawn where they belong: on the crop, and through the track's transforms on the video's frames."""

from typing import Any

import cv2
import numpy as np


def heat(drawn: Any, frames: int, size: int, toward: str = "fake") -> np.ndarray:
  """A map of one clip (or snippet) at the clip's own resolution.

  Args:
    drawn: `[T', h, w]` float, one example of `Explanation.maps`.
    frames: T of the clip; each of the T' maps stands for T / T' frames (the last one for what remains).
    size: height and width of the clip.
    toward: "fake" keeps what is positive, "real" what is negative (with its sign turned), "" everything.

  Returns:
    float32 `[T, size, size]`, bilinear between the map's places, in the map's own unit.
  """
  drawn = np.asarray(drawn, np.float32)
  if toward:
    drawn = np.maximum(drawn if toward == "fake" else -drawn, 0)
  grown = np.stack([cv2.resize(m, (size, size), interpolation=cv2.INTER_LINEAR) for m in drawn])
  stands_for = np.minimum(np.arange(frames) // max(1, frames // len(grown)), len(grown) - 1)
  return grown[stands_for]


def in_video(heat: np.ndarray, transform: np.ndarray, crop_size: int, shape: tuple[int, int]) -> np.ndarray:
  """A crop's heat where it lies in the frame that the crop was cut from.

  Args:
    heat: `[S, S]` float32 of one frame's crop, at any resolution.
    transform: `[2, 3]` of that frame, from the crop's plane to the frame's (`data_pipelines.faces.crop`).
    crop_size: side of the crop's plane in pixels, the track's `size`.
    shape: height and width of the frame.

  Returns:
    `[H, W]` float32, zero beyond the crop.
  """
  linear = np.asarray(transform)[:, :2] * (crop_size / heat.shape[0])
  # The transform's pixels have their centres at halves, OpenCV's at whole numbers.
  offset = linear @ [0.5, 0.5] + np.asarray(transform)[:, 2] - 0.5
  matrix = np.concatenate([linear, offset[:, None]], axis=1)
  return cv2.warpAffine(heat, matrix, shape[::-1], flags=cv2.INTER_LINEAR, borderValue=0.0)


def blend(image: np.ndarray, heat: np.ndarray, full: float | None = None, strength: float = 0.65) -> np.ndarray:
  """A picture with its heat upon it, in a scale that is read in grey and by the colour-blind (inferno).

  Args:
    image: uint8 RGB `[H, W, 3]`.
    heat: `[H, W]`, not negative.
    full: the heat that is drawn at full strength; None: the picture's own greatest.
    strength: share of the colour where the heat is full; without heat the picture stays as it is.

  Returns:
    uint8 RGB `[H, W, 3]`.
  """
  full = float(heat.max()) if full is None else full
  share = np.clip(heat / full, 0, 1) if full > 0 else np.zeros_like(heat)
  colour = cv2.applyColorMap(np.round(255 * share).astype(np.uint8), cv2.COLORMAP_INFERNO)[..., ::-1]
  weight = (strength * np.sqrt(share))[..., None]  # the root: half of the heat is already plain to see
  return np.round(image * (1 - weight) + colour * weight).astype(np.uint8)
