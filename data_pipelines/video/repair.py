"""Filters between decoder and picture: two interlaced fields become one picture, high dynamic range fits a screen."""

import collections
from collections.abc import Iterator

import av
import av.filter

from data_pipelines.video.display import HIGH_DYNAMIC_RANGE

DEINTERLACED = "interlaced: deinterlaced (bwdif, one picture a frame)"


class Repair:
  """One in, one out, in order; frames that need nothing pass untouched until the first one that does.

  Attributes:
    notes: what was done, one sentence each.
  """

  def __init__(self):
    self.notes: list[str] = []
    self._graph: av.filter.Graph | None = None
    self._kind: tuple = ()
    self._interlaced = False
    self._waiting: collections.deque[av.VideoFrame] = collections.deque()  # pushed and not yet come out

  def feed(self, frame: av.VideoFrame) -> Iterator[av.VideoFrame]:
    """Takes a frame and yields those that are ready, none or several."""
    # From the first interlaced frame on: the filter looks a frame ahead, and lets progressive ones pass.
    self._interlaced = self._interlaced or frame.interlaced_frame
    hdr = HIGH_DYNAMIC_RANGE.get(frame.color_trc, "")
    if not self._interlaced and not hdr:
      yield from self.flush()
      yield frame
      return
    kind = (frame.width, frame.height, frame.format.name, self._interlaced, frame.color_trc, frame.colorspace)
    if kind != self._kind:
      yield from self.flush()
      self._graph, self._kind = _graph(frame, self._interlaced, bool(hdr)), kind
      self._note(DEINTERLACED if self._interlaced else "")
      self._note(f"high dynamic range ({hdr}): tone-mapped to BT.709" if hdr else "")
    self._waiting.append(frame)
    self._graph.push(frame)
    yield from self._ready()

  def flush(self) -> Iterator[av.VideoFrame]:
    """Yields what the filter still holds: before a gap, over which nothing may be mixed, and at the end."""
    if self._graph is not None:
      self._graph.push(None)
      yield from self._ready()
    yield from self._waiting  # a lone frame has no neighbour to be filtered with
    self._waiting.clear()
    self._graph, self._kind = None, ()

  def _ready(self) -> Iterator[av.VideoFrame]:
    while True:
      try:
        frame = self._graph.pull()
      except (av.error.BlockingIOError, av.error.EOFError):
        return
      self._waiting.popleft()
      yield frame

  def _note(self, text: str) -> None:
    if text and text not in self.notes:
      self.notes.append(text)


def _graph(frame: av.VideoFrame, interlaced: bool, hdr: bool) -> av.filter.Graph:
  graph = av.filter.Graph()
  base = frame.time_base or 1
  links = [graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=base)]
  if interlaced:
    links.append(graph.add("bwdif", "mode=send_frame:parity=auto:deint=interlaced"))
  if hdr:
    # "perceptual" maps the whole range of light; the default cuts off what a screen cannot show.
    how = "out_transfer=bt709:out_primaries=bt709:out_color_matrix=bt709:intent=perceptual"
    links += [graph.add("scale", how), graph.add("format", "rgb24")]
  links.append(graph.add("buffersink"))
  for a, b in zip(links, links[1:]):
    a.link_to(b)
  graph.configure()
  return graph
