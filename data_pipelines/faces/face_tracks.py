"""A video's face tracks: decode, detect on key frames, track, crop. The one road to shards and to predictions."""

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Iterator

import cv2
import numpy as np

from data_pipelines.faces import close_up, crop, track
from data_pipelines.faces.detectors.detector import Detector, Face
from data_pipelines.video import decode
from data_pipelines.video.decode import BrokenVideo

LONGEST = 640  # pixels; longest side of the frames that a detector sees
KEYS_PER_BLOCK = 8  # key frames detected together: bounds the frames in memory to eight intervals
THUMBNAIL = 16  # pixels; side of the pictures that scene cuts are found on

Look = Callable[[np.ndarray], list[list[Face]]]  # images `[N, H, W, 3]` uint8 -> the faces of each


@dataclasses.dataclass(frozen=True)
class FaceOptions:
  """How faces are followed and cut out.

  Attributes:
    align: five-point similarity alignment instead of upright squares; "ftcn": that of FTCN's weights.
    size: height and width of the crops in pixels.
    margin: side of the crop in units of the face box's longer side.
    every: frames between key frames; the frames between are looked at only where the key frames disagree.
    max_frames: use only so many first frames of the video, 0 = all.
    max_tracks: take so many longest tracks, 0 = all.
    min_frames: shortest track worth keeping.
  """

  align: bool | str = False
  size: int = 224
  margin: float = 1.3
  every: int = 5
  max_frames: int = 0
  max_tracks: int = 1
  min_frames: int = 16


@dataclasses.dataclass(frozen=True, eq=False)
class FaceTrack:
  """One face on consecutive frames of a video, ready to be cut out.

  Attributes:
    path: the video.
    number: 0 for the longest track of the video, and so on.
    first_frame: index in the video of the track's first frame.
    times: `[n]` float64 presentation times of its frames in seconds since the video's beginning, NaN if unknown.
    boxes: `[n, 4]` float64 x1, y1, x2, y2 of the face in the video's pixels, interpolated, not smoothed.
    transforms: `[n, 2, 3]` smooth path of the crops (see `crop`).
    size: height and width of the crops in pixels.
    video_frames: frames of the video that were looked through.
    landmarks: float32 `[n, P, 2]` of the face in units of the crop's side (see `crop.landmarks_in_crop`), None if the
      detector gave none.
    notes: what of the video was left out, repeated or repaired (`decode.About.notes`), the same for all its tracks.
    black: whether crops are black beyond the frame, instead of repeating its edge.
  """

  path: str
  number: int
  first_frame: int
  times: np.ndarray
  boxes: np.ndarray
  transforms: np.ndarray
  size: int
  video_frames: int
  landmarks: np.ndarray | None = None
  notes: tuple[str, ...] = ()
  black: bool = False

  @property
  def frames(self) -> int:
    """Number of frames, all consecutive in the video."""
    return len(self.boxes)

  @property
  def fps(self) -> float:
    """Mean frame rate over the track by its timestamps, 0 if unknown."""
    return decode.mean_rate(self.times)

  def crops(self, change: Callable[[Iterator[np.ndarray]], Iterator[np.ndarray]] = iter) -> Iterator[np.ndarray]:
    """Decodes the video again and yields the n crops `[S, S, 3]` uint8 RGB in time order.

    Args:
      change: takes the video's full frames from the first on and yields as many changed ones, which are cropped.

    Raises:
      BrokenVideo: the video no longer decodes as it did.
    """
    samples = crop.samples_per_pixel(self.transforms)
    done = 0
    frames = (frame.image for frame in decode.read_frames(self.path, max_frames=self.first_frame + self.frames))
    for index, image in enumerate(change(frames)):
      if index >= self.first_frame:
        yield crop.cut(image, self.transforms[done], self.size, samples, self.black)
        done += 1
    if done != self.frames:
      raise BrokenVideo(f"decodes to {done} frames of a track of {self.frames} the second time")


def face_tracks(
  path: str | pathlib.Path,
  options: FaceOptions,
  detector: Detector,
  boxes_from: str = "",
  known: dict[int, list[Face]] | None = None,
  tick: Callable[[], None] = lambda: None,
) -> list[FaceTrack]:
  """Finds and follows the faces of a video.

  Args:
    path: the video.
    options: see `FaceOptions`.
    detector: see `data_pipelines.faces.detectors.detector.create`.
    boxes_from: find the faces in this video instead, of the same length and scene (a forgery's target).
    known: the faces by frame, in the video's pixels, if somebody has found them before; nothing is detected then.
    tick: called now and then, as a sign of life.

  Returns:
    The chosen tracks, longest first, at least one.

  Raises:
    BrokenVideo: not decodable, no face in it, or none for long enough; `reason` says which.
  """
  look = None if boxes_from or known is not None else detector
  scan = _scan(path, options, look, tick)
  if scan.close_up:
    scan = _scan_close_up(path, options, detector, tick)
  faces = scan.faces
  if known is not None:
    faces = known
  elif boxes_from:
    other = _scan(boxes_from, options, detector, tick)
    factor = scan.size / other.size
    faces = {frame: [face.scaled(factor) for face in found] for frame, found in other.faces.items()}
  faces = {frame: found for frame, found in faces.items() if 0 <= frame < scan.frames}
  if scan.frames < options.min_frames:
    raise scan.broken(f"too short: {scan.frames} of at least {options.min_frames} frames")
  if not any(face.sure for found in faces.values() for face in found):
    raise scan.broken("no face")
  tracks = track.link(faces, scan.cuts)
  chosen = track.choose(tracks, options.max_tracks, options.min_frames)
  if not chosen:
    longest = max(len(t) for t in tracks)
    raise scan.broken(f"no face for {options.min_frames} frames on end (longest: {longest} of {scan.frames} frames)")
  return [_face_track(str(path), number, t, scan, options) for number, t in enumerate(chosen)]


def _face_track(path: str, number: int, found: track.BoxTrack, scan: "_Scan", options: FaceOptions) -> FaceTrack:
  transforms = crop.transforms_of(found, options.align, options.margin, options.size)
  points = found.landmarks
  return FaceTrack(
    path=path,
    number=number,
    first_frame=found.first,
    times=np.array(scan.about.times[found.first : found.first + len(found)], np.float64),
    boxes=found.boxes,
    transforms=transforms,
    size=options.size,
    video_frames=scan.frames,
    landmarks=None if points is None else crop.landmarks_in_crop(points, transforms, options.size),
    notes=tuple(scan.about.notes),
    black=options.align == "ftcn",
  )


@dataclasses.dataclass(frozen=True, eq=False)
class _Scan:
  """What one pass over a video tells: faces of the examined frames (video's pixels), cuts, and what the video says."""

  faces: dict[int, list[Face]]
  cuts: list[int]
  about: decode.About
  close_up: bool = False  # no face is found, and there is one once the frames have a border

  @property
  def frames(self) -> int:
    return len(self.about.times)

  def broken(self, reason: str) -> BrokenVideo:
    """The reason, with the video's notes, which may explain it."""
    return BrokenVideo(f"{reason} ({'; '.join(self.about.notes)})" if self.about.notes else reason)

  @property
  def size(self) -> np.ndarray:
    """Width and height."""
    return np.array([self.about.width, self.about.height])


def _scan_close_up(
  path: str | pathlib.Path, options: FaceOptions, detector: Detector, tick: Callable[[], None]
) -> _Scan:
  """The scan of a video that is nothing but a face: with a border, or each whole frame where that does not help."""
  scan = _scan(path, options, detector, tick, close_up.detect_with_border)
  tracks = track.link(scan.faces, scan.cuts)
  if max((len(t) for t in tracks), default=0) >= close_up.MOSTLY * scan.frames:
    scan.about.note("looks like a crop of a face: the face was found by adding a border")
    return scan
  if options.align:
    raise BrokenVideo("looks like a crop of a face too tight to be aligned: no landmarks are found in it")
  scan.about.note("looks like a crop of a face: whole frames are taken as they are")
  width, height = scan.size.tolist()
  face = close_up.whole_frame(width, height, options.margin)
  return dataclasses.replace(scan, faces={frame: [face] for frame in range(scan.frames)})


def _scan(
  path: str | pathlib.Path,
  options: FaceOptions,
  detector: Detector | None,
  tick: Callable[[], None],
  detect: Callable[[Detector, np.ndarray], list[list[Face]]] = lambda detector, images: detector.detect(images),
) -> _Scan:
  """Decodes the video once, reduced, and looks for faces on key frames, and between them where these disagree."""
  faces: dict[int, list[Face]] = {}
  about, probes = decode.About(), close_up.Probes()
  # Small things that stay, allocated between pictures that go, would leave holes that no other picture fits in: what
  # is kept of each frame goes into one buffer, and the pictures of a block into another.
  thumbnails, held = bytearray(), np.empty(0)
  look = None if detector is None else functools.partial(detect, detector)
  block: list[decode.Frame] = []  # from one key frame to another, both included
  factor = 1.0
  for frame in decode.read_frames(path, options.max_frames, LONGEST, about):
    factor = max(frame.full_size) / max(frame.image.shape[:2])
    grey = cv2.cvtColor(frame.image, cv2.COLOR_RGB2GRAY)
    thumbnails += cv2.resize(grey, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA).tobytes()
    if look is not None:
      probes.see(frame.index, frame.image)
      if block and about.cuts and about.cuts[-1] == frame.index:  # nothing is interpolated over a gap
        _examine(block, options.every, look, faces)
        block = []
      if not held.size:
        held = np.empty((KEYS_PER_BLOCK * options.every + 1, *frame.image.shape), np.uint8)
      held[len(block)] = frame.image
      block.append(dataclasses.replace(frame, image=held[len(block)]))
      if len(block) == len(held):
        _examine(block, options.every, look, faces)
        held[0] = held[-1]
        block = [dataclasses.replace(block[-1], image=held[0])]
    if frame.index % 32 == 0:
      tick()
  if look is not None and block:
    _examine(block, options.every, look, faces)
  small = np.frombuffer(thumbnails, np.uint8).reshape(-1, THUMBNAIL, THUMBNAIL)
  cuts = sorted({*track.scene_cuts(small), *about.cuts})
  faces = {frame: [face.scaled(factor) for face in found] for frame, found in faces.items()}
  nothing = not any(face.sure for found in faces.values() for face in found)
  return _Scan(faces, cuts, about, detector is not None and nothing and probes.close_up(detector))


def _examine(block: list[decode.Frame], every: int, look: Look, faces: dict[int, list[Face]]) -> None:
  """Adds the faces of a block's key frames (its first, every so many, its last) and of the intervals that need it."""
  keys = sorted({*range(0, len(block), every), len(block) - 1})
  _detect([block[k] for k in keys], look, faces)
  between = []
  for a, b in zip(keys, keys[1:]):
    if not track.agree(faces[block[a].index], faces[block[b].index]):
      between += block[a + 1 : b]
  _detect(between, look, faces)


def _detect(frames: list[decode.Frame], look: Look, faces: dict[int, list[Face]]) -> None:
  frames = [frame for frame in frames if frame.index not in faces]
  if frames:
    found = look(np.stack([frame.image for frame in frames]))
    faces.update((frame.index, result) for frame, result in zip(frames, found))
