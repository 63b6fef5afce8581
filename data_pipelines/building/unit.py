"""One unit of a build: the face tracks of a few videos, written as one shard with a note about them beside the plan."""

import dataclasses
import functools
import importlib.metadata
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import av
import cv2
import numpy as np

from data_pipelines.building import shards, track_cache
from data_pipelines.building.plan import WORK_FOLDER, Settings, Unit, relative_path
from data_pipelines.faces import cropped, face_tracks, landmarks
from data_pipelines.faces.detectors.detector import Detector
from data_pipelines.sources import Video
from data_pipelines.sources.layout import printable
from data_pipelines.video import distortions
from data_pipelines.video.decode import BrokenVideo
from dfdetect_jax import __version__
from dfdetect_jax.errors import UserError
from dfdetect_jax.files import file_sha256, make, read_json, sealed
from dfdetect_jax.folders import write_json
from dfdetect_jax.schema import Failure, Track, info_of


@dataclasses.dataclass(frozen=True)
class Job:
  """What every worker of a build knows.

  Attributes:
    directory: the output folder.
    settings: see `Settings`.
    root: folder that the stored paths are relative to.
    boxes_paths: path of every video that another one may take its face boxes from, by video id.
    tracks_folder: where face tracks are kept for other builds of the same videos (see `track_cache`), "" = nowhere.
  """

  directory: str
  settings: Settings
  root: str
  boxes_paths: dict[str, str]
  tracks_folder: str = ""


@dataclasses.dataclass(frozen=True)
class UnitNote:
  """What became of a unit; stored as JSON, and its presence says that the unit is done.

  Attributes:
    records, bytes, sha256: of the shard.
    tracks: its tracks, `first` counted from the shard's own beginning.
    failures: the videos without a track.
  """

  records: int
  bytes: int
  sha256: str
  tracks: list[Track]
  failures: list[Failure]

  def write(self, path: pathlib.Path) -> None:
    """Writes the note, whole or not at all."""
    with shards.writing(path):
      write_json(path, sealed(dataclasses.asdict(self)))

  @classmethod
  def read(cls, path: pathlib.Path) -> "UnitNote":
    """Reads a note.

    Raises:
      DamagedFile: it is not one.
    """
    cure = "remove it, and its shard is built again"
    return make(cls, read_json(path, cure), path, cure)


def note_path(directory: str | pathlib.Path, unit: Unit) -> pathlib.Path:
  """Where a unit's note lies."""
  return pathlib.Path(directory) / WORK_FOLDER / f"{unit.name}.json"


def shard_path(directory: str | pathlib.Path, unit: Unit) -> pathlib.Path:
  """Where a unit's shard lies."""
  return pathlib.Path(directory) / shards.shard_name(unit.split, unit.shard, unit.shards)


def versions() -> dict[str, str]:
  """The programs that a dataset's bytes depend on."""
  packages = {"dfdetect_jax": __version__, "av": av.__version__, "opencv": cv2.__version__}
  return packages | {name: importlib.metadata.version(name) for name in ("jax", "numpy", "array_record")}


class _Spoiled(Exception):
  """A video failed after some of its frames were written: the shard is begun again without it."""

  def __init__(self, index: int, reason: str):
    self.index, self.reason = index, reason


def build_unit(
  job: Job,
  unit: Unit,
  detector: Detector | None,
  skip: dict[int, str] | None = None,
  starts: Callable[[int], None] = lambda index: None,
  tick: Callable[[int], None] = lambda frames: None,
) -> UnitNote:
  """Writes a unit's shard and its note.

  Args:
    job: see `Job`.
    unit: see `Unit`.
    detector: the face detector, None if the source's files are crops already.
    skip: reasons not to try some of the unit's videos, by index.
    starts: called with the index of the video that comes next.
    tick: called now and then with the number of frames written since the last call.
  """
  skip = dict(skip or {})
  while True:
    try:
      return _attempt(job, unit, detector, skip, starts, tick)
    except _Spoiled as spoiled:
      skip[spoiled.index] = spoiled.reason


def _attempt(job, unit, detector, skip, starts, tick) -> UnitNote:
  path = shard_path(job.directory, unit)
  writer = shards.ShardWriter(path)
  tracks: list[Track] = []
  failures: list[Failure] = []
  try:
    for index, video in enumerate(unit.videos):
      starts(index)
      where = relative_path(video.path, job.root)
      if index in skip:
        failures.append(_failure(video, where, skip[index]))
        continue
      written = writer.records
      try:
        tracks += _write_video(job, video, where, detector, writer, tick)
      except Exception as error:
        reason = _reason(error)
        if writer.records > written:
          raise _Spoiled(index, reason) from error
        failures.append(_failure(video, where, reason))
    records = writer.records
    sha256 = writer.close()
  except BaseException:
    writer.discard()
    raise
  note = UnitNote(records, path.stat().st_size, sha256, tracks, failures)
  note.write(note_path(job.directory, unit))
  return note


def _reason(error: Exception) -> str:
  """What the failures file says of an error; raises it again if it is no fault of the video.

  Whatever a file does to a decoder or to us, it shall not stop the other videos.
  """
  if isinstance(error, BrokenVideo):
    text = error.reason
  elif isinstance(error, UserError):
    raise error
  else:
    text = f"unexpected {type(error).__name__}: {error}"
  return printable(" ".join(text.split()))


def _failure(video: Video, where: str, reason: str) -> Failure:
  return Failure(**info_of(video, without=["path"]), path=where, reason=reason)


@dataclasses.dataclass(frozen=True, eq=False)
class _Piece:
  """One track to be written: where it starts in its video, its rate, crops, their landmarks, the video's notes."""

  first_frame: int
  fps: float
  crops: Iterator[np.ndarray]
  landmarks: np.ndarray | None = None
  notes: tuple[str, ...] = ()


def _write_video(
  job: Job,
  video: Video,
  where: str,
  detector: Detector | None,
  writer: shards.ShardWriter,
  tick: Callable[[int], None],
) -> list[Track]:
  settings = job.settings
  pieces = _pieces(job, video, where, detector, tick)
  if video.inside:
    sha256 = cropped.sequence_sha256(video.path, video.inside)
  else:
    sha256 = "" if pathlib.Path(video.path).is_dir() else file_sha256(video.path)
  tracks = []
  for number, piece in enumerate(pieces):
    first = writer.records
    for offset, image in enumerate(piece.crops):
      data = settings.encoding.encode(image)
      points = None if piece.landmarks is None else piece.landmarks[offset]
      writer.write(shards.frame_record(data, video.video_id, number, piece.first_frame + offset, video.label, points))
      if offset % 32 == 31:
        tick(32)
    tick((writer.records - first) % 32)
    tracks.append(
      Track(
        **info_of(video, without=["path", "sha256"]),
        path=where,
        sha256=sha256,
        track=number,
        first=first,
        frames=writer.records - first,
        first_frame=piece.first_frame,
        fps=round(piece.fps, 4),
        size=settings.faces.size,
        landmarks=0 if piece.landmarks is None else piece.landmarks.shape[1],
        notes="; ".join(piece.notes),
        extra=dict(video.extra) | ({"distortion": video.distortion} if video.distortion else {}),
      )
    )
  return tracks


def _pieces(job: Job, video: Video, where: str, detector: Detector | None, tick: Callable[[int], None]) -> list[_Piece]:
  settings = job.settings
  options = settings.faces_for(video.split)
  if settings.cropped:
    # A sequence shows one person, so that all its runs are wanted whatever the number of people.
    numbers = (options.max_frames, 0 if video.inside else options.max_tracks, options.min_frames)
    runs = cropped.crop_sequences(video.path, *numbers, video.inside)
    return [_Piece(run.first, 0.0, run.crops(options.size), notes=run.notes) for run in runs]
  found = track_cache.cached(
    job.tracks_folder, video.video_id, video.path, lambda: _find_tracks(job, video, where, detector, tick)
  )
  change = functools.partial(distortions.distort_by, video.distortion or settings.distortion, video.video_id)
  pieces = []
  for t in found:
    points = t.landmarks
    if settings.landmarks_model:
      predict = landmarks.dlib68(settings.landmarks_model)
      points = landmarks.of_crops(predict, t.crops(), t.boxes, t.transforms, t.size)
      tick(0)
    pieces.append(_Piece(t.first_frame, t.fps, t.crops(functools.partial(change, t.fps)), points, t.notes))
  return pieces


def _find_tracks(
  job: Job, video: Video, where: str, detector: Detector | None, tick: Callable[[int], None]
) -> list[face_tracks.FaceTrack]:
  settings = job.settings
  options = settings.faces_for(video.split)
  assert detector is not None, "only sets of ready crops do without"
  boxes_from = job.boxes_paths.get(video.boxes_from, "") if settings.target_boxes and video.boxes_from else ""
  known = None
  if settings.detector == "precomputed":
    names = [video.video_id, where, pathlib.Path(video.path).name]
    if boxes_from:
      names = [video.boxes_from, relative_path(boxes_from, job.root), pathlib.Path(boxes_from).name, *names]
    precomputed: Any = detector
    known = precomputed.faces_of(*names)
    if known is None:
      raise BrokenVideo("no boxes for it in the detections file")
  return face_tracks.face_tracks(video.path, options, detector, boxes_from, known, lambda: tick(0))
