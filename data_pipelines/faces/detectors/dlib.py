"""dlib's frontal face detector (HOG, King 2015): boxes without landmarks, upright faces from 80 pixels up.

It is the detector of DIP's and DIL's FaceForensics++ crops; tilted heads escape it, so `mtcnn` is the default.
"""

import importlib.metadata

import numpy as np

from data_pipelines.faces.detectors.detector import Face
from dfdetect_jax.errors import UserError

UPSAMPLINGS = 1  # each one doubles the image and halves the smallest face (80 pixels without)


class Dlib:
  """HOG windows over an image pyramid; see `Detector`."""

  def __init__(self, upsamplings: int = UPSAMPLINGS):
    import dlib

    self.version = f"dlib {importlib.metadata.version('dlib-bin')} frontal HOG, {upsamplings} upsampling(s)"
    self._upsamplings = upsamplings
    self._find = dlib.get_frontal_face_detector()

  def detect(self, images: np.ndarray) -> list[list[Face]]:
    """See `Detector.detect`."""
    return [self._faces(image) for image in images]

  def _faces(self, image: np.ndarray) -> list[Face]:
    rectangles, scores, _ = self._find.run(np.ascontiguousarray(image), self._upsamplings, 0.0)
    faces = []
    for r, score in zip(rectangles, scores):
      box = np.array([r.left(), r.top(), r.right() + 1, r.bottom() + 1], np.float64)
      faces.append(Face(box, float(1 / (1 + np.exp(-score)))))  # HOG's margin, squeezed into [0, 1]
    return sorted(faces, key=lambda face: -face.score)


def create(model: str = "") -> Dlib:
  """The detector; `model` is the number of upsamplings as text, "" for one.

  Raises:
    UserError: `model` is not a small number.
  """
  if model not in ("", "0", "1", "2"):
    raise UserError(f"--detector-model={model}: the detector 'dlib' takes the number of upsamplings there, 0, 1 or 2.")
  return Dlib(int(model or UPSAMPLINGS))
