"""Which clips of a face track are scored, and their pixels: one pass over the video for all faces in it.

Memory holds the frames of the clips that are being filled, never a track.
"""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from data_pipelines.faces import crop
from data_pipelines.faces.face_tracks import FaceTrack
from data_pipelines.video.decode import BrokenVideo, Frame
from dfdetect_jax.data.resizing import resize
from dfdetect_jax.data.sampling import test_starts
from dfdetect_jax.errors import UserError
from dfdetect_jax.methods.method import ClipSpec


@dataclasses.dataclass(frozen=True)
class Dense:
  """Clips that are scored beside the method's own test clips, to see all of a long track.

  Attributes:
    stride: a clip every so many frames; 0 = none.
    clips: so many clips spread evenly over a track, at most as many as lie side by side; 0 = none.
  """

  stride: int = 0
  clips: int = 0

  def __post_init__(self):
    for name in ("stride", "clips"):
      if getattr(self, name) < 0:
        raise UserError(f"--{name}={getattr(self, name)} must be a number of {'frames' * (name == 'stride') or name}.")
    if self.stride and self.clips:
      raise UserError("--stride and --clips are two ways to say where clips lie: give one of them.")


@dataclasses.dataclass(frozen=True)
class Request:
  """One clip to be scored: the place of its track in a list, its snippets' first frames in the track, its role."""

  track: int
  starts: tuple[int, ...]
  counts: bool


def dense_starts(spec: ClipSpec, frames: int, dense: Dense) -> np.ndarray:
  """First frames of the clips of dense scoring.

  With snippets, the U snippets of a clip follow each other at the stride, instead of spanning the track as in the test
  clip: the clip has a place in time, and its frames can be held.

  Args:
    spec: the method's clips.
    frames: length of the track, at least `spec.least`.
    dense: see `Dense`.

  Returns:
    int64 `[clips, max(U, 1)]`, each in [0, frames - T]; the last frame of the track is covered.
  """
  snippets = max(spec.test_snippets or spec.snippets, 1)
  last = frames - spec.frames
  if last < 0:
    return np.zeros((0, snippets), np.int64)  # its one clip counts
  if dense.stride:
    starts = np.unique(np.append(np.arange(0, last + 1, dense.stride), last))
  elif dense.clips:
    most = -(-frames // spec.frames)
    starts = np.unique(np.round(np.linspace(0, last, min(dense.clips * snippets, most))).astype(np.int64))
  else:
    return np.zeros((0, snippets), np.int64)
  if len(starts) < snippets:  # a short track: the test clip's own spread
    return np.round(np.linspace(0, last, snippets)).astype(np.int64)[None]
  rows = [starts[i : i + snippets] for i in range(0, len(starts) - snippets + 1, snippets)]
  if len(starts) % snippets:
    rows.append(starts[-snippets:])
  return np.stack(rows)


def requests_of(spec: ClipSpec, track: int, frames: int, dense: Dense) -> list[Request]:
  """The method's test clips of a track, then the clips of dense scoring that are not among them."""
  counted = [tuple(row) for row in test_starts(spec, frames).tolist()]
  further = [row for row in map(tuple, dense_starts(spec, frames, dense).tolist()) if row not in {*counted}]
  return [Request(track, row, True) for row in counted] + [Request(track, row, False) for row in further]


def cut_clips(
  frames: Iterable[Frame],
  tracks: Sequence[FaceTrack],
  requests: Sequence[Request],
  spec: ClipSpec,
  watch: Callable[[Frame, dict[int, np.ndarray]], None] = lambda frame, crops: None,
) -> Iterator[tuple[Request, np.ndarray]]:
  """Cuts clips out of a video in the order in which they are complete.

  Args:
    frames: of the video, full size, from the first on; read no further than needed.
    tracks: the faces.
    requests: the clips, of any of them.
    spec: the method's clips.
    watch: shown each frame that a clip needs, with the crops taken from it by track.

  Yields:
    Each request with its clip, uint8 RGB `[T, S, S, 3]`, or `[U, T, S, S, 3]` where there are snippets.

  Raises:
    BrokenVideo: the video ends before the tracks do.
  """
  # Frames and not clips are counted, so that overlapping clips share them.
  uses: list[dict[int, int]] = [{} for _ in tracks]
  ending: dict[int, list[Request]] = {}
  for request in requests:
    track = tracks[request.track]
    for number in _frames_of(request, spec, track):
      uses[request.track][number] = uses[request.track].get(number, 0) + 1
    ending.setdefault(track.first_frame + last_of(request, spec, track), []).append(request)
  samples = [crop.samples_per_pixel(track.transforms) for track in tracks]
  held: list[dict[int, np.ndarray]] = [{} for _ in tracks]
  left, seen = len(requests), 0
  for frame in frames:
    cut, seen = {}, frame.index + 1
    for number, track in enumerate(tracks):
      inside = frame.index - track.first_frame
      if inside in uses[number]:
        whole = crop.cut(frame.image, track.transforms[inside], track.size, samples[number], track.black)
        cut[number] = held[number][inside] = resize(whole, spec.size)
    if cut:
      watch(frame, cut)
    for request in ending.get(frame.index, ()):
      crops, counts = held[request.track], uses[request.track]
      track = tracks[request.track]
      snippets = np.stack([np.stack([crops[k] for k in spec.places(s, track.frames).tolist()]) for s in request.starts])
      for index in _frames_of(request, spec, track):
        counts[index] -= 1
        if not counts[index]:
          del counts[index], crops[index]
      left -= 1
      yield request, snippets if spec.snippets else snippets[0]
    if not left:
      return
  raise BrokenVideo(f"decodes to {seen} frames the second time, before {left} clips are complete")


def last_of(request: Request, spec: ClipSpec, track: FaceTrack) -> int:
  """The last frame of its track that a clip needs."""
  return min(max(request.starts) + spec.frames, track.frames) - 1


def _frames_of(request: Request, spec: ClipSpec, track: FaceTrack) -> list[int]:
  """The frames that a clip needs, each once though snippets of a short track may share some."""
  return sorted({place for start in request.starts for place in spec.places(start, track.frames).tolist()})
