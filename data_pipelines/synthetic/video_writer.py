"""H.264 files that are whole or absent, with the same bytes at every run."""

import os
import pathlib
from fractions import Fraction

import av
import numpy as np

from data_pipelines.synthetic.noise import FPS
from data_pipelines.video.x264 import SAME_BYTES

# Constant rate factors under FaceForensics++'s names; masks are drawings and are kept well.
CRF = {"c23": 23, "c40": 40}
MASK_CRF = 12


class VideoWriter:
  """Writes uint8 RGB frames to an mp4; the file appears under its name when it is complete and on the disk.

  Until then it is called after this process: one that outlives its parent does not write into its successor's file.
  """

  def __init__(self, path: pathlib.Path, crf: int, height: int, width: int):
    self.path = path
    path.parent.mkdir(parents=True, exist_ok=True)
    self._partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    self._container = av.open(str(self._partial), "w", format="mp4", options={"fflags": "+bitexact"})
    options = {"crf": str(crf), "preset": "veryfast", **SAME_BYTES}
    stream = self._container.add_stream("libx264", rate=Fraction(FPS), options=options)
    stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
    self._stream = stream

  def write(self, image: np.ndarray) -> None:
    """Appends one frame, uint8 RGB `[H, W, 3]`, or `[H, W]` bool for a mask (white where True)."""
    if image.dtype == bool:
      frame = av.VideoFrame.from_ndarray(image.astype(np.uint8) * 255, format="gray")
    else:
      frame = av.VideoFrame.from_ndarray(image, format="rgb24")
    self._container.mux(self._stream.encode(frame))

  def finish(self) -> None:
    """Flushes the encoder and gives the file its name."""
    self._container.mux(self._stream.encode(None))
    self._container.close()
    with open(self._partial, "rb") as file:
      os.fsync(file.fileno())  # a name without its bytes would be kept for ever
    self._partial.replace(self.path)

  def abandon(self) -> None:
    """Closes and removes what was written."""
    self._container.close()
    self._partial.unlink(missing_ok=True)
