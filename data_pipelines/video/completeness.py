"""Whether a file is all there, by what its container's bytes, index, durations and packets say together.

None of them is enough. A header counts frames that an edit list hides, that empty chunks stand for or that share a
packet; a duration is the longest stream's, and often wrong; an index lies at the end, where a cut takes it away.
"""

import pathlib
import struct
from typing import BinaryIO

import av

SLACK = 0.25  # seconds by which a header's duration may be off; two frames where these are longer
STATED = {
  "matroska",
  "flv",
  "asf",
  "mov",
  "mxf",
}  # their headers state a duration; others' is estimated from the packets
FEW_BYTES = 0.02  # share of a file whose loss may cost nothing but its index
ASF_FILE_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
MP4_BOXES = b"ftyp styp moov mdat moof mfra free skip wide uuid meta sidx ssix pdin emsg prft udta pnot".split()
MOST_BOXES = 100_000
WITHIN_A_PACKET = "the file ends within a packet: it may be cut short"


class Evidence:
  """Gathers what a file shows while it is read."""

  def __init__(self, container: av.container.InputContainer, stream: av.VideoStream, path: pathlib.Path):
    self._container, self._stream = container, stream
    self._names = set(container.format.name.split(","))
    self._bytes, self._stated_bytes = path.stat().st_size, stated_bytes(path)
    self._indexed = len(stream.index_entries) > 0
    self._open_end = _open_end(path, self._names)
    self._from, self._until, self._slots, self._last_byte = float("inf"), float("-inf"), 0, 0

  def see(self, packet: av.Packet) -> None:
    """Takes note of a packet of any stream."""
    at = packet.dts if packet.pts is None else packet.pts
    if at is None or packet.time_base is None:
      return
    start = float(at * packet.time_base)
    self._from = min(self._from, start)
    self._until = max(self._until, start + float((packet.duration or 0) * packet.time_base))
    self._last_byte = max(self._last_byte, (packet.pos or 0) + packet.size)
    if packet.stream_index == self._stream.index and packet.dts is not None:
      self._slots = max(self._slots, packet.dts + 1)

  def verdict(self, rate: float) -> tuple[str, str]:
    """What is to be said when the last packet has been read.

    Args:
      rate: frames per second, 0 if unknown.

    Returns:
      A reason to refuse the file, and a note on one that is used; "" for none.
    """
    lost = max(0, self._stated_bytes - self._bytes)
    entries = self._stream.index_entries if "mov" in self._names else ()
    beyond = sum(entry.pos + entry.size > self._bytes for entry in entries)
    if beyond > 1:
      return f"truncated: {beyond} of the {len(entries)} frames in its index lie beyond the file's end", ""
    if "avi" in self._names:
      lacking = self._stream.frames - self._slots
      message = f"{self._slots} of {self._stream.frames} frames"
      if lacking > 1 and (lost or not self._indexed):
        return f"truncated: {message}", ""
      return "", f"the header counts more than there is: {message}" if lacking > 0 else ""
    short = self._seconds_short(0.0 if lost or "mxf" in self._names else SLACK, rate)
    if short and (lost or not self._stated_bytes):
      assert self._container.duration is not None, "it is by this that the packets are short"
      whole = self._container.duration / av.time_base
      return f"truncated: {max(0.0, whole - short):.2f} of {whole:.2f} s", ""
    if "asf" in self._names and lost > FEW_BYTES * self._stated_bytes:  # its duration is not believed without the rest
      return f"truncated: {self._bytes} of {self._stated_bytes} bytes", ""
    if lost:
      return "", f"the file is cut off: at least {lost} bytes are missing at its end"
    if short > 1:
      return "", f"the header tells of {short:.2f} s more than there is"
    partial = "matroska" in self._names and not self._stated_bytes and self._bytes - self._last_byte > 16
    return "", WITHIN_A_PACKET if partial else self._open_end

  def _seconds_short(self, slack: float, rate: float) -> float:
    """By how much the packets of all streams end before the stated duration, 0 within the slack or two frames."""
    indexed_whole = (
      "mov" in self._names and self._stream.frames > 0
    )  # not in fragments: the index is the better witness
    if not STATED & self._names or indexed_whole or self._container.duration is None or self._until == float("-inf"):
      return 0.0
    # Matroska counts from zero, whatever the first timestamp is; the others may start anywhere.
    seen = self._until if "matroska" in self._names or self._from < 1 else self._until - self._from
    short = self._container.duration / av.time_base - seen
    return short if short > max(slack, 2 / rate if rate else 0.1) else 0.0


def stated_bytes(path: pathlib.Path) -> int:
  """How long a file is by its own headers: AVI, Matroska, MP4, ASF, FLV with metadata; 0 where they do not say."""
  with open(path, "rb") as file:
    head = file.read(4096)
    if head[4:8] in (b"ftyp", b"styp", b"moov", b"mdat", b"wide", b"free", b"skip", b"moof"):
      return _mp4_bytes(file)
  if head[:4] == b"RIFF":
    rest = int.from_bytes(head[4:8], "little")
    return 0 if rest in (0, 0xFFFFFFFF) else 8 + rest
  if head[:4] == b"\x1a\x45\xdf\xa3":
    size, at = _ebml_size(head, 4)
    if size is None or head[at + size : at + size + 4] != b"\x18\x53\x80\x67":  # the Segment, which is all the rest
      return 0
    size, at = _ebml_size(head, at + size + 4)
    return 0 if size is None else at + size
  if head[:4] == b"\x30\x26\xb2\x75":
    at = head.find(ASF_FILE_PROPERTIES)
    return int.from_bytes(head[at + 40 : at + 48], "little") if at > 0 else 0
  if head[:3] == b"FLV":
    at = head.find(b"filesize\0")  # of onMetaData; a float64 (AMF0)
    value = struct.unpack(">d", head[at + 9 : at + 17])[0] if 0 < at < len(head) - 17 else 0.0
    return int(value) if 0 < value < 2**53 else 0
  return 0


def _mp4_bytes(file: BinaryIO) -> int:
  """Where the last of the boxes (ISO/IEC 14496-12, 4.2) ends that lie on end from the file's start."""
  at = 0
  for _ in range(MOST_BOXES):
    file.seek(at)
    head = file.read(16)
    if len(head) < 8 or head[4:8] not in MP4_BOXES:
      return at
    size = int.from_bytes(head[:4], "big")
    if size == 1:
      size = int.from_bytes(head[8:16], "big")
    if size < 8:  # 0: up to the file's end
      return 0
    at += size
  return 0


def _ebml_size(data: bytes, at: int) -> tuple[int | None, int]:
  """An element's size (RFC 8794, section 6) and where its content begins; None where the size is unknown."""
  first = data[at] if at < len(data) else 0
  if not first:
    return None, at
  length = 9 - first.bit_length()
  value = int.from_bytes(data[at : at + length], "big") & ((1 << 7 * length) - 1)
  return (None if value == (1 << 7 * length) - 1 else value), at + length


def _open_end(path: pathlib.Path, names: set[str]) -> str:
  """A note where the file's last bytes are not those that its format ends with."""
  with open(path, "rb") as file:
    if "gif" in names:
      file.seek(max(0, path.stat().st_size - 1024))
      return "" if file.read().rstrip(b"\0").endswith(b";") else "the file lacks its end mark: it may be cut short"
    if "mpegts" in names:
      head = file.read(400)
      lengths = [n for n, at in ((188, 0), (192, 4)) if head[at : at + 1] == head[at + n : at + n + 1] == b"G"]
      return WITHIN_A_PACKET if lengths and path.stat().st_size % lengths[0] else ""
  return ""
