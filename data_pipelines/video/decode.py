"""Video files to RGB frames, one at a time: as a viewer sees them, with their own times, and what is wrong told."""

import collections
import dataclasses
import fractions
import pathlib
from collections.abc import Iterator, Sequence

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from data_pipelines.video import display
from data_pipelines.video.completeness import Evidence
from data_pipelines.video.repair import Repair
from dfdetect_jax.errors import UserError

# Refused before the decoder reserves memory for it: a little above 8K video (33 megapixels).
MAX_PIXELS = 36_000_000
MIN_SIDE = 16
# Formats that FFmpeg "plays" although the file is a list of other files, a text or one picture.
NOT_VIDEO = {"hls", "dash", "concat", "tty", "image2", "webvtt", "srt", "ass", "lrc", "imf", "sdp", "rtsp"}
MOST_REPEATS = 250  # pictures; a longer hole in an AVI stays one
REPEATED = "pictures are repeats of the one before (empty chunks)"
GAPS_TOLD = 3  # damaged places that are told one by one

av.logging.set_level(av.logging.PANIC)  # what is wrong with a file is said by BrokenVideo and About, once


class BrokenVideo(UserError):
  """A video that cannot be used. `reason` goes to the failures file as it stands."""

  def __init__(self, reason: str):
    super().__init__(reason)
    self.reason = reason


@dataclasses.dataclass(eq=False)
class About:
  """What a video says of itself; filled while its frames are read, complete after the last one.

  Attributes:
    width, height: of its frames as shown (turned, with square pixels), in pixels, before any reduction.
    times: presentation time of each frame in seconds since the file's beginning; NaN where nothing tells.
    cuts: frames before which something is missing, or is shown in another shape: no track may run across.
    notes: what was left out, repeated, repaired or guessed, one clause each with count and time; [] is the usual.
  """

  width: int = 0
  height: int = 0
  times: list[float] = dataclasses.field(default_factory=list)
  cuts: list[int] = dataclasses.field(default_factory=list)
  notes: list[str] = dataclasses.field(default_factory=list)

  def note(self, text: str) -> None:
    """Adds a note, once."""
    if text and text not in self.notes:
      self.notes.append(text)


@dataclasses.dataclass(frozen=True, eq=False)
class Frame:
  """One decoded frame.

  Attributes:
    index: position in the video, from 0.
    time: presentation time in seconds, see `About.times`.
    image: `[H, W, 3]` uint8 RGB, upright.
    full_size: height and width of the upright frame before any reduction, in pixels.
  """

  index: int
  time: float
  image: np.ndarray
  full_size: tuple[int, int]


def read_frames(
  path: str | pathlib.Path, max_frames: int = 0, longest: int = 0, about: About | None = None
) -> Iterator[Frame]:
  """Decodes a video frame by frame, holding one frame in memory.

  Frames are what a viewer sees: turned and mirrored by the display matrix, with square pixels, deinterlaced, high
  dynamic range mapped to a screen's. All have the size of the first one: where a stream changes its resolution, later
  frames are fitted into it. They are delivered as they are coded, one each; a variable frame rate shows in the times.
  What cannot be decoded is left out up to the next key frame and told in `about`; nothing is painted over.

  Args:
    path: a local video file of any format that FFmpeg reads.
    max_frames: stop after so many frames, 0 = all.
    longest: reduce frames to this longest side in pixels (never enlarged), 0 = full size.
    about: is filled, see `About`.

  Yields:
    The frames in presentation order.

  Raises:
    BrokenVideo: missing, empty, no video stream, absurd size, not one frame decodes, or cut short.
  """
  path = pathlib.Path(path)
  about = About() if about is None else about
  if not path.exists():
    raise BrokenVideo("no such file")
  if not path.is_file():
    raise BrokenVideo("not a file")
  if path.stat().st_size == 0:
    raise BrokenVideo("empty file (0 bytes)")
  try:
    # Most videos begin with a key frame. Some streams mark none at all and refresh their pictures bit by bit.
    for from_key_frame in (True, False):
      # `file:` keeps a name with a colon from being a protocol, the white list keeps files from naming others.
      options = {"protocol_whitelist": "file"}
      with av.open(f"file:{path}", options=options, metadata_errors="replace") as container:
        yield from _Reader(container, path, about, from_key_frame).frames(max_frames, longest)
      if about.times:
        return
      about.notes.clear()
      about.cuts.clear()
  except (av.error.FFmpegError, OSError, EOFError, ValueError, MemoryError, OverflowError) as error:
    raise BrokenVideo(f"cannot be decoded: {_short(error)}") from error
  raise BrokenVideo("no frame can be decoded")


def mean_rate(times: Sequence[float] | np.ndarray) -> float:
  """Mean frame rate (n − 1)/(t_last − t_first) in frames per second, 0 where the timestamps do not tell."""
  if len(times) < 2:
    return 0.0
  span = times[-1] - times[0]
  rate = (len(times) - 1) / span if span > 0 else 0.0  # NaN compares false
  return float(rate) if 0.1 <= rate <= 1000 else 0.0


class _Reader:
  """One pass over an opened file: packets, pictures of them, repaired ones, and these with their times."""

  def __init__(self, container: av.container.InputContainer, path: pathlib.Path, about: About, from_key_frame: bool):
    self._container, self._about = container, about
    if NOT_VIDEO & set(container.format.name.split(",")) or container.format.name.endswith("_pipe"):
      raise BrokenVideo(f"not a video ({container.format.name})")
    self._stream = stream = _main_stream(container, about)
    _check_size(stream.codec_context.width, stream.codec_context.height)
    stream.thread_count = 1  # parallel over videos, not within one
    # explode: damaged data is an error; FFmpeg's default is to paint over it.
    stream.codec_context.options = {"err_detect": "explode", "max_pixels": str(MAX_PIXELS)}
    self._rate = float(stream.average_rate or stream.guessed_rate or 0)
    self._start = (container.start_time or 0) / av.time_base
    self._evidence = Evidence(container, stream, path)
    self._waiting = self._from_key_frame = from_key_frame
    self._error: Exception | None = None
    self._first: int | None = None  # timestamp of what should be the first frame
    self._pending: set[int] = set()  # timestamps of what the decoder was given and has not given back
    self._lost, self._lost_from, self._gaps, self._sound = 0, 0.0, 0, 0
    # AVI has no presentation times: the nth picture is shown in the slot of the nth chunk that is not empty.
    self._slots: collections.deque[int | None] | None = collections.deque() if container.format.name == "avi" else None

  def frames(self, max_frames: int, longest: int) -> Iterator[Frame]:
    """See `read_frames`; nothing if no picture can be decoded."""
    about, canvas = self._about, _Canvas(longest, self._about, self._stream)
    image: np.ndarray | None = None
    last, repeats = -1, 0  # the slot of the picture before, and how often one was shown again
    for picture in self._repaired():
      if picture is None:
        about.cuts.append(len(about.times))
        image = None
        continue
      frame, at = picture
      if self._slots is not None and image is not None and at is not None and 0 < at - last - 1 <= MOST_REPEATS:
        for slot in range(last + 1, at):  # an empty chunk shows the picture before it once more
          repeats += 1
          yield Frame(len(about.times), self._clock(slot), image, (about.height, about.width))
          if len(about.times) == max_frames:
            return
        about.notes = [note for note in about.notes if not note.endswith(REPEATED)]
        about.note(f"{repeats} {REPEATED}")
      image, last = canvas.draw(frame), last if at is None else at
      yield Frame(len(about.times), self._clock(at), image, (about.height, about.width))
      if len(about.times) == max_frames:
        return
    if about.times:
      reason, note = self._evidence.verdict(self._rate)
      if reason:
        raise BrokenVideo(reason)
      about.note(note)
    elif self._error is not None and not self._from_key_frame:
      raise self._error

  def _clock(self, at: int | None) -> float:
    """Seconds of a timestamp since the file's beginning, appended to the times: they always rise."""
    times = self._about.times
    last = times[-1] if times else np.nan
    step = 1 / self._rate if self._rate else np.nan
    if at is None:
      time = (last + step if times else 0.0) if self._rate else np.nan
    else:
      time = self._seconds(at)
    if time <= last:
      if last - time > 1:
        self._about.note(f"timestamps start again at {last:.2f} s: what follows is counted on from there")
        self._about.cuts.append(len(times))
        self._start -= last + (step if self._rate else 0.04) - time
        time = self._seconds(at)
      else:  # out of order by a few frames: the order of the pictures is the decoder's
        time = last + (step if self._rate else 0.04) / 4
    times.append(time)
    return time

  def _repaired(self) -> Iterator[tuple[av.VideoFrame, int | None] | None]:
    """Pictures with their timestamps, None for a gap between two."""
    repair = Repair()
    waiting: collections.deque[int | None] = collections.deque()
    for frame in self._decoded():
      if frame is None:
        yield from ((out, waiting.popleft()) for out in repair.flush())
        yield None
        continue
      waiting.append(self._stamp(frame))
      for out in repair.feed(frame):
        yield out, waiting.popleft()
      for note in repair.notes:
        self._about.note(note)
    yield from ((out, waiting.popleft()) for out in repair.flush())

  def _stamp(self, frame: av.VideoFrame) -> int | None:
    if self._slots is None:
      return frame.pts
    return self._slots.popleft() if self._slots else None

  def _decoded(self) -> Iterator[av.VideoFrame | None]:
    """What can be decoded, None for a gap between two frames."""
    context = self._stream.codec_context
    for packet in self._packets():
      if self._waiting and not packet.is_keyframe:
        self._lose(packet)
        continue
      self._waiting = False
      try:
        if packet.is_corrupt:
          raise av.error.InvalidDataError(0, "damaged")
        if self._slots is not None:
          self._slots.append(packet.dts)
        if not self._sound and packet.pts is not None and not packet.is_discard:
          self._first = packet.pts if self._first is None else min(self._first, packet.pts)
        if packet.pts is not None and not packet.is_discard:
          self._pending.add(packet.pts)
        frames = context.decode(packet)
      except av.error.FFmpegError as error:
        self._error = error
        yield from self._told(self._before_damage(packet))
        context.flush_buffers()
        self._pending.clear()
        if self._slots is not None:
          self._slots.clear()
        self._lose(packet)
        self._waiting = True
        continue
      yield from self._told(frames)
    if not self._waiting:
      yield from self._told(self._drained())
    if self._lost and self._sound:
      self._about.note(
        f"the last {self._lost} packets, from {self._lost_from:.2f} s on, cannot be decoded and are left out"
      )
    if self._gaps > GAPS_TOLD:
      self._about.note(f"damaged at {self._gaps} places in all")

  def _packets(self) -> Iterator[av.Packet]:
    """The stream's packets; those of the other streams are evidence of where the file ends."""
    try:
      for packet in self._container.demux():
        self._evidence.see(packet)
        if packet.stream_index == self._stream.index and packet.size:  # an empty one would end the decoder
          yield packet
    except av.error.FFmpegError as error:
      self._error = error
      self._about.note(f"cannot be read to its end: {_short(error)}")

  def _before_damage(self, packet: av.Packet) -> list[av.VideoFrame]:
    """What the decoder still holds and is shown before the damaged packet, and before what it lost with it."""
    held = self._drained()
    missing = self._pending - {frame.pts for frame in held}
    end = float("inf") if packet.pts is None else min(missing | {packet.pts})
    return [frame for frame in held if frame.pts is None or frame.pts < end]

  def _drained(self) -> list[av.VideoFrame]:
    try:
      return self._stream.codec_context.decode(None)
    except av.error.FFmpegError:
      return []

  def _told(self, frames: list[av.VideoFrame]) -> Iterator[av.VideoFrame | None]:
    """The frames that are sound, with a gap and a note before the first one after something was lost."""
    for frame in frames:
      if frame.is_corrupt:
        self._lose(frame)
        if self._slots:
          self._slots.popleft()
        continue
      if self._lost:
        at = self._seconds(frame.pts)
        if not self._sound:
          self._about.note(
            f"the first {self._lost} packets ({at - self._lost_from:.2f} s) cannot be decoded (no key frame before "
            "them, or damaged) and are left out"
          )
        else:
          self._gaps += 1
          if self._gaps <= GAPS_TOLD:
            until = f", up to {at:.2f} s" if at > self._lost_from else ""
            self._about.note(f"damaged at {self._lost_from:.2f} s: {self._lost} packets are left out{until}")
          yield None
        self._lost = 0
      elif not self._sound and self._rate and self._seconds(frame.pts) - self._seconds(self._first) > 1.5 / self._rate:
        seconds = self._seconds(frame.pts) - self._seconds(self._first)
        self._about.note(f"the first {seconds:.2f} s give no picture (no key frame before them) and are left out")
      self._sound += 1
      self._pending = {pts for pts in self._pending if frame.pts is not None and pts > frame.pts}
      yield frame

  def _lose(self, what: av.Packet | av.VideoFrame) -> None:
    if not self._lost:
      self._lost_from = self._seconds(what.dts if what.pts is None else what.pts)
    self._lost += 1

  def _seconds(self, at: int | None) -> float:
    if at is None:
      return np.nan
    unit = self._stream.time_base
    assert unit is not None, "a stream that was opened has one"
    return float(at * unit) - self._start


class _Canvas:
  """Draws frames of changing shape on one canvas: the first frame's, as it is shown."""

  def __init__(self, longest: int, about: About, stream: av.VideoStream):
    self._longest, self._about, self._stream = longest, about, stream
    self._scaler = VideoReformatter()
    self._kind: tuple | None = None
    self._turn, self._size, self._canvas = display.Turn(), (0, 0), (0, 0)

  def draw(self, frame: av.VideoFrame) -> np.ndarray:
    """`[H, W, 3]` uint8; the first one fixes `About.width` and `height`, other shapes are noted."""
    pixel = self._stream.sample_aspect_ratio or self._stream.codec_context.sample_aspect_ratio
    # Not the whole matrix each time: looking at a frame's side data keeps the frame alive up to a garbage collection.
    kind = (frame.width, frame.height, frame.rotation, pixel)
    if kind != self._kind:
      self._change(frame, pixel)
      self._kind = kind
    return display.draw(self._scaler, frame, self._turn, self._size, self._canvas)

  def _change(self, frame: av.VideoFrame, pixel: fractions.Fraction | None) -> None:
    about = self._about
    _check_size(frame.width, frame.height)
    self._turn = display.turn_of(frame)
    size = display.shown_size(frame.width, frame.height, pixel, self._turn)
    _check_size(*size)
    if not self._turn.exact:
      about.note("its display matrix turns by other than quarter turns: followed to the nearest one")
    if self._kind is None:
      about.width, about.height = size
      scale = min(1.0, self._longest / max(size)) if self._longest else 1.0
      self._canvas = self._size = max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
    else:
      self._size = display.fitted(*size, self._canvas)
      first = f"{about.width}x{about.height}"
      about.note(f"pictures change to {size[0]}x{size[1]} at {about.times[-1]:.2f} s: fitted into the first {first}")
      if self._size != self._canvas or about.width * size[1] != about.height * size[0]:
        about.cuts.append(len(about.times))


def _main_stream(container: av.container.InputContainer, about: About) -> av.VideoStream:
  """The video stream that a player shows: the default one, of several the largest."""
  streams = [s for s in container.streams.video if not _is_cover(s)]
  if not streams:
    raise BrokenVideo("no video stream (audio only?)" if container.streams.audio else "no video stream")
  known = [s for s in streams if s.codec_context is not None]
  if not known:
    raise BrokenVideo("no decoder for its video stream")

  def rank(stream: av.VideoStream) -> tuple[bool, int]:
    default = bool(stream.disposition & av.stream.Disposition.default)
    return default, stream.codec_context.width * stream.codec_context.height

  best = max(known, key=rank)
  if len(streams) > 1:
    size = f"{best.codec_context.width}x{best.codec_context.height}"
    about.note(f"{len(streams)} video streams: number {streams.index(best) + 1} is used ({size})")
  return best


def _is_cover(stream: av.VideoStream) -> bool:
  """Whether the stream is the cover picture of an audio file."""
  return bool(stream.disposition & av.stream.Disposition.attached_pic)


def _check_size(width: int, height: int) -> None:
  # 0 = the header does not say; the first frame does.
  if width * height > MAX_PIXELS:
    raise BrokenVideo(f"absurd frame size {width}x{height}")
  if (width or height) and min(width, height) < MIN_SIDE:
    raise BrokenVideo(f"frames of {width}x{height} pixels are too small")


def _short(error: Exception) -> str:
  """The error's own words without the path and the error number."""
  return (getattr(error, "strerror", None) or str(error) or type(error).__name__).split(":")[0].strip()
