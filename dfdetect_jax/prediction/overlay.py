"""The video with its verdict in it: a box around each face with the score of the clip that it is in, and below it the
scores over the whole video. Frames keep their times, sound is kept."""

import pathlib
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

import av
import cv2
import numpy as np

from data_pipelines.faces.face_tracks import FaceTrack
from data_pipelines.video import decode
from dfdetect_jax.errors import unwritable
from dfdetect_jax.folders import sweep_partial, whole
from dfdetect_jax.prediction.progress import Progress
from dfdetect_jax.prediction.timeline import COLOURS, steps
from dfdetect_jax.prediction.verdict import TrackScore, VideoVerdict, shown

TIME_BASE = Fraction(1, 90_000)
# Sound that MP4 holds as it is; other sound becomes AAC, which has these rates and numbers of channels.
COPIED = {"aac", "mp3", "ac3", "eac3", "alac", "opus", "flac"}
AAC_RATES = {96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350}
GAP = 0.1  # seconds; timestamps of many formats are rough below it
AAC_LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}
_RGB = {name: (int(c[1:3], 16), int(c[3:5], 16), int(c[5:7], 16)) for name, c in COLOURS.items()}


def write_overlay(
  verdict: VideoVerdict, tracks: Sequence[FaceTrack], path: pathlib.Path, progress: Progress | None = None
) -> list[str]:
  """Writes the annotated video as MP4 (H.264), whole or not at all.

  Args:
    verdict: with status "ok".
    tracks: the faces that it is about, in the order of their numbers.
    path: of the new video.
    progress: told how far it is.

  Returns:
    What became of sound that is not copied as it is, a sentence each.

  Raises:
    UserError: it cannot be written.
  """
  sweep_partial(path.parent, path.name)
  if progress:
    progress.stage("writing the annotated video", verdict.video_frames)
  try:
    with whole(path) as partial, av.open(str(partial), "w", format="mp4") as output:
      return _write(verdict, tracks, output, progress)
  except (OSError, av.error.FFmpegError) as error:
    raise unwritable(shown(path), error, "choose another --overlay") from error
  finally:
    if progress:
      progress.close()


def _write(verdict: VideoVerdict, tracks: Sequence[FaceTrack], output, progress: Progress | None) -> list[str]:
  # Without B-frames: MP4 takes the length of a video of variable rate from the order of decoding.
  picture = output.add_stream("libx264", options={"preset": "veryfast", "crf": "20", "bf": "0"})
  picture.time_base = picture.codec_context.time_base = TIME_BASE
  with _Sound(verdict.path, output) as sound:
    painter, start, waiting = None, 0.0, None
    rate = verdict.video_frames / verdict.seconds if verdict.seconds else 25.0
    for frame in decode.read_frames(verdict.path):
      time = frame.time if np.isfinite(frame.time) else frame.index / rate
      if painter is None:
        painter, start = _Painter(verdict, tracks, frame.image.shape[:2]), min(time, 0.0)
        picture.width, picture.height, picture.pix_fmt = painter.width, painter.height, "yuv420p"
      image = painter.paint(frame.image, frame.index, time)
      drawn = av.VideoFrame.from_ndarray(image, format="rgb24")
      at = round((time - start) / TIME_BASE)
      drawn.pts, drawn.time_base = at, TIME_BASE
      # A frame lasts until the next one, which is known only then.
      if waiting is not None:
        last, began = waiting
        _send(output, picture, last, at - began)
        sound.until(began * TIME_BASE)
      waiting = drawn, at
      if progress:
        progress.update(1)
    if waiting is not None:
      _send(output, picture, waiting[0], round((1 / rate) / TIME_BASE))
    for packet in picture.encode(None):
      output.mux(packet)
    sound.until(None)
    return sound.notes


def _send(output, stream, frame: av.VideoFrame, duration: int) -> None:
  frame.duration = max(1, duration)
  for packet in stream.encode(frame):
    output.mux(packet)


class _Painter:
  """Draws on frames of one size; the picture is made even, and higher by the strip of scores."""

  def __init__(self, verdict: VideoVerdict, tracks: Sequence[FaceTrack], size: tuple[int, int]):
    self._verdict, self._tracks = verdict, tracks
    high, wide = size
    self.width = wide + wide % 2
    self._scale = max(min(high, wide) / 480, 0.4)
    self._strip = 2 * max(10, round(high / 40))
    self.height = high + high % 2 + self._strip
    self._thick = max(1, round(2 * self._scale))
    self._timeline = self._drawn_timeline()

  def paint(self, image: np.ndarray, index: int, time: float) -> np.ndarray:
    """`[height, width, 3]` uint8 RGB."""
    canvas = np.zeros((self.height, self.width, 3), np.uint8)
    high, wide = image.shape[:2]
    canvas[:high, :wide] = image
    for track, scored in zip(self._tracks, self._verdict.tracks, strict=True):
      inside = index - track.first_frame
      if 0 <= inside < track.frames:
        self._face(canvas, track.boxes[inside], scored, index, time)
    canvas[-self._strip :] = self._timeline
    cursor = int(np.clip(time / max(self._verdict.seconds, 1e-6), 0, 1) * (self.width - 1))
    cv2.line(canvas, (cursor, self.height - self._strip), (cursor, self.height - 1), (255, 255, 255), self._thick)
    verdict = f"{self._verdict.verdict.upper()} {self._verdict.score:.2f}"
    self._text(canvas, verdict, (round(8 * self._scale), round(24 * self._scale)), _RGB[self._verdict.verdict])
    return canvas

  def _face(self, canvas: np.ndarray, box: np.ndarray, scored: TrackScore, index: int, time: float) -> None:
    score = score_at(scored, index)
    name = self._name(scored.score if score is None else score)
    (x1, y1), (x2, y2) = np.round(box[:2]).astype(int).tolist(), np.round(box[2:]).astype(int).tolist()
    # A thin box: no clip is about this moment.
    cv2.rectangle(canvas, (x1, y1), (x2, y2), _RGB[name], self._thick if score is not None else 1)
    label = f"{scored.track}" + ("" if score is None else f": {score:.2f}")
    self._text(canvas, label, (x1, max(y1 - round(6 * self._scale), round(16 * self._scale))), _RGB[name])

  def _text(self, canvas: np.ndarray, text: str, at: tuple[int, int], colour: tuple[int, int, int]) -> None:
    size, thick = 0.6 * self._scale, self._thick
    cv2.putText(canvas, text, at, cv2.FONT_HERSHEY_SIMPLEX, size, (0, 0, 0), 3 * thick, cv2.LINE_AA)
    light = tuple(min(255, c + 70) for c in colour)
    cv2.putText(canvas, text, at, cv2.FONT_HERSHEY_SIMPLEX, size, light, thick, cv2.LINE_AA)

  def _name(self, score: float) -> str:
    return "fake" if score > self._verdict.upper else "real" if score <= self._verdict.lower else "undecided"

  def _drawn_timeline(self) -> np.ndarray:
    """The highest score of any face at each time: height and colour."""
    strip = np.full((self._strip, self.width, 3), 24, np.uint8)
    best = np.full(self.width, np.nan)
    for track in self._verdict.tracks:
      for start, end, score, _ in steps(track):
        a, b = (int(self.width * second / max(self._verdict.seconds, 1e-6)) for second in (start, end))
        best[a : max(b, a + 1)] = np.fmax(best[a : max(b, a + 1)], score)
    for x in np.nonzero(np.isfinite(best))[0]:
      strip[round((1 - best[x]) * 0.8 * self._strip) :, x] = _RGB[self._name(best[x])]
    return strip


def score_at(track: TrackScore, index: int) -> float | None:
  """Mean score of the clips (or the score of the frame itself) that a frame of the video is in, None in none."""
  found = []
  for clip in track.clips:
    if clip.frames:
      found += [score for frame, _, score in clip.frames if frame == index]
    elif clip.first_frame <= index <= clip.last_frame:
      found.append(clip.score)
  return float(np.mean(found)) if found else None


class _Sound:
  """The sound of a video, copied into another as the pictures go on, so that neither waits in memory.

  Attributes:
    notes: what was not copied as it is.
  """

  def __init__(self, path: str, output):
    self.notes: list[str] = []
    self._output = output
    self._streams: dict[int, tuple[Any, av.AudioResampler | None]] = {}  # by index: where its sound goes, and how
    self._ended: dict[int, int] = {}  # by stream, samples
    self._container = av.open(f"file:{path}", options={"protocol_whitelist": "file"}, metadata_errors="replace")
    self._offset = (self._container.start_time or 0) * Fraction(1, av.time_base)
    for stream in self._container.streams.audio:
      context = stream.codec_context
      if context is None:
        self.notes.append(f"sound track {stream.index} is of an unknown kind and is left out.")
      elif context.codec.canonical_name in COPIED:
        self._streams[stream.index] = (output.add_stream_from_template(stream), None)
      else:
        rate = context.sample_rate if context.sample_rate in AAC_RATES else 48_000
        layout = AAC_LAYOUTS.get(context.layout.nb_channels, "stereo")
        target = output.add_stream("aac", rate=rate, layout=layout)
        self._streams[stream.index] = (target, av.AudioResampler("fltp", layout, rate))
        self.notes.append(f"sound ({context.codec.canonical_name}), which MP4 cannot hold, became AAC.")
    self._packets = self._demuxed()

  def __enter__(self):
    return self

  def __exit__(self, *error):
    self._container.close()

  def until(self, second: Fraction | None) -> None:
    """Writes the sound up to a second, None: all that is left."""
    for at, packets in self._packets:
      for packet in packets:
        self._output.mux(packet)
      if second is not None and at is not None and at >= second:
        return

  def _demuxed(self) -> Iterator[tuple[Fraction | None, list[av.Packet]]]:
    streams = [s for s in self._container.streams.audio if s.index in self._streams]
    if not streams:
      return
    lost = 0
    for packet in self._container.demux(streams):
      target, resampler = self._streams[packet.stream.index]
      base = packet.stream.time_base
      assert base is not None, "a stream that packets came from"
      at = None if packet.pts is None else packet.pts * base - self._offset
      if resampler:
        try:
          frames = packet.decode()
        except av.error.FFmpegError:
          lost += 1
          continue
        for frame in frames:
          assert isinstance(frame, av.AudioFrame), "of a stream of sound"
          begin = None
          if frame.pts is not None and frame.time_base is not None:
            begin = round((frame.pts * frame.time_base - self._offset) * resampler.rate)
          for sampled in resampler.resample(frame):
            yield at, target.encode(self._placed(sampled, packet.stream.index, begin))
      elif packet.size and packet.pts is not None:
        packet.pts -= int(self._offset / base)
        packet.dts = packet.dts and packet.dts - int(self._offset / base)
        packet.stream = target
        yield at, [packet]
    for index, (target, resampler) in self._streams.items():
      if resampler:
        for sampled in resampler.resample(None):
          yield None, target.encode(self._placed(sampled, index, None))
        yield None, target.encode(None)
    if lost:
      self.notes.append(f"{lost} packets of sound cannot be decoded and are left out.")

  def _placed(self, frame: av.AudioFrame, index: int, begin: int | None) -> av.AudioFrame:
    """The samples where those before them end; where they are told to begin, only at the start and after a gap."""
    ended = self._ended.get(index)
    if ended is None or begin is not None and begin - ended > GAP * frame.sample_rate:
      ended = max(begin or 0, 0)
    frame.pts, frame.time_base = ended, Fraction(1, frame.sample_rate)
    self._ended[index] = ended + frame.samples
    return frame
