"""Videos that are nothing but a face: no detector finds one that fills its frame, unless something is around it."""

import numpy as np

from data_pipelines.faces.detectors.detector import Detector, Face

BORDER = 0.25  # of the longer side, added on all four sides: the edge's pixels repeated, as beyond a crop
MOST_PROBES = 16  # frames that are kept for a second look
LARGE = 0.5  # of the frame's longer side: a smaller face is one in a scene
MOSTLY = 0.8  # of the frames, in which a face must be found for its boxes to be better than the frame itself


class Probes:
  """A few evenly spaced frames of a video of unknown length."""

  def __init__(self):
    self._every, self._frames = 1, []

  def see(self, index: int, image: np.ndarray) -> None:
    """Keeps the frame if its turn has come."""
    if index % self._every == 0:
      self._frames.append(image)
      if len(self._frames) > MOST_PROBES:
        self._frames, self._every = self._frames[::2], 2 * self._every

  def close_up(self, detector: Detector) -> bool:
    """Whether most of them show a large face once they have a border."""
    if not self._frames:
      return False
    least = LARGE * max(self._frames[0].shape[:2])
    found = detect_with_border(detector, np.stack(self._frames))
    large = sum(any(f.sure and max(f.box[2:] - f.box[:2]) >= least for f in faces) for faces in found)
    return 2 * large >= len(found)


def detect_with_border(detector: Detector, images: np.ndarray) -> list[list[Face]]:
  """Like `Detector.detect`, on images with a border; the faces in pixels of the images without it."""
  border = round(BORDER * max(images.shape[1:3]))
  wide = np.pad(images, ((0, 0), (border, border), (border, border), (0, 0)), "edge")
  return [[face.moved(-border) for face in faces] for faces in detector.detect(wide)]


def whole_frame(width: int, height: int, margin: float) -> Face:
  """The face that a crop of this margin shows the whole frame of, its longer side just fitting in."""
  half = max(width, height) / margin / 2
  centre = np.array([width, height]) / 2
  return Face(np.concatenate([centre - half, centre + half]), 1.0)
