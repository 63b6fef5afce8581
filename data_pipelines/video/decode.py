"""Video files to RGB frames, one at a time: rotation obeyed, timestamps delivered, damage told in one sentence."""

import dataclasses
import pathlib
from collections.abc import Iterator, Sequence

import av
import numpy as np

from dfdetect_jax.errors import UserError

# Refused before the decoder reserves memory for it: a little above 8K video (33 megapixels).
MAX_PIXELS = 36_000_000
MIN_SIDE = 16
# Formats that FFmpeg "plays" although the file is a list of other files, a text or one picture.
NOT_VIDEO = {"hls", "dash", "concat", "tty", "image2", "webvtt", "srt", "ass", "lrc", "imf", "sdp", "rtsp"}

av.logging.set_level(av.logging.PANIC)  # what is wrong with a file is said by BrokenVideo, once


class BrokenVideo(UserError):
  """A video that cannot be used. `reason` goes to the failures file as it stands."""

  def __init__(self, reason: str):
    super().__init__(reason)
    self.reason = reason


@dataclasses.dataclass(frozen=True, eq=False)
class Frame:
  """One decoded frame.

  Attributes:
    index: position in the video, from 0.
    time: presentation time in seconds; from the mean rate where the stream carries no timestamps, NaN without either.
    image: `[H, W, 3]` uint8 RGB, upright.
    full_size: height and width of the upright frame before any reduction, in pixels.
  """

  index: int
  time: float
  image: np.ndarray
  full_size: tuple[int, int]


def read_frames(path: str | pathlib.Path, max_frames: int = 0, longest: int = 0) -> Iterator[Frame]:
  """Decodes a video frame by frame, holding one frame in memory.

  Every frame has the size and the rotation of the first one: where a stream changes its resolution, later frames are
  resized. Frames are delivered as they are coded, one each; a variable frame rate shows in `Frame.time`.

  Args:
    path: a local video file of any format that FFmpeg reads.
    max_frames: stop after so many frames, 0 = all.
    longest: reduce frames to this longest side in pixels (never enlarged), 0 = full size.

  Yields:
    The frames in presentation order.

  Raises:
    BrokenVideo: missing, empty, no video stream, absurd size, damaged or truncated.
  """
  path = pathlib.Path(path)
  if not path.exists():
    raise BrokenVideo("no such file")
  if not path.is_file():
    raise BrokenVideo("not a file")
  if path.stat().st_size == 0:
    raise BrokenVideo("empty file (0 bytes)")
  try:
    # `file:` keeps a name with a colon from being taken for a protocol, the white list keeps files from naming others.
    options = {"protocol_whitelist": "file"}
    with av.open(f"file:{path}", options=options, metadata_errors="replace") as container:
      yield from _frames(container, max_frames, longest)
  except (av.error.FFmpegError, OSError, EOFError, ValueError, MemoryError, OverflowError) as error:
    raise BrokenVideo(f"cannot be decoded: {_short(error)}") from error


def mean_rate(times: Sequence[float]) -> float:
  """Mean frame rate (n − 1)/(t_last − t_first) in frames per second, 0 where the timestamps do not tell."""
  if len(times) < 2:
    return 0.0
  span = times[-1] - times[0]
  rate = (len(times) - 1) / span if span > 0 else 0.0  # NaN compares false
  return rate if 0.1 <= rate <= 1000 else 0.0


def _frames(container: av.container.InputContainer, max_frames: int, longest: int) -> Iterator[Frame]:
  if NOT_VIDEO & set(container.format.name.split(",")) or container.format.name.endswith("_pipe"):
    raise BrokenVideo(f"not a video ({container.format.name})")
  streams = [s for s in container.streams.video if not _is_cover(s)]
  if not streams:
    raise BrokenVideo("no video stream (audio only?)" if container.streams.audio else "no video stream")
  stream = streams[0]
  if stream.codec_context is None:
    raise BrokenVideo("no decoder for its video stream")
  _check_size(stream.codec_context.width, stream.codec_context.height)
  stream.thread_count = 1  # parallel over videos, not within one
  # explode: damaged data is an error; FFmpeg's default is to paint over it.
  stream.codec_context.options = {"err_detect": "explode", "max_pixels": str(MAX_PIXELS)}
  rate = float(stream.average_rate or stream.guessed_rate or 0)
  index = packets = 0
  width = height = rotation = 0
  for packet in container.demux(stream):
    packets += packet.size > 0
    if packet.is_corrupt:
      raise BrokenVideo(f"truncated or damaged after frame {index}")
    for frame in packet.decode():
      if frame.is_corrupt:
        raise BrokenVideo(f"damaged at frame {index}")
      if index == 0:
        _check_size(frame.width, frame.height)
        width, height, rotation = frame.width, frame.height, round(frame.rotation / 90) % 4
      scale = min(1.0, longest / max(width, height)) if longest else 1.0
      size = {"width": max(1, round(width * scale)), "height": max(1, round(height * scale))}
      image = frame.reformat(**size, format="rgb24", interpolation="AREA" if scale < 1 else "BILINEAR").to_ndarray()
      time = index / rate if frame.time is None and rate else (np.nan if frame.time is None else float(frame.time))
      upright = (width, height) if rotation % 2 else (height, width)
      yield Frame(index, time, np.ascontiguousarray(np.rot90(image, rotation)), upright)
      index += 1
      if index == max_frames:
        return
  if not index:
    raise BrokenVideo("no frame can be decoded")
  if packets < stream.frames:  # the header's count; 0 where the format has none
    raise BrokenVideo(f"truncated: {packets} of {stream.frames} frames")


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
