"""Seconds: when a track's frames are shown, how long the video is, which stretches of it have no score."""

import pathlib
from collections.abc import Iterator, Sequence

import av
import numpy as np

from data_pipelines.faces.face_tracks import FaceTrack
from data_pipelines.video.decode import Frame
from dfdetect_jax.prediction.progress import Progress
from dfdetect_jax.prediction.verdict import Gap

ASSUMED_RATE = 25.0  # frames per second of a stream without timestamps, as players assume
LONGEST_FRAME = 0.5  # seconds that the last frame of a track is believed to be shown
SHORTEST_GAP = 0.1  # seconds


class Clock:
  """When the frames of a video are shown, by their own times; the mean rate goes on where they do not tell.

  Args:
    track: any face of the video, for the rate and the number of frames.
    seen: time of each frame from the first on, as far as the video was read; NaN where a stream tells none.
  """

  def __init__(self, track: FaceTrack, seen: Sequence[float]):
    step = 1 / (track.fps or ASSUMED_RATE)
    times: np.ndarray = np.asarray(seen[: track.video_frames], np.float64)
    if not len(times) or not np.isfinite(times).all():
      times = np.arange(len(times)) * step
    rest = np.arange(1, track.video_frames - len(times) + 2) * step
    self._times = np.concatenate([times, rest + (times[-1] if len(times) else -step)])

  def of(self, track: FaceTrack) -> np.ndarray:
    """When each of a track's n frames is shown, and last when the last one ends, in seconds, float64 `[n + 1]`."""
    times = self._times[track.first_frame : track.first_frame + track.frames + 1].copy()
    step = times[-2] - times[-3] if len(times) > 2 else times[-1] - times[-2]
    if times[-1] - times[-2] > max(LONGEST_FRAME, 4 * step):  # what follows is missing: the frame was not shown so long
      times[-1] = times[-2] + step
    return times

  @property
  def first(self) -> float:
    """When the video's first frame is shown."""
    return float(self._times[0])

  @property
  def seconds(self) -> float:
    """When the video's last frame ends."""
    return float(self._times[-1])


def gaps(first: float, seconds: float, scored: Sequence[np.ndarray], short: Sequence[np.ndarray]) -> list[Gap]:
  """The stretches of a video that no scored track covers.

  Args:
    first: when its first frame is shown.
    seconds: length of the video.
    scored: the times of each scored track, see `Clock.of`.
    short: those of the faces that were too short to be scored.

  Returns:
    Gaps of at least `SHORTEST_GAP`, in order.
  """
  found, end = [], 0.0
  for clock in [*sorted(scored, key=lambda c: c[0]), np.array([seconds, seconds])]:
    if clock[0] - end >= SHORTEST_GAP:
      faces = [c for c in short if c[0] < clock[0] and c[-1] > end]
      longest = max((c[-1] - c[0] for c in faces), default=0.0)
      reason = f"a face, but for {longest:.2f} s at most on end: too short for a clip" if faces else "no face"
      if clock[0] <= first:
        reason = "no picture that can be decoded"
      found.append(Gap(start_second=round(end, 3), end_second=round(float(clock[0]), 3), reason=reason))
    end = max(end, float(clock[-1]))
  return found


def expected_frames(path: str) -> int:
  """About how many frames a video has, by its header; 0 where that does not tell."""
  try:
    with av.open(f"file:{pathlib.Path(path)}", options={"protocol_whitelist": "file"}, metadata_errors="replace") as c:
      stream = c.streams.video[0]
      own = stream.duration and stream.time_base and stream.duration * stream.time_base
      seconds = own or (c.duration or 0) / av.time_base
      return stream.frames or int(seconds * (stream.average_rate or 0))
  except (av.error.FFmpegError, OSError, IndexError, ValueError):
    return 0  # what is wrong with it is told by whoever decodes it


def timed(frames: Iterator[Frame], seen: list[float], progress: Progress) -> Iterator[Frame]:
  """The same frames, told to `progress`, their times appended to `seen`."""
  for frame in frames:
    seen.append(frame.time)
    yield frame
    progress.update(1)
