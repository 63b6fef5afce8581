"""Square face crops along one smooth path per track: never an independent crop per frame, whose jitter would be taken
for a forgery.

A transform maps the crop's plane to the frame's: source = A·u + b, with u in [0, S]² (S the crop's side in pixels) and
source in pixels of the frame, both with pixel centres at half-integers.
"""

import cv2
import numpy as np

from data_pipelines.faces import track
from data_pipelines.video.decode import BrokenVideo

# Where eyes, nose and mouth's corners lie in an upright face's box (unit square): the layout that `--align` aims at.
TEMPLATE = np.array([[0.31, 0.40], [0.69, 0.40], [0.50, 0.60], [0.35, 0.78], [0.65, 0.78]])
# The same five points where FTCN's weights expect them, and the length of its clips (Zheng et al., ICCV 2021; points of
# Face X-ray's crops, in 256ths of the side): eyes .325 of the side apart at a third of its height.
FTCN_TEMPLATE = np.array([[85.83, 85.78], [169.05, 84.34], [127.57, 137.0], [90.7, 174.7], [167.31, 173.37]]) / 256
FTCN_FRAMES = 32
MOST_SAMPLES = 8  # per output pixel and axis: enough for a 2,000-pixel face at 224


def square_transforms(boxes: np.ndarray, margin: float, size: int) -> np.ndarray:
  """Transforms `[n, 2, 3]` of upright squares of `margin` times the smoothed boxes `[n, 4]`."""
  centres, sides = track.smooth_squares(boxes)
  scale = (np.maximum(sides, 1.0) * margin / size)[:, None, None] * np.eye(2)
  return _around(centres, scale, size)


def aligned_transforms(landmarks: np.ndarray, margin: float, size: int) -> np.ndarray:
  """Transforms `[n, 2, 3]` that put five landmarks `[n, 5, 2]` on `TEMPLATE`, in the least-squares sense.

  Rotation and scale are one for the whole track, fitted to the mean shape; only the position follows the head, along
  a smooth path. What is left of the head's turning and nodding is the video's own.
  """
  centres = landmarks.mean(axis=1)
  turn = similarity(TEMPLATE - TEMPLATE.mean(axis=0), (landmarks - centres[:, None]).mean(axis=0))
  scale = np.broadcast_to(turn * margin / size, (len(landmarks), 2, 2))
  middle = track.smooth(centres, track.CENTRE_SIGMA) + turn @ (np.full(2, 0.5) - TEMPLATE.mean(axis=0))
  return _around(middle, scale, size)


def ftcn_transforms(landmarks: np.ndarray, size: int) -> np.ndarray:
  """Transforms `[n, 2, 3]` of FTCN's crop: one similarity per clip, which puts the clip's mean landmarks on a template.

  Its authors cut each clip of 32 frames apart. A track holds all clips, overlapping ones too, so that here each frame
  has the similarity of the 32 frames around it, as far as the track reaches: one for a track of a clip's length, and
  hardly moving within a clip of a longer one (decision).

  Args:
    landmarks: `[n, 5, 2]` in pixels of the frames.
    size: side of the crops in pixels.
  """
  count = len(landmarks)
  length = min(FTCN_FRAMES, count)
  first = np.clip(np.arange(count) - length // 2, 0, count - length)
  sums = np.concatenate([np.zeros((1, 5, 2)), np.cumsum(landmarks, axis=0)])
  shapes = (sums[first + length] - sums[first]) / length
  middle = FTCN_TEMPLATE.mean(axis=0)
  transforms = np.empty((count, 2, 3))
  for i, shape in enumerate(shapes):
    turn = similarity(FTCN_TEMPLATE - middle, shape - shape.mean(axis=0))
    transforms[i] = np.concatenate([turn / size, (shape.mean(axis=0) - turn @ middle)[:, None]], axis=1)
  return transforms


def similarity(source: np.ndarray, target: np.ndarray) -> np.ndarray:
  """Rotation times scale `[2, 2]` that takes centred points to centred points, least squares (Umeyama 1991, 2-D).

  Written with complex numbers: z = ⟨source, target⟩/‖source‖², A = [[Re z, −Im z], [Im z, Re z]].
  """
  s, t = source @ [1, 1j], target @ [1, 1j]
  z = np.vdot(s, t) / np.vdot(s, s).real
  return np.array([[z.real, -z.imag], [z.imag, z.real]])


def _around(centres: np.ndarray, scale: np.ndarray, size: int) -> np.ndarray:
  """Transforms with linear parts `[n, 2, 2]` that put `centres` `[n, 2]` in the crop's middle."""
  offset = centres - scale @ np.full(2, size / 2)
  return np.concatenate([scale, offset[..., None]], axis=-1)


def samples_per_pixel(transforms: np.ndarray) -> int:
  """Samples per output pixel and axis so that none lies more than a source pixel from the next; one for a whole
  track, because a change within it would show as a change of sharpness."""
  scale = np.sqrt(np.abs(np.linalg.det(transforms[:, :, :2]))).max()
  return int(np.clip(np.ceil(scale - 1e-6), 1, MOST_SAMPLES))


def cut(image: np.ndarray, transform: np.ndarray, size: int, samples: int, black: bool = False) -> np.ndarray:
  """One crop `[S, S, 3]` uint8 of a frame `[H, W, 3]` uint8.

  Enlarging is cubic. Shrinking averages `samples`² bilinear samples per pixel, so that nothing finer than the crop's
  pixels turns into flicker. Beyond the frame its edge pixels are repeated, or it is `black`.
  """
  linear = transform[:, :2] / samples
  # Sample i of the finer grid lies at u = (i + ½)/samples; OpenCV counts source pixels from their centres.
  matrix = np.concatenate([linear, (linear @ [0.5, 0.5] + transform[:, 2] - 0.5)[:, None]], axis=1)
  grid = (size * samples, size * samples)
  flags = (cv2.INTER_CUBIC if samples == 1 else cv2.INTER_LINEAR) | cv2.WARP_INVERSE_MAP
  crop = cv2.warpAffine(
    image, matrix, grid, flags=flags, borderMode=cv2.BORDER_CONSTANT if black else cv2.BORDER_REPLICATE
  )
  return crop if samples == 1 else cv2.resize(crop, (size, size), interpolation=cv2.INTER_AREA)


def landmarks_in_crop(landmarks: np.ndarray, transforms: np.ndarray, size: int) -> np.ndarray:
  """Landmarks `[n, P, 2]` in pixels of the frames, smoothed over time as the crop's path is, as points of the crops.

  The smoothing takes away what a detector errs from frame to frame: forgeries made along the points shall err only
  where they are told to.

  Args:
    landmarks: `[n, P, 2]`.
    transforms: `[n, 2, 3]` of the crops.
    size: side of the crops in pixels.

  Returns:
    float32 `[n, P, 2]` x, y in units of the crop's side; beyond [0, 1] where a face is larger than its crop.
  """
  points = track.smooth(landmarks, track.CENTRE_SIGMA) - transforms[:, None, :, 2]
  inverse = np.linalg.inv(transforms[:, :, :2])
  return (points @ inverse.transpose(0, 2, 1) / size).astype(np.float32)


def transforms_of(path: track.BoxTrack, align: bool | str, margin: float, size: int) -> np.ndarray:
  """The transforms `[n, 2, 3]` of a track: squares, aligned, or as FTCN's weights expect them ("ftcn").

  Raises:
    BrokenVideo: alignment is asked for and the detector gave no landmarks.
  """
  if not align:
    return square_transforms(path.boxes, margin, size)
  if path.landmarks is None:
    raise BrokenVideo("no landmarks to align by (this detector gives boxes only)")
  if align == "ftcn":
    return ftcn_transforms(path.landmarks, size)
  return aligned_transforms(path.landmarks, margin, size)
