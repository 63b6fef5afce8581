"""The score file: one row per video, from which every figure can be computed again by anyone.

`scores.csv` has the columns `COLUMNS`. Only `video_id,label,score` are needed to read one, so that a file published by
others (or written by hand) can be evaluated; further columns are ignored. Numbers are written so that they read back
bit for bit.
"""

import csv
import dataclasses
import io
import os
import pathlib
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from dfdetect_jax.errors import UserError, unwritable
from dfdetect_jax.folders import as_folder, write_whole
from dfdetect_jax.schema import INFO_FIELDS, Track, VideoInfo

OVER_TRACKS = ("max", "mean")
NEEDED = ("video_id", "label", "score")
# What a video that could not be scored is given: anyone who reads the file without looking at `status` gets the
# evaluation that scores failed videos one half, never one that forgets them.
FAILED_SCORE = 0.5
# Separates the tracks of a video in `clip_scores` and `clip_starts`; within a track the values are split by spaces.
TRACK_SEPARATOR = "|"
# Manipulation of the forgeries that a run makes of real validation videos (`evaluation.forged_twins`).
SELF_MADE = "self_made"


@dataclasses.dataclass(frozen=True, kw_only=True)
class VideoScore(VideoInfo):
  """The score of one video and what the figures are grouped by.

  Attributes:
    score: probability of "fake" in [0, 1]; 0.5 for a failed video.
    clips: number of clips that were scored.
    tracks: number of face tracks that were scored.
    status: "ok", or "failed" for a video that could not be scored.
    reason: why it failed, "" otherwise.
    clip_scores: probability of "fake" of each clip, one tuple per track; empty if unknown.
    clip_starts: index in the video of each clip's first frame, shaped like `clip_scores`; empty if unknown.
    clip_frames: T, number of consecutive frames of a clip; 0 if unknown or if a clip is several snippets.
  """

  label: int
  score: float
  clips: int = 0
  tracks: int = 0
  status: str = "ok"
  reason: str = ""
  clip_scores: tuple[tuple[float, ...], ...] = ()
  clip_starts: tuple[tuple[int, ...], ...] = ()
  clip_frames: int = 0

  @property
  def failed(self) -> bool:
    """Whether the video could not be scored."""
    return self.status == "failed"


COLUMNS = (
  "video_id", "label", "score", "dataset", "manipulation", "compression", "split", "identity", "clips", "tracks",
  "status", "reason", "clip_scores", "clip_starts", "clip_frames",
)  # fmt: skip


def aggregate_tracks(clip_scores: Sequence[Sequence[float]], over_tracks: str = "max") -> float:
  """Video score: mean of the clip probabilities of each track, then the maximum (or mean) over the tracks.

  Args:
    clip_scores: fake probability of each clip, one sequence per face track, none empty.
    over_tracks: "max" (one fake face makes the video fake) or "mean".

  Returns:
    Fake probability of the video in [0, 1], computed in float64.

  Raises:
    UserError: `over_tracks` is neither of the two, or a probability is NaN: the network has diverged.
  """
  if over_tracks not in OVER_TRACKS:
    raise UserError(f"tracks cannot be combined by '{over_tracks}': choose one of {', '.join(OVER_TRACKS)}.")
  broken, count = (sum(f(p) for clips in clip_scores for p in clips) for f in (np.isnan, lambda _: 1))
  if broken:
    raise UserError(
      f"the detector's probability is NaN (not a number) for {broken} of {count} clips: its weights or its arithmetic "
      "have overflowed. Take an earlier checkpoint (--step), or float32 (--config.dtype=float32) for a new training."
    )
  means = [float(np.mean(np.asarray(clips, np.float64))) for clips in clip_scores]
  return max(means) if over_tracks == "max" else float(np.mean(means))


def score_video(
  tracks: Sequence[Track],
  clip_scores: Sequence[Sequence[float]],
  over_tracks: str = "max",
  clip_starts: Sequence[Sequence[int]] = (),
  clip_frames: int = 0,
) -> VideoScore:
  """The row of a video from the clip probabilities of its face tracks.

  Args:
    tracks: the face tracks of one video.
    clip_scores: fake probability of each clip, one sequence per track, none empty.
    over_tracks: "max" or "mean", see `aggregate_tracks`.
    clip_starts: index in the video of each clip's first frame, shaped like `clip_scores`; empty if not known.
    clip_frames: T of a clip; 0 where a clip is not a run of consecutive frames.
  """
  assert len({t.video_id for t in tracks}) == 1 and len(tracks) == len(clip_scores)
  try:
    score = aggregate_tracks(clip_scores, over_tracks)
  except UserError as error:
    raise UserError(f"{tracks[0].video_id}: {error}") from error
  return VideoScore(
    **{name: getattr(tracks[0], name) for name in COLUMNS if name in INFO_FIELDS},
    score=score,
    clips=sum(len(clips) for clips in clip_scores),
    tracks=len(tracks),
    clip_scores=tuple(tuple(float(p) for p in clips) for clips in clip_scores),
    clip_starts=tuple(tuple(int(s) for s in starts) for starts in clip_starts),
    clip_frames=clip_frames,
  )


def failed_video(video_id: str, label: int, reason: str, **known: Any) -> VideoScore:
  """The row of a video that could not be scored; `known` are further fields of `VideoScore` (dataset, split, …)."""
  return VideoScore(video_id=video_id, label=label, score=FAILED_SCORE, status="failed", reason=reason, **known)


def write_scores(path: str | os.PathLike, scores: Iterable[VideoScore]) -> None:
  """Writes a score file, whole or not at all.

  Raises:
    UserError: two rows have the same video id, or the file cannot be written.
  """
  path = as_folder(path)
  scores = list(scores)
  _refuse_duplicates([s.video_id for s in scores], path)
  file = io.StringIO(newline="")
  writer = csv.writer(file, lineterminator="\n")
  writer.writerow(COLUMNS)
  writer.writerows([_to_text(getattr(score, name)) for name in COLUMNS] for score in scores)
  try:
    write_whole(path, file.getvalue())
  except OSError as error:
    raise unwritable(path, error, "choose another output folder") from error


def read_scores(path: str | os.PathLike) -> list[VideoScore]:
  """Reads a score file.

  Raises:
    UserError: the file is missing, lacks a column that is needed, names a video twice, or holds a label other than 0
      and 1 or a score that is not a number in [0, 1].
  """
  path = as_folder(path)
  try:
    csv.field_size_limit(sys.maxsize)  # a long video's clip scores pass the module's own 131,072 characters
    reader = csv.DictReader(io.StringIO(path.read_bytes().decode("utf-8-sig"), newline=""))
    header = reader.fieldnames or []
    rows = [(reader.line_num, row) for row in reader]
  except (OSError, UnicodeDecodeError, csv.Error) as error:
    raise UserError(f"{path} cannot be read as a score file ({error}).") from error
  missing = [name for name in NEEDED if name not in header]
  if missing:
    raise UserError(
      f"{path} is not a score file: column {', '.join(missing)} is missing (it has: {', '.join(header) or 'none'}). "
      f"The columns that are needed are {', '.join(NEEDED)}."
    )
  if not rows:
    raise UserError(f"{path} has no rows: there is nothing to evaluate.")
  scores = [_to_score(row, f"{path}, line {line}") for line, row in rows]
  _refuse_duplicates([s.video_id for s in scores], path)
  return scores


def _refuse_duplicates(video_ids: list[str], path: pathlib.Path) -> None:
  seen: set[str] = set()
  for video_id in video_ids:
    if video_id in seen:
      raise UserError(
        f"{path}: video id '{video_id}' stands in two rows. Every video is scored exactly once, and its id is "
        "dataset/manipulation/compression/name: an id without the manipulation merges the forgeries of one pair."
      )
    seen.add(video_id)


def _to_text(value: object) -> str:
  if isinstance(value, tuple):
    return f" {TRACK_SEPARATOR} ".join(" ".join(repr(v) for v in track) for track in value)
  return repr(float(value)) if isinstance(value, float) else str(value)


def _to_score(row: dict[str, str | None], where: str) -> VideoScore:
  def text(name: str) -> str:
    return (row.get(name) or "").strip()

  def number(name: str, value: str, kind: type, default: float | None = None) -> Any:
    if not value and default is not None:
      return default
    try:
      return kind(value)
    except ValueError:
      raise UserError(f"{where}: {name} is '{value}', which is not a number.") from None

  def probability(name: str, value: str, default: float | None = None) -> float:
    p = number(name, value, float, default)
    if not 0 <= p <= 1:  # NaN too
      raise UserError(f"{where}: {name} is {value}, it must be a fake probability between 0 and 1.")
    return p

  def by_track(name: str, convert) -> tuple:
    return (
      tuple(tuple(convert(v) for v in track.split()) for track in text(name).split(TRACK_SEPARATOR))
      if text(name)
      else ()
    )

  if not text("video_id"):
    raise UserError(f"{where}: video_id is empty.")
  label = number("label", text("label"), float)
  if label not in (0, 1):
    raise UserError(f"{where}: label is {text('label')}, it must be 1 (fake) or 0 (real).")
  status = text("status") or "ok"
  if status not in ("ok", "failed"):
    raise UserError(f"{where}: status is '{status}', it must be ok or failed.")
  clip_scores = by_track("clip_scores", lambda v: probability("clip_scores", v))
  clip_starts = by_track("clip_starts", lambda v: number("clip_starts", v, int))
  if clip_starts and [len(t) for t in clip_starts] != [len(t) for t in clip_scores]:
    raise UserError(f"{where}: clip_starts does not name as many clips as clip_scores.")
  return VideoScore(
    video_id=text("video_id"),
    label=int(label),
    score=probability("score", text("score"), FAILED_SCORE if status == "failed" else None),
    dataset=text("dataset"),
    manipulation=text("manipulation"),
    compression=text("compression"),
    split=text("split"),
    identity=text("identity"),
    clips=number("clips", text("clips"), int, sum(map(len, clip_scores))),
    tracks=number("tracks", text("tracks"), int, len(clip_scores)),
    status=status,
    reason=text("reason"),
    clip_scores=clip_scores,
    clip_starts=clip_starts,
    clip_frames=number("clip_frames", text("clip_frames"), int, 0),
  )
