"""The distortions of the robustness studies, applied to full frames: seven kinds by five levels, and frame dropping.

The seven are those of DeeperForensics-1.0 (Jiang et al., CVPR 2020), as DIP Fig. 6 uses them. A distortion knows
nothing of a video but its frames and its name, so real and fake videos are treated alike; what is random is drawn from
the name, so the same video is distorted in the same way in every run.
"""

import fractions
import hashlib
import io
from collections.abc import Callable, Iterable, Iterator

import av
import cv2
import numpy as np

from data_pipelines.video.x264 import SAME_BYTES
from dfdetect_jax.errors import UserError, unknown

# name -> parameter at levels 1…5
DISTORTIONS = {
  "saturation": (0.4, 0.3, 0.2, 0.1, 0.0),  # factor of the chroma
  "contrast": (0.85, 0.725, 0.6, 0.475, 0.35),  # factor of the pixels
  "block_wise": (16, 32, 48, 64, 80),  # grey blocks per 256 pixels of the shorter side
  "gaussian_noise": (0.001, 0.002, 0.005, 0.01, 0.05),  # variance on the scale [0, 1]
  "blur": (7, 9, 13, 17, 21),  # kernel size in pixels
  "pixelation": (2, 3, 4, 5, 6),  # factor of reduction
  "compression": (30, 32, 35, 38, 40),  # constant rate factor of H.264
  # DIP's FFta. Its paper gives no strength; decision: frames dropped of every 16.
  "frame_dropping": (1, 2, 3, 4, 5),
}
LEVELS = (1, 2, 3, 4, 5)
BLOCK = 8  # pixels; side of a grey block
GREY = 128
DROP_WINDOW = 16  # frames; as many frames are repeated as dropped in each window, so that time does not drift

# ITU-R BT.601 in studio range (Y 16-235, chroma 16-240), the YCbCr of DeeperForensics-1.0, for RGB and YCbCr in [0, 1].
_TO_YCBCR = np.array([[65.481, 128.553, 24.966], [-37.797, -74.203, 112.0], [112.0, -93.786, -18.214]]) / 255
_FROM_YCBCR = np.linalg.inv(_TO_YCBCR)
_OFFSET = np.array([16.0, 128.0, 128.0]) / 255

Frames = Iterable[np.ndarray]


def folder(name: str, level: int) -> str:
  """Name of the folder that holds a distorted set."""
  return f"{name}-{level}"


def distort(frames: Frames, name: str, level: int, video: str, rate: float = 25.0) -> Iterator[np.ndarray]:
  """Distorts the frames of a video.

  Args:
    frames: `[H, W, 3]` uint8 RGB, all of one size, the whole video from its first frame on.
    name: key of `DISTORTIONS`.
    level: 1-5.
    video: what random numbers are drawn from: the video's id.
    rate: frames per second, for `compression`.

  Yields:
    As many frames of the same size, uint8, in the same order. Some are held back, since compression and frame dropping
    look ahead.

  Raises:
    UserError: there is no such distortion or level.
  """
  if name not in DISTORTIONS:
    raise unknown("distortion", name, DISTORTIONS)
  if level not in LEVELS:
    raise UserError(f"distortion '{name}' has levels 1 to 5, not {level}.")
  parameter = DISTORTIONS[name][level - 1]
  rng = np.random.default_rng(list(hashlib.sha256(f"{name}-{level}/{video}".encode()).digest()))
  if name == "compression":
    return _compressed(frames, int(parameter), rate)
  if name == "frame_dropping":
    return _dropped(frames, int(parameter), rng)
  return _each(frames, _FRAMEWISE[name], parameter, rng)


def distort_by(cell: str, video: str, rate: float, frames: Frames) -> Iterator[np.ndarray]:
  """`distort` by a cell's folder name, or several in order ("blur-3+contrast-1"); "" lets frames pass as they are."""
  for one in cell.split("+") if cell else ():
    name, level = one.rsplit("-", 1)
    frames = distort(frames, name, int(level), video, rate)
  return iter(frames)


def _each(frames: Frames, function: Callable, parameter: float, rng: np.random.Generator) -> Iterator[np.ndarray]:
  for frame in frames:
    yield function(frame, parameter, rng)


def _ycbcr(frame: np.ndarray) -> np.ndarray:
  return (frame / np.float32(255)) @ _TO_YCBCR.T.astype(np.float32) + _OFFSET.astype(np.float32)


def _rgb(ycbcr: np.ndarray) -> np.ndarray:
  return _to_uint8(255 * ((ycbcr - _OFFSET.astype(np.float32)) @ _FROM_YCBCR.T.astype(np.float32)))


def _to_uint8(frame: np.ndarray) -> np.ndarray:
  """Rounds to the nearest level and clips."""
  return np.clip(np.rint(frame), 0, 255).astype(np.uint8)


def saturation(frame: np.ndarray, p: float, rng: np.random.Generator) -> np.ndarray:
  """Chroma planes C ← 0.5 + (C − 0.5)·p; 0.5 is the grey axis, level 128 of 255."""
  del rng
  ycbcr = _ycbcr(frame)
  grey = np.float32(_OFFSET[1])
  ycbcr[..., 1:] = grey + (ycbcr[..., 1:] - grey) * np.float32(p)
  return _rgb(ycbcr)


def contrast(frame: np.ndarray, p: float, rng: np.random.Generator) -> np.ndarray:
  """Pixels × p."""
  del rng
  return _to_uint8(frame * np.float32(p))


def block_wise(frame: np.ndarray, p: int, rng: np.random.Generator) -> np.ndarray:
  """⌊min(H, W)/256⌋·p grey blocks of 8 × 8 pixels at random places, which may overlap; drawn anew for each frame.

  A frame under 256 pixels would get none and the cell would be the clean one; at least one block is placed.
  """
  height, width = frame.shape[:2]
  count = max(1, min(height, width) // 256 * p)
  out = frame.copy()
  for y, x in zip(rng.integers(height - BLOCK + 1, size=count), rng.integers(width - BLOCK + 1, size=count)):
    out[y : y + BLOCK, x : x + BLOCK] = GREY
  return out


def gaussian_noise(frame: np.ndarray, p: float, rng: np.random.Generator) -> np.ndarray:
  """White noise of variance p on all three YCbCr planes in [0, 1]; the frame is clipped."""
  noise = rng.standard_normal(frame.shape, np.float32) * np.float32(np.sqrt(p))
  return _rgb(_ycbcr(frame) + noise)


def blur(frame: np.ndarray, p: int, rng: np.random.Generator) -> np.ndarray:
  """Gaussian kernel of p × p pixels with σ = p/6; the frame is mirrored at its edges."""
  del rng
  return _to_uint8(cv2.GaussianBlur(frame.astype(np.float32), (p, p), p / 6))


def pixelation(frame: np.ndarray, p: int, rng: np.random.Generator) -> np.ndarray:
  """Reduced by p and enlarged again, both bilinear (without averaging, as OpenCV reduces)."""
  del rng
  height, width = frame.shape[:2]
  small = (max(1, width // p), max(1, height // p))
  reduced = cv2.resize(frame.astype(np.float32), small, interpolation=cv2.INTER_LINEAR)
  return _to_uint8(cv2.resize(reduced, (width, height), interpolation=cv2.INTER_LINEAR))


_FRAMEWISE = {f.__name__: f for f in (saturation, contrast, block_wise, gaussian_noise, blur, pixelation)}


def _compressed(frames: Frames, crf: int, rate: float) -> Iterator[np.ndarray]:
  """Encoded by `h264` and decoded again, in memory."""
  size, count, stream = h264(frames, crf, rate)
  if not count:
    return
  done = 0
  with av.open(io.BytesIO(stream), "r") as container:
    container.streams.video[0].thread_count = 1
    for decoded in container.decode(video=0):
      yield decoded.to_ndarray(format="rgb24")[: size[0], : size[1]]
      done += 1
  assert done == count, f"{count} frames were encoded and {done} came back"


def h264(frames: Frames, crf: int, rate: float) -> tuple[tuple[int, int], int, bytes]:
  """Encodes frames by libx264 at a constant rate factor (preset medium, 4:2:0, `SAME_BYTES`).

  Returns:
    Height and width, number of frames, and the MP4 file.
  """
  stream = io.BytesIO()
  size, count = (0, 0), 0
  with av.open(stream, "w", format="mp4") as container:
    for frame in frames:
      if not count:
        size = frame.shape[:2]
        exact = fractions.Fraction(rate or 25).limit_denominator(1001)
        options = {"crf": str(crf), "preset": "medium", **SAME_BYTES}
        encoder = container.add_stream("libx264", rate=exact, options=options)
        # 4:2:0 wants even sides: a last row or column is repeated, and cut off again after decoding.
        encoder.height, encoder.width = size[0] + size[0] % 2, size[1] + size[1] % 2
        encoder.pix_fmt = "yuv420p"
      even = np.pad(frame, ((0, size[0] % 2), (0, size[1] % 2), (0, 0)), "edge")
      container.mux(encoder.encode(av.VideoFrame.from_ndarray(even, "rgb24")))
      count += 1
    if count:
      container.mux(encoder.encode(None))
  return size, count, stream.getvalue()


def _dropped(frames: Frames, p: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
  """Of every 16 frames p at random places are dropped, and p of the others are shown twice."""
  window: list[np.ndarray] = []
  for frame in frames:
    window.append(frame)
    if len(window) == DROP_WINDOW:
      yield from (window[i] for i in shown_frames(DROP_WINDOW, p, rng))
      window = []
  yield from (window[i] for i in shown_frames(len(window), p * len(window) // DROP_WINDOW, rng))


def shown_frames(frames: int, drops: int, rng: np.random.Generator) -> list[int]:
  """Which frame is shown at each time of a window of `frames` frames when `drops` are dropped and as many repeated."""
  order = rng.permutation(frames)
  kept = order[drops:]
  return sorted([*kept.tolist(), *kept[:drops].tolist()])
