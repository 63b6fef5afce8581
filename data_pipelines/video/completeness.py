"""Whether a file is all there, by what its container's bytes, index, durations and packets say together.

None of them is enough. A header counts frames that an edit list hides, that empty chunks stand for or that share a
packet; a duration is the longest stream's, and often wrong; an index lies at the end, where a cut takes it away.
"""

import pathlib

import av

SLACK = 0.25  # seconds by which a header's duration may be off; two frames where these are longer
STATED = {"matroska", "flv", "asf", "mov"}  # their headers state a duration; others' is estimated from what there is


class Evidence:
  """Gathers what a file shows while it is read."""

  def __init__(self, container: av.container.InputContainer, stream: av.VideoStream, path: pathlib.Path):
    self._container, self._stream = container, stream
    self._names = set(container.format.name.split(","))
    self._bytes, self._stated_bytes = path.stat().st_size, stated_bytes(path)
    self._indexed = len(stream.index_entries) > 0
    self._ends_properly = "gif" not in self._names or path.read_bytes().rstrip(b"\0").endswith(b";")
    self._from, self._until, self._slots = float("inf"), float("-inf"), 0

  def see(self, packet: av.Packet) -> None:
    """Takes note of a packet of any stream."""
    at = packet.dts if packet.pts is None else packet.pts
    if at is None or packet.time_base is None:
      return
    start = float(at * packet.time_base)
    self._from = min(self._from, start)
    self._until = max(self._until, start + float((packet.duration or 0) * packet.time_base))
    if packet.stream_index == self._stream.index and packet.dts is not None:
      self._slots = max(self._slots, packet.dts + 1)

  def verdict(self, rate: float) -> tuple[str, str]:
    """What is to be said when the last packet has been read.

    Args:
      rate: frames per second, 0 if unknown.

    Returns:
      A reason to refuse the file, and a note on one that is used; "" for none.
    """
    cut = self._stated_bytes > self._bytes
    entries = self._stream.index_entries if "mov" in self._names else ()
    beyond = sum(entry.pos + entry.size > self._bytes for entry in entries)
    if beyond > 1:
      return f"truncated: {beyond} of the {len(entries)} frames in its index lie beyond the file's end", ""
    if beyond:
      return "", "the file ends within its last frame, which is left out"
    if "avi" in self._names:
      lacking = self._stream.frames - self._slots
      told = f"{self._slots} of {self._stream.frames} frames"
      if lacking > 1 and (cut or not self._indexed):
        return f"truncated: {told}", ""
      return "", f"the header counts more than there is: {told}" if lacking > 0 else ""
    short = self._seconds_short(rate)
    if short and (cut or not self._stated_bytes):
      whole = self._container.duration / av.time_base
      return f"truncated: {max(0.0, whole - short):.2f} of {whole:.2f} s", ""
    if cut:
      return "", "the file is cut off behind its last frame"
    if short > 1:
      return "", f"the header tells of {short:.2f} s more than there is"
    return "", "" if self._ends_properly else "the file lacks its end mark: it may be cut short"

  def _seconds_short(self, rate: float) -> float:
    """By how much the packets of all streams end before the stated duration, 0 within the slack."""
    indexed_whole = (
      "mov" in self._names and self._stream.frames > 0
    )  # not in fragments: the index is the better witness
    if not STATED & self._names or indexed_whole or self._container.duration is None or self._until == float("-inf"):
      return 0.0
    # Matroska counts from zero, whatever the first timestamp is; the others may start anywhere.
    seen = self._until if "matroska" in self._names or self._from < 1 else self._until - self._from
    short = self._container.duration / av.time_base - seen
    return short if short > max(SLACK, 2 / rate if rate else 0.0) else 0.0


def stated_bytes(path: pathlib.Path) -> int:
  """How long the file is by its own header, which Matroska (EBML) and AVI (RIFF) have; 0 where it does not say."""
  with open(path, "rb") as file:
    head = file.read(4096)
  if head[:4] == b"RIFF":
    size = int.from_bytes(head[4:8], "little")
    return 0 if size in (0, 0xFFFFFFFF) else 8 + size
  if head[:4] != b"\x1a\x45\xdf\xa3":
    return 0
  size, at = _ebml_size(head, 4)
  if size is None or head[at + size : at + size + 4] != b"\x18\x53\x80\x67":  # the Segment, which is all the rest
    return 0
  size, at = _ebml_size(head, at + size + 4)
  return 0 if size is None else at + size


def _ebml_size(data: bytes, at: int) -> tuple[int | None, int]:
  """An element's size (RFC 8794, section 6) and where its content begins; None where the size is unknown."""
  first = data[at] if at < len(data) else 0
  if not first:
    return None, at
  length = 9 - first.bit_length()
  value = int.from_bytes(data[at : at + length], "big") & ((1 << 7 * length) - 1)
  return (None if value == (1 << 7 * length) - 1 else value), at + length
