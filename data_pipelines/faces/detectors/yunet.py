"""YuNet through OpenCV's FaceDetectorYN: boxes and five landmarks, with a model file that the user provides."""

import pathlib

import cv2
import numpy as np

from data_pipelines.faces.detectors.detector import Face
from dfdetect_jax.errors import UserError

SCORE, OVERLAP, MOST = 0.7, 0.3, 500  # threshold, suppression, boxes kept before suppression


class Yunet:
  """See `Detector`."""

  def __init__(self, model: str):
    path = pathlib.Path(model)
    try:
      self._net = cv2.FaceDetectorYN.create(str(path), "", (320, 320), SCORE, OVERLAP, MOST)
    except cv2.error as error:
      raise UserError(f"--detector-model={path} is not a YuNet model that OpenCV {cv2.__version__} reads.") from error
    self.version = f"yunet {path.name}, OpenCV {cv2.__version__}"

  def detect(self, images: np.ndarray) -> list[list[Face]]:
    """See `Detector.detect`."""
    self._net.setInputSize((images.shape[2], images.shape[1]))
    results = []
    for image in images:
      rows = self._net.detect(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1]
      rows = np.zeros((0, 15)) if rows is None else rows.astype(np.float64)
      faces = [
        Face(np.concatenate([r[:2], r[:2] + r[2:4]]), float(np.clip(r[14], 0, 1)), r[4:14].reshape(5, 2)) for r in rows
      ]
      results.append(sorted(faces, key=lambda face: -face.score))
    return results


def create(model: str = "") -> Yunet:
  """The detector with the model file at `model`.

  Raises:
    UserError: no such file, or no such model.
  """
  if not model:
    raise UserError(
      "the detector 'yunet' needs its model file: --detector-model=face_detection_yunet_….onnx, from OpenCV's model "
      "zoo; nothing is downloaded."
    )
  if not pathlib.Path(model).is_file():
    raise UserError(f"--detector-model={model}: no such file.")
  return Yunet(model)
