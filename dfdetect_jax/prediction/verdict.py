"""What judging a video gives: plain values that a program can keep, and that `--json` writes as they are."""

import dataclasses
import os
from typing import Any

VERDICTS = ("fake", "undecided", "real")
# Stands where there is no verdict.
FAILED = "failed"


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClipScore:
  """One scored clip of a face track.

  Attributes:
    first_frame, last_frame: index in the video of its first and last frame.
    start_second, end_second: when its first frame is shown, and until when its last one is, by the frames' own times.
    score: probability of "fake" in [0, 1], as the model gives it.
    counts: whether it is one of the method's own test clips, whose mean is the track's score; False for clips of dense
      scoring, which show when and do not decide.
    box: x1, y1, x2, y2 of the face in its middle frame, in pixels of the video.
    frames: where the model gives a logit per frame, (index in the video, second, probability) of each.
  """

  first_frame: int
  last_frame: int
  start_second: float
  end_second: float
  score: float
  counts: bool
  box: tuple[float, float, float, float]
  frames: tuple[tuple[int, float, float], ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrackScore:
  """One face that was followed through consecutive frames.

  Attributes:
    track: number, from 1, in order of time.
    first_frame, frames: index in the video of its first frame, and how many there are.
    start_second, end_second: from when to when.
    score: mean over its clips that count.
    weight: its share in the video's score under the rule in `VideoVerdict.rule`; 0 where it does not decide.
    clips: in order of time.
    face: the face as the model saw it, a picture as data URI.
  """

  track: int
  first_frame: int
  frames: int
  start_second: float
  end_second: float
  score: float
  weight: float
  clips: tuple[ClipScore, ...]
  face: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Gap:
  """A stretch of the video that no score is about, and why."""

  start_second: float
  end_second: float
  reason: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class VideoVerdict:
  """What is said of one video.

  Attributes:
    path: of the video.
    status: "ok", or "failed" for a video that could not be judged, with `reason`.
    verdict: "fake", "real" or "undecided"; "" if it failed.
    score: over the face tracks, in [0, 1], as the model gives it; None if it failed.
    probability: the score calibrated on validation, None without one (see `calibration.Decision`).
    threshold, lower, upper: what the score was compared with.
    rule: how the tracks' scores become the video's, a sentence.
    seconds, video_frames: length of the video, as far as it could be looked through.
    tracks: those that were scored, in order of time.
    not_scored: stretches of the video without a score.
    notes: what was left out, replaced or assumed.
  """

  path: str
  status: str = "ok"
  reason: str = ""
  verdict: str = ""
  score: float | None = None
  probability: float | None = None
  threshold: float = 0.5
  lower: float = 0.5
  upper: float = 0.5
  rule: str = ""
  seconds: float = 0.0
  video_frames: int = 0
  tracks: tuple[TrackScore, ...] = ()
  not_scored: tuple[Gap, ...] = ()
  notes: tuple[str, ...] = ()

  def to_json(self) -> dict[str, Any]:
    """All fields as JSON-able values; a path that is not UTF-8 is escaped, its bytes stand beside it in hexadecimal."""
    content = dataclasses.asdict(self) | {"path": shown(self.path)}
    if shown(self.path) != self.path:
      content["path_bytes"] = os.fsencode(self.path).hex()
    return content

  @classmethod
  def from_json(cls, content: dict[str, Any]) -> "VideoVerdict":
    """The verdict that `to_json` gave."""
    known = dict(content)
    if "path_bytes" in known:
      known["path"] = os.fsdecode(bytes.fromhex(known.pop("path_bytes")))
    tracks = []
    for track in known["tracks"]:
      clips = [
        ClipScore(**c | {"box": tuple(c["box"]), "frames": tuple(map(tuple, c["frames"]))}) for c in track["clips"]
      ]
      tracks.append(TrackScore(**track | {"clips": tuple(clips)}))
    gaps = tuple(Gap(**gap) for gap in known["not_scored"])
    return cls(**known | {"tracks": tuple(tracks), "not_scored": gaps, "notes": tuple(known["notes"])})


def shown(path: str | os.PathLike) -> str:
  """A path as one line of text: what is not UTF-8, and control characters, are escaped with backslashes."""
  text = os.fsencode(path).decode("utf-8", "backslashreplace")
  return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
