"""How far a video is: a bar on a terminal, a line every few seconds in a log."""

import io
import sys
import time
from typing import Protocol

import tqdm

EVERY = 5.0  # seconds between two lines of a log; whole blocks of frames may pass until the next look


class Progress(Protocol):
  """Told how far the judging of a video is."""

  def stage(self, name: str, total: int) -> None:
    """A pass over the video begins, of about `total` frames (0: nobody knows)."""

  def update(self, frames: int) -> None:
    """So many frames more are done."""

  def close(self) -> None:
    """The video is done, or given up."""


class Silent:
  """Tells nobody."""

  def stage(self, name: str, total: int) -> None:
    """See `Progress`."""

  def update(self, frames: int) -> None:
    """See `Progress`."""

  def close(self) -> None:
    """See `Progress`."""


class Told:
  """Frames, frames per second and time left, on stderr: as a bar, or where that is a file, as a line now and then."""

  def __init__(self):
    self._bar = tqdm.tqdm(disable=True)
    self._next, self._in_lines = 0.0, False

  def stage(self, name: str, total: int) -> None:
    """See `Progress`."""
    self.close()
    # A log gets lines of its own (below); the bar then counts and measures only.
    self._in_lines = not sys.stderr.isatty()
    file = io.StringIO() if self._in_lines else sys.stderr
    self._bar = tqdm.tqdm(total=total or None, desc=f"  {name}", unit="frame", leave=False, file=file, mininterval=0.3)
    self._next = time.monotonic() + EVERY

  def update(self, frames: int) -> None:
    """See `Progress`."""
    if self._bar.total:
      frames = min(frames, self._bar.total - self._bar.n)
    self._bar.update(frames)
    if self._in_lines and time.monotonic() > self._next:
      self._next = time.monotonic() + EVERY
      print(tqdm.tqdm.format_meter(**self._bar.format_dict | {"ncols": None}), file=sys.stderr, flush=True)

  def close(self) -> None:
    """See `Progress`."""
    passed = self._bar.format_dict
    if not self._bar.disable and self._bar.n:
      rate = self._bar.n / max(passed["elapsed"], 1e-3)
      self._bar.clear()
      print(f"{self._bar.desc}: {self._bar.n} frames in {passed['elapsed']:.1f} s ({rate:.0f}/s)", file=sys.stderr)
    self._bar.close()
    self._bar = tqdm.tqdm(disable=True)
