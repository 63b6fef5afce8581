"""How far a video is: a bar on a terminal, a line every few seconds in a log."""

import contextlib
import io
import sys
import threading
from collections.abc import Iterator
from typing import Protocol

import tqdm

EVERY = 5.0  # seconds between two lines of a log


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


class FrameCount:
  """Frames, frames per second and time left, on stderr: as a bar, or where that is a file, as a line now and then.

  Lines come from a thread of their own: a batch, or what is compiled before the first one, may take long.
  """

  def __init__(self):
    self._bar = tqdm.tqdm(disable=True)
    self._closed = threading.Event()
    self._lines: threading.Thread | None = None

  def stage(self, name: str, total: int) -> None:
    """See `Progress`."""
    self.close()
    in_lines = not sys.stderr.isatty()
    file = io.StringIO() if in_lines else sys.stderr  # where there are lines the bar counts and measures only
    self._bar = tqdm.tqdm(total=total or None, desc=f"  {name}", unit="frame", leave=False, file=file, mininterval=0.3)
    if in_lines:
      self._closed = threading.Event()
      self._lines = threading.Thread(target=_tell, args=(self._bar, self._closed), daemon=True)
      self._lines.start()

  def update(self, frames: int) -> None:
    """See `Progress`."""
    if self._bar.total:
      frames = min(frames, self._bar.total - self._bar.n)
    self._bar.update(frames)

  def close(self) -> None:
    """See `Progress`."""
    self._closed.set()
    if self._lines:
      self._lines.join()
      self._lines = None
    passed = self._bar.format_dict
    if not self._bar.disable and self._bar.n:
      rate = self._bar.n / max(passed["elapsed"], 1e-3)
      self._bar.clear()
      print(f"{self._bar.desc}: {self._bar.n} frames in {passed['elapsed']:.1f} s ({rate:.0f}/s)", file=sys.stderr)
    self._bar.close()
    self._bar = tqdm.tqdm(disable=True)


@contextlib.contextmanager
def waiting(name: str) -> Iterator[None]:
  """A sign of life while something lasts that no frames are counted of."""
  count = FrameCount()
  count.stage(name, 0)
  try:
    yield
  finally:
    count.close()


def _tell(bar: tqdm.tqdm, closed: threading.Event) -> None:
  """A line every so often, until the stage is closed."""
  while not closed.wait(EVERY):
    print(tqdm.tqdm.format_meter(**bar.format_dict | {"ncols": None}), file=sys.stderr, flush=True)
