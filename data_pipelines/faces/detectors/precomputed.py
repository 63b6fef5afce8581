"""Boxes and landmarks that somebody found before, from a CSV or JSON file, in pixels of the full frames.

CSV: columns `video,frame,x1,y1,x2,y2` and, if wanted, `score` and `lx1,ly1 … lx5,ly5`; one line per face.
JSON: `{video: {frame: [[x1, y1, x2, y2, score?, lx1, ly1, … lx5, ly5?], …]}}`; an empty list = looked, nobody there.

`video` is the video's id, its path as the source lists it, or its file name where that is unique. Frames that are not
named were not looked at: boxes on key frames are enough, as long as they are at most `track.MAX_GAP` frames apart.
"""

import csv
import json
import pathlib

import numpy as np

from data_pipelines.faces.detectors.detector import Face
from dfdetect_jax.errors import UserError

BOX = ("x1", "y1", "x2", "y2")
LANDMARKS = tuple(f"l{axis}{n}" for n in range(1, 6) for axis in "xy")


class Precomputed:
  """Faces by video and frame; looked up with `faces_of` instead of `Detector.detect`.

  Attributes:
    version: name of the file.
  """

  def __init__(self, path: pathlib.Path):
    self.version = f"precomputed {path.name}"
    read = _read_json if path.suffix.lower() == ".json" else _read_csv
    try:
      self._videos = read(path)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, csv.Error) as error:
      raise UserError(
        f"{path}: not a file of boxes as data_pipelines/detectors/precomputed.py tells: {error}"
      ) from error

  def faces_of(self, *names: str) -> dict[int, list[Face]] | None:
    """The faces by frame of the first of `names` that the file knows, None if it knows none of them."""
    return next((self._videos[name] for name in names if name in self._videos), None)

  def detect(self, images: np.ndarray) -> list[list[Face]]:
    """Not possible: see `faces_of`."""
    raise TypeError("precomputed faces are looked up by video and frame")


def _face(numbers: list[float]) -> Face:
  values = np.array(numbers, np.float64)
  if len(values) not in (4, 5, 15) or not np.isfinite(values).all():
    raise ValueError(f"a face is 4, 5 or 15 finite numbers, not {numbers}")
  if (values[2:4] <= values[:2]).any():
    raise ValueError(f"a box needs x1 < x2 and y1 < y2: {numbers[:4]}")
  return Face(
    values[:4], float(values[4]) if len(values) > 4 else 1.0, values[5:].reshape(5, 2) if values[5:].size else None
  )


def _read_json(path: pathlib.Path) -> dict[str, dict[int, list[Face]]]:
  content = json.loads(path.read_text(encoding="utf-8"))
  return {
    video: {int(frame): [_face(face) for face in faces] for frame, faces in frames.items()}
    for video, frames in content.items()
  }


def _read_csv(path: pathlib.Path) -> dict[str, dict[int, list[Face]]]:
  videos: dict[str, dict[int, list[Face]]] = {}
  with path.open(newline="", encoding="utf-8") as file:
    reader = csv.DictReader(file)
    columns = reader.fieldnames or []
    missing = [name for name in ("video", "frame", *BOX) if name not in columns]
    if missing:
      raise ValueError(f"column {', '.join(missing)} is missing (it has: {', '.join(columns)})")
    for line in reader:
      numbers = [float(line[name]) for name in BOX] + [float(line.get("score") or 1.0)]
      if all(line.get(name) for name in LANDMARKS):
        numbers += [float(line[name]) for name in LANDMARKS]
      videos.setdefault(line["video"], {}).setdefault(int(line["frame"]), []).append(_face(numbers))
  return videos


def create(model: str = "") -> Precomputed:
  """The faces in the file `model`.

  Raises:
    UserError: no file given, no such file, or one that is laid out otherwise.
  """
  if not model:
    raise UserError("the detector 'precomputed' needs its boxes: --detections=FILE.csv or FILE.json.")
  path = pathlib.Path(model)
  if not path.is_file():
    raise UserError(f"--detections={path}: no such file.")
  return Precomputed(path)
