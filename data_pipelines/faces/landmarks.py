"""dlib's 68 landmarks of a track, by a predictor file that the user has (Kazemi and Sullivan, CVPR 2014).

The file (`shape_predictor_68_face_landmarks.dat`) was trained on iBUG 300-W, whose licence excludes commercial use, so
that it is no dependency of ours.
"""

import functools
from collections.abc import Callable, Iterable

import numpy as np

from data_pipelines.faces import crop
from dfdetect_jax.errors import UserError

POINTS = 68
# (RGB `[S, S, 3]` uint8, x1, y1, x2, y2 of the face in its pixels) -> the points' x, y in its pixels `[68, 2]`
Predict = Callable[[np.ndarray, np.ndarray], np.ndarray]


@functools.cache
def dlib68(model: str) -> Predict:
  """The predictor of a file.

  Raises:
    UserError: it is not one of dlib's, or predicts another number of points.
  """
  import dlib

  try:
    shape = dlib.shape_predictor(model)
  except RuntimeError as error:
    raise UserError(f"--landmarks-model={model} cannot be read as a shape predictor of dlib: {error}") from error

  def predict(image: np.ndarray, box: np.ndarray) -> np.ndarray:
    left, top, right, bottom = (round(float(side)) for side in box)
    found = shape(np.ascontiguousarray(image), dlib.rectangle(left, top, right - 1, bottom - 1))
    return np.array([[point.x + 0.5, point.y + 0.5] for point in found.parts()])

  if len(predict(np.zeros((64, 64, 3), np.uint8), np.array([16.0, 16, 48, 48]))) != POINTS:
    raise UserError(
      f"--landmarks-model={model} does not predict {POINTS} points, as dlib's shape_predictor_68_face_landmarks does."
    )
  return predict


def of_crops(
  predict: Predict, crops: Iterable[np.ndarray], boxes: np.ndarray, transforms: np.ndarray, size: int
) -> np.ndarray:
  """The landmarks of a track, found in its crops and smoothed over time as the crops' path is.

  Args:
    predict: see `dlib68`.
    crops: n pictures `[S, S, 3]` uint8 RGB.
    boxes: `[n, 4]` x1, y1, x2, y2 of the face in the video's pixels.
    transforms: `[n, 2, 3]` of the crops.
    size: S.

  Returns:
    float32 `[n, 68, 2]` x, y in units of the crop's side.
  """
  corners = boxes.reshape(-1, 2, 2) - transforms[:, None, :, 2]
  inside = (corners @ np.linalg.inv(transforms[:, :, :2]).transpose(0, 2, 1)).reshape(-1, 4)
  points = np.stack([predict(image, box) for image, box in zip(crops, inside, strict=True)])
  seen = points @ transforms[:, :, :2].transpose(0, 2, 1) + transforms[:, None, :, 2]
  return crop.landmarks_in_crop(seen, transforms, size)
