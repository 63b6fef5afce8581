"""All distortions of one face: `python -m data_pipelines.distortion_sheet VIDEO --output=PICTURE`."""

import argparse
import functools
import pathlib
from collections.abc import Sequence

import cv2
import numpy as np

from data_pipelines.faces import face_tracks
from data_pipelines.faces.detectors import detector as detectors
from data_pipelines.video.distortions import DISTORTIONS, LEVELS, distort
from dfdetect_jax.errors import UserError, exit_on_user_error

CAPTION, LABEL = 18, 128  # pixels; height of a cell's caption, width of the rows' names
INK = (40, 40, 40)


def draw_sheet(track: face_tracks.FaceTrack, frame: int) -> np.ndarray:
  """All cells of one frame: a row per distortion (frame dropping cannot be seen), clean and levels 1-5 side by side.

  Args:
    track: the face.
    frame: number of the frame within the track.

  Returns:
    `[rows, columns, 3]` uint8 RGB.
  """

  def cell(name: str = "", level: int = 0) -> np.ndarray:
    change = functools.partial(distort, name=name, level=level, video="sheet", rate=track.fps) if name else iter
    return list(track.crops(change))[frame]

  clean = cell()
  rows = []
  for name, parameters in DISTORTIONS.items():
    if name != "frame_dropping":
      captions = ["clean", *(f"{level}: {p}" for level, p in zip(LEVELS, parameters, strict=True))]
      cells = [clean, *(cell(name, level) for level in LEVELS)]
      picture = np.concatenate([_captioned(c, text) for c, text in zip(cells, captions, strict=True)], axis=1)
      title = np.full((picture.shape[0], LABEL, 3), 255, np.uint8)
      rows.append(np.concatenate([_written(title, name, (6, picture.shape[0] // 2)), picture], axis=1))
  return np.concatenate(rows)


def _captioned(crop: np.ndarray, text: str) -> np.ndarray:
  strip = np.full((CAPTION, crop.shape[1], 3), 255, np.uint8)
  framed = np.concatenate([_written(strip, text, (2, CAPTION - 5)), crop])
  return np.pad(framed, ((0, 4), (0, 4), (0, 0)), constant_values=255)


def _written(image: np.ndarray, text: str, corner: tuple[int, int]) -> np.ndarray:
  return cv2.putText(image, text, corner, cv2.FONT_HERSHEY_SIMPLEX, 0.42, INK, 1, cv2.LINE_AA)


def main(argv: Sequence[str] | None = None) -> None:
  """Parses the command line and writes the picture."""
  p = argparse.ArgumentParser(prog="python -m data_pipelines.distortion_sheet", description=__doc__)
  p.add_argument("video", type=pathlib.Path, help="a video with a face")
  p.add_argument("--output", type=pathlib.Path, required=True, metavar="PICTURE", help="a .png or .jpg file")
  p.add_argument("--size", type=int, default=144, metavar="PIXELS", help="height and width of a cell (default: 144)")
  args = p.parse_args(argv)
  options = face_tracks.FaceOptions(size=args.size, min_frames=1)
  track = face_tracks.face_tracks(args.video, options, detectors.create("mtcnn", ""))[0]
  sheet = draw_sheet(track, track.frames // 2)
  if args.output.suffix.lower() not in (".png", ".jpg") or not cv2.imwrite(str(args.output), sheet[..., ::-1]):
    raise UserError(f"--output={args.output} cannot be written: give a .png or .jpg file in a folder that exists.")


if __name__ == "__main__":
  with exit_on_user_error("data_pipelines.distortion_sheet"):
    main()
