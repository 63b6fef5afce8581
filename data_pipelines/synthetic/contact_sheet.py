"""A picture of the dataset: some people, each with the real video and its forgeries over consecutive frames."""

import pathlib

import av
import cv2
import numpy as np

from data_pipelines.synthetic.dataset import Settings, draw_pairs, video_path
from data_pipelines.synthetic.forgeries import MANIPULATIONS
from data_pipelines.video.encoding import Encoding
from dfdetect_jax.errors import UserError, unwritable
from dfdetect_jax.folders import write_whole

LABEL = 16  # pixels of a row's caption


def read_frames(path: pathlib.Path, first: int, count: int) -> np.ndarray:
  """`count` frames from number `first` on, uint8 RGB `[count, H, W, 3]` (fewer at the video's end)."""
  frames = []
  with av.open(str(path)) as container:
    for index, frame in enumerate(container.decode(video=0)):
      if index >= first + count:
        break
      if index >= first:
        frames.append(frame.to_ndarray(format="rgb24"))
  return np.stack(frames)


def draw_contact_sheet(root: str | pathlib.Path, path: str | pathlib.Path, settings: Settings, people: int = 2) -> None:
  """Writes a PNG: for each of `people`, a row of consecutive frames per kind of video that there is.

  Raises:
    UserError: there are no videos, or the picture cannot be written.
  """
  root, path = pathlib.Path(root), pathlib.Path(path)
  columns, rows = min(7, settings.frames), []
  for target, source in draw_pairs(settings)["train"][:people]:
    for kind in ("real", *MANIPULATIONS):
      for compression in ("c23", "c40"):
        video = root / video_path(kind, compression, target, source)
        if video.is_file():
          frames = read_frames(video, (settings.frames - columns) // 2, columns)
          aside = (frames.shape[2] - frames.shape[1]) // 2  # the middle square: the face
          row = np.hstack(list(frames[:, :, aside : aside + frames.shape[1]]))
          row = cv2.resize(row, None, fx=0.75, fy=0.75, interpolation=cv2.INTER_AREA)
          caption = np.full((LABEL, row.shape[1], 3), 255, np.uint8)
          text = f"{target}  real" if kind == "real" else f"{target}_{source}  {kind}"
          cv2.putText(
            caption, f"{text}  {compression}", (4, 12), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (0, 0, 0), 1, cv2.LINE_AA
          )
          rows.extend([caption, row])
          break
  if not rows:
    raise UserError(f"{root} has no videos to show.")
  try:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, Encoding("png").encode(np.vstack(rows)))
  except OSError as error:
    raise unwritable(f"--contact-sheet={path}", error) from error
