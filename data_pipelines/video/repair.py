"""Filters between decoder and picture: two interlaced fields become one picture, high dynamic range fits a screen."""

import fractions
import functools
import threading
from collections.abc import Iterator

import av
import av.filter

# Transfer functions of ITU-R BT.2100 by their number in ITU-T H.273.
HIGH_DYNAMIC_RANGE = {16: "PQ", 18: "HLG"}


class Repair:
  """One in, one out, in order; frames that need nothing pass untouched until the first interlaced one.

  Attributes:
    notes: what was done, one clause each.
  """

  def __init__(self):
    self.notes: list[str] = []
    self._graph: av.filter.Graph | None = None
    self._kind: tuple | None = None
    self._waiting: list[av.VideoFrame] = []  # given to the filter and not yet come out

  def feed(self, frame: av.VideoFrame) -> Iterator[av.VideoFrame]:
    """Takes a frame and yields those that are ready, none or several."""
    if self._kind is None and not frame.interlaced_frame:
      yield self._mapped(frame)
      return
    # From the first interlaced frame on: the filter looks a frame ahead, and lets progressive ones pass.
    self._note("interlaced: deinterlaced (bwdif, one picture a frame)")
    kind = (frame.width, frame.height, frame.format.name)
    if self._graph is None or kind != self._kind:
      yield from self.flush()
      self._kind = kind
      self._graph = _chain(*kind, ("bwdif", "mode=send_frame:parity=auto:deint=interlaced"))
    self._waiting.append(frame)
    self._graph.push(frame)
    yield from self._ready()

  def flush(self) -> Iterator[av.VideoFrame]:
    """Yields what is still held: before a gap, over which nothing may be mixed, and at the end."""
    if self._graph is not None:
      self._graph.push(None)
      yield from self._ready()
    yield from map(self._mapped, self._waiting)  # a lone frame has no neighbour to be filtered with
    self._waiting, self._graph = [], None

  def _ready(self) -> Iterator[av.VideoFrame]:
    assert self._graph is not None, "something was pushed into it"
    while True:
      try:
        frame = self._graph.pull()
      except (av.error.BlockingIOError, av.error.EOFError):
        return
      assert isinstance(frame, av.VideoFrame), "what comes out is what was put in"
      del self._waiting[0]
      yield self._mapped(frame)

  def _mapped(self, frame: av.VideoFrame) -> av.VideoFrame:
    name = HIGH_DYNAMIC_RANGE.get(frame.color_trc)
    if name is None:
      return frame
    self._note(f"high dynamic range ({name}): tone-mapped to BT.709")
    return tone_mapped(frame)

  def _note(self, text: str) -> None:
    if text not in self.notes:
      self.notes.append(text)


_one_at_a_time = threading.Lock()


def tone_mapped(frame: av.VideoFrame) -> av.VideoFrame:
  """A frame of high dynamic range as a screen shows it (BT.709), RGB."""
  colours = frame.color_trc, frame.color_primaries, frame.colorspace, frame.color_range
  with _one_at_a_time:
    graph = _tone_mapping(frame.width, frame.height, frame.format.name, *colours)
    graph.push(frame)
    shown = graph.pull()
    assert isinstance(shown, av.VideoFrame), "what comes out is what was put in"
    return shown


@functools.lru_cache(maxsize=2)
def _tone_mapping(width: int, height: int, pixels: str, *colours: int) -> av.filter.Graph:
  """The filter for frames of one kind: its table takes seconds to compute, hence kept for other videos."""
  del colours  # known to the filter by the frames
  # "perceptual" maps the whole range of light; the default cuts off what a screen cannot show.
  how = "out_transfer=bt709:out_primaries=bt709:out_color_matrix=bt709:intent=perceptual"
  return _chain(width, height, pixels, ("scale", how), ("format", "rgb24"))


def _chain(width: int, height: int, pixels: str, *filters: tuple[str, str]) -> av.filter.Graph:
  graph = av.filter.Graph()
  source = graph.add_buffer(width=width, height=height, format=av.VideoFormat(pixels), time_base=fractions.Fraction(1))
  links = [source, *(graph.add(*spec) for spec in filters), graph.add("buffersink")]
  for a, b in zip(links, links[1:]):
    a.link_to(b)
  graph.configure()
  return graph
