"""Faces found on some frames become tracks without gaps, and the tracks smooth paths. Pure functions of boxes.

A track is consecutive frames of one video that show one person. Nothing is spliced: a track ends at a scene cut and
where its face is away for more than `MAX_GAP` frames.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from data_pipelines.faces.detectors import nms
from data_pipelines.faces.detectors.detector import Face

MAX_GAP = 10  # frames between two detections that a straight line may bridge
MIN_OVERLAP = 0.3  # intersection over union of one face's boxes in two examined frames
AGREEMENT = 0.5  # and in two key frames, so that the frames between them need no look
BYSTANDER = 0.5  # a face smaller than this share of the largest one beside it is not followed (posters, passers-by)
CENTRE_SIGMA, SIDE_SIGMA = 3.0, 9.0  # frames; the crop may follow the head's motion, but shall not breathe
CUT_LEVEL, CUT_RATIO = (
  20.0,
  4.0,
)  # a cut changes the picture by so many grey levels, and so much more than its neighbours


@dataclasses.dataclass(frozen=True, eq=False)
class BoxTrack:
  """One person's face on consecutive frames.

  Attributes:
    first: index of its first frame in the video.
    boxes: `[n, 4]` float64 x1, y1, x2, y2, interpolated between detections.
    landmarks: `[n, 5, 2]` float64 likewise, None where a detection had none.
  """

  first: int
  boxes: np.ndarray
  landmarks: np.ndarray | None

  def __len__(self) -> int:
    return len(self.boxes)


def main_faces(faces: Sequence[Face]) -> list[Face]:
  """The faces of one frame that are worth following: those not much smaller than the largest sure one."""
  least = BYSTANDER * max((_side(face) for face in faces if face.sure), default=0.0)
  return [face for face in faces if _side(face) >= least]


def agree(before: Sequence[Face], after: Sequence[Face]) -> bool:
  """Whether two key frames show the same faces in nearly the same places, so that a line between them is safe."""
  before, after = main_faces(before), main_faces(after)
  if len(before) != len(after):
    return False
  return len(_match(before, after, AGREEMENT)) == len(before)


def scene_cuts(thumbnails: np.ndarray) -> list[int]:
  """Frames on which a new scene starts.

  A cut is a change of the whole picture that stands alone: much larger than the change before and after it, which
  motion, flashes of noise and fades do not give.

  Args:
    thumbnails: `[n, h, w]` uint8 grey pictures of all frames, a few pixels wide.

  Returns:
    Indices in rising order, each in 1 … n − 1.
  """
  if len(thumbnails) < 2:
    return []
  change = np.abs(np.diff(thumbnails.astype(np.int16), axis=0)).mean(axis=(1, 2))
  padded = np.concatenate([[0.0], change, [0.0]])
  beside = np.maximum(padded[:-2], padded[2:])
  return [int(i) + 1 for i in np.nonzero((change > CUT_LEVEL) & (change > CUT_RATIO * beside))[0]]


def link(faces: dict[int, list[Face]], cuts: Sequence[int] = ()) -> list[BoxTrack]:
  """Joins detections to tracks.

  Args:
    faces: the faces of every frame that was examined, in the pixels of the video.
    cuts: frames on which a new scene starts.

  Returns:
    All tracks, in order of their first frame.
  """
  open_tracks: list[list[tuple[int, Face]]] = []
  finished: list[list[tuple[int, Face]]] = []
  for frame in sorted(faces):
    still_open: list[list[tuple[int, Face]]] = []
    for track in open_tracks:
      last = track[-1][0]
      lost = frame - last > MAX_GAP or any(last < cut <= frame for cut in cuts)
      (finished if lost else still_open).append(track)
    found = main_faces(faces[frame])
    pairs = _match([track[-1][1] for track in still_open], found, MIN_OVERLAP)
    for i, j in pairs:
      still_open[i].append((frame, found[j]))
    taken = {j for _, j in pairs}
    open_tracks = still_open + [[(frame, face)] for j, face in enumerate(found) if j not in taken]
  tracks = [_interpolate(sure) for sure in map(_between_sure, finished + open_tracks) if sure]
  return sorted(tracks, key=lambda track: (track.first, -len(track), track.boxes[0].tolist()))


def choose(tracks: Sequence[BoxTrack], most: int, min_frames: int) -> list[BoxTrack]:
  """The longest tracks, longest first; of equally long ones the larger face first.

  Args:
    tracks: candidates.
    most: how many to take at most, 0 = all.
    min_frames: shorter tracks are left out.
  """
  long_enough = [track for track in tracks if len(track) >= min_frames]
  ordered = sorted(long_enough, key=lambda track: (-len(track), -_sides(track.boxes).mean(), track.first))
  return ordered[: most or None]


def smooth(path: np.ndarray, sigma: float) -> np.ndarray:
  """Gaussian average over time that neither lags nor bends a straight path at its ends.

  Args:
    path: `[n, …]` positions of consecutive frames.
    sigma: width of the average in frames.

  Returns:
    `[n, …]`. A path linear in time comes back unchanged; reversing time and smoothing commute.
  """
  radius = int(np.ceil(3 * sigma))
  kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
  kernel /= kernel.sum()
  # Odd reflection (2·x₀ − x_k) continues the motion beyond the ends instead of turning it back.
  padding = [(radius, radius)] + [(0, 0)] * (path.ndim - 1)
  padded = np.pad(path, padding, mode="reflect", reflect_type="odd") if len(path) > 1 else np.pad(path, padding, "edge")
  windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * radius + 1, axis=0)
  return windows @ kernel


def smooth_squares(boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """One smooth path of squares along boxes `[n, 4]`: centres `[n, 2]` and sides `[n]` (the box's longer side)."""
  centres = (boxes[:, :2] + boxes[:, 2:]) / 2
  return smooth(centres, CENTRE_SIGMA), smooth(_sides(boxes), SIDE_SIGMA)


def _sides(boxes: np.ndarray) -> np.ndarray:
  return np.max(boxes[:, 2:] - boxes[:, :2], axis=1)


def _side(face: Face) -> float:
  return float(max(face.box[2:] - face.box[:2]))


def _match(before: Sequence[Face], after: Sequence[Face], least: float) -> list[tuple[int, int]]:
  """Pairs (i, j) of one face in two frames, best overlap first, each face in one pair at most."""
  if not before or not after:
    return []
  overlap = nms.iou(np.stack([f.box for f in before]), np.stack([f.box for f in after]))
  pairs = []
  while overlap.size and overlap.max() >= least:
    i, j = np.unravel_index(np.argmax(overlap), overlap.shape)
    pairs.append((int(i), int(j)))
    overlap[i, :] = overlap[:, j] = -1.0
  return pairs


def _between_sure(knots: list[tuple[int, Face]]) -> list[tuple[int, Face]]:
  """From a track's first sure face to its last one: what is not sure bridges, it never begins or prolongs a track."""
  sure = [n for n, (_, face) in enumerate(knots) if face.sure]
  return knots[sure[0] : sure[-1] + 1] if sure else []


def _interpolate(knots: list[tuple[int, Face]]) -> BoxTrack:
  """A straight line between each two detections."""
  at = np.array([frame for frame, _ in knots])
  frames = np.arange(at[0], at[-1] + 1)

  def lines(values: np.ndarray) -> np.ndarray:
    flat = values.reshape(len(values), -1)
    return np.stack([np.interp(frames, at, column) for column in flat.T], 1).reshape(-1, *values.shape[1:])

  landmarks = [face.landmarks for _, face in knots if face.landmarks is not None]
  return BoxTrack(
    first=int(at[0]),
    boxes=lines(np.stack([face.box for _, face in knots])),
    landmarks=lines(np.stack(landmarks)) if len(landmarks) == len(knots) else None,
  )
