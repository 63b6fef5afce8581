"""Pictures of the clips that drove a score, gathered while a video is judged; a few per face, whatever its length."""

import dataclasses
import heapq
import itertools
from collections.abc import Callable, Mapping, Sequence

import cv2
import numpy as np

from data_pipelines.faces.face_tracks import FaceTrack
from data_pipelines.video.decode import Frame
from dfdetect_jax.methods.method import ClipSpec
from dfdetect_jax.prediction.clips import Request, last_of
from dfdetect_jax.prediction.pictures import data_uri

HIGHEST = 3  # clips of highest score that are kept of each face, and the one of lowest
MANY_FACES = 6  # with more of them only one, to bound the memory
STRIP = 96  # pixels; side of the frames of a strip
KEY_FRAME = 480  # pixels; longest side

# Picture [H, W, 3], clip [T, S, S, 3] (or [U, T, …]), transform from crop to picture, side of the crop → the picture
# with the heat of the clip's middle frame on it (`figures.heat.HeatMaps`).
Heat = Callable[[np.ndarray, np.ndarray, np.ndarray, int], np.ndarray]


@dataclasses.dataclass(frozen=True, eq=False)
class ShownClip:
  """A clip to be shown.

  Attributes:
    first_frame, last_frame: index in the video.
    score: of the clip.
    frames: number of frames of the strip.
    strip: the face on all frames of the clip side by side, a picture as data URI.
    key_frame: the whole middle frame, likewise; "" if there is none.
    box: x, y, width and height of the face in the key frame, as shares of its sides.
    heat: the same middle frame with the heat of an explanation on it; "" without one.
  """

  first_frame: int
  last_frame: int
  score: float
  frames: int
  strip: str
  key_frame: str
  box: tuple[float, float, float, float]
  heat: str = ""


class Evidence:
  """Watches a video being judged (see `judge.Watcher`) and keeps its most telling clips.

  Args:
    heat: draws where the model looks, None: no heat maps.
  """

  def __init__(self, heat: Heat | None = None):
    self._heat = heat

  def begin(self, tracks: Sequence[FaceTrack], requests: Sequence[Request], spec: ClipSpec) -> None:
    """See `judge.Watcher`."""
    self._tracks, self._spec = tracks, spec
    self._most = HIGHEST if len(tracks) <= MANY_FACES else 1
    self._order = itertools.count()  # heaps compare it where scores are equal
    self._high: list[list[tuple]] = [[] for _ in tracks]
    self._low: list[list[tuple]] = [[] for _ in tracks]
    self._wanted: dict[int, int] = {}
    self._pictures: dict[int, np.ndarray] = {}
    for request in requests:
      middle = self._middle(request)
      self._wanted[middle] = self._wanted.get(middle, 0) + 1

  def see(self, frame: Frame, crops: Mapping[int, np.ndarray]) -> None:
    """See `judge.Watcher`."""
    if frame.index in self._wanted:
      height, width = frame.image.shape[:2]
      scale = min(1.0, KEY_FRAME / max(height, width))
      size = (max(1, round(width * scale)), max(1, round(height * scale)))
      self._pictures[frame.index] = cv2.resize(frame.image, size, interpolation=cv2.INTER_AREA)
      self._full = (height, width)

  def scored(self, request: Request, clip: np.ndarray, score: float) -> None:
    """See `judge.Watcher`."""
    middle = self._middle(request)
    picture = self._pictures.get(middle)
    self._wanted[middle] -= 1
    if not self._wanted[middle]:
      del self._wanted[middle]
      self._pictures.pop(middle, None)
    for heap, sign, most in ((self._high, 1, self._most), (self._low, -1, 1)):
      kept = heap[request.track]
      entry = (sign * score, next(self._order), request, clip, picture)
      if len(kept) < most:
        heapq.heappush(kept, entry)
      elif entry[0] > kept[0][0]:
        heapq.heapreplace(kept, entry)

  def clips(self, track: int) -> list[ShownClip]:
    """The clips kept of a track (by its place in the list), the highest score first, the lowest one last."""
    chosen = {entry[2]: entry for entry in self._high[track] + self._low[track]}
    ordered = sorted(chosen.values(), key=lambda entry: -abs(entry[0]))
    return [self._shown(request, clip, picture, abs(score)) for score, _, request, clip, picture in ordered]

  @property
  def tracks(self) -> Sequence[FaceTrack]:
    """The faces of the video, in the order of their numbers."""
    return self._tracks

  def _middle(self, request: Request) -> int:
    """The frame of the video that stands for a clip: the middle one of its middle snippet."""
    start = sorted(request.starts)[len(request.starts) // 2]
    track = self._tracks[request.track]
    return track.first_frame + int(self._spec.places(start, track.frames)[self._spec.frames // 2])

  def _shown(self, request: Request, clip: np.ndarray, picture: np.ndarray | None, score: float) -> ShownClip:
    track, spec = self._tracks[request.track], self._spec
    frames = clip.reshape(-1, *clip.shape[-3:])
    side = min(STRIP, spec.size)
    small = [cv2.resize(frame, (side, side), interpolation=cv2.INTER_AREA) for frame in frames]
    middle = self._middle(request)
    inside = middle - track.first_frame
    x1, y1, x2, y2 = track.boxes[inside]
    box, key_frame, heat = (0.0, 0.0, 0.0, 0.0), "", ""
    if picture is not None:
      height, width = self._full
      box = float(x1 / width), float(y1 / height), float((x2 - x1) / width), float((y2 - y1) / height)
      key_frame = data_uri(picture)
      if self._heat:
        # Rows of the transform are scaled apart: the picture's sides are rounded to pixels.
        shrunk = np.array([[picture.shape[1] / width], [picture.shape[0] / height]])
        heat = data_uri(self._heat(picture, clip, track.transforms[inside] * shrunk, track.size))
    return ShownClip(
      first_frame=track.first_frame + min(request.starts),
      last_frame=track.first_frame + last_of(request, spec, track),
      score=score,
      frames=len(frames),
      strip=data_uri(np.concatenate(small, axis=1), quality=60),
      key_frame=key_frame,
      box=box,
      heat=heat,
    )
