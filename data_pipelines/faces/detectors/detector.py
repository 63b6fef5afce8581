"""What every face detector gives, and the names that `--detector` accepts."""

import dataclasses
import importlib
from typing import Protocol

import numpy as np

from dfdetect_jax.errors import unknown

# Name -> module with `create(model) -> Detector`; imported only when asked, so that no detector costs the others.
NAMES = ("mtcnn", "dlib", "yunet", "precomputed")


@dataclasses.dataclass(frozen=True, eq=False)
class Face:
  """One detected face, in pixels of the image it was found in.

  Attributes:
    box: `[4]` float64 x1, y1, x2, y2; edges of the box, may reach beyond the image.
    score: the detector's confidence in [0, 1]; comparable only within one detector.
    landmarks: `[5, 2]` float64 x, y of the eyes, the nose tip and the mouth's corners, the image's left one first;
      None from a detector that gives boxes only.
    sure: whether it counts by itself; a face that is not sure may bridge between sure ones of a track, no more.
  """

  box: np.ndarray
  score: float
  landmarks: np.ndarray | None = None
  sure: bool = True

  def scaled(self, factor: float | np.ndarray) -> "Face":
    """The same face in an image resized by `factor` (one number, or one for x and one for y)."""
    factor = np.broadcast_to(np.asarray(factor, np.float64), (2,))
    landmarks = None if self.landmarks is None else self.landmarks * factor
    return dataclasses.replace(self, box=self.box * np.tile(factor, 2), landmarks=landmarks)

  def moved(self, by: float) -> "Face":
    """The same face in an image whose corner lies so many pixels higher and further left."""
    return dataclasses.replace(
      self, box=self.box + by, landmarks=None if self.landmarks is None else self.landmarks + by
    )


class Detector(Protocol):
  """A face detector.

  Attributes:
    version: what made the boxes, with its version, for the dataset's metadata.
  """

  version: str

  def detect(self, images: np.ndarray) -> list[list[Face]]:
    """Finds the faces of each image.

    What is found in one image does not depend on the images beside it.

    Args:
      images: `[N, H, W, 3]` uint8 RGB.

    Returns:
      N lists of faces, the surest first.
    """
    ...


def create(name: str, model: str = "") -> Detector:
  """Makes the detector called `name`.

  Args:
    name: one of `NAMES`.
    model: path of the model (yunet) or of the boxes (precomputed), "" for the others.

  Raises:
    UserError: unknown name, or the file it needs is missing.
  """
  if name not in NAMES:
    raise unknown("face detector", name, NAMES, "--detector: ")
  return importlib.import_module(f"data_pipelines.faces.detectors.{name}").create(model)
