"""The line that tells a person how training goes."""

import contextlib
import math
import time

import numpy as np


class ProgressLine:
  """Speed and time left, without the time spent on validation and checkpoints.

  Args:
    step: the run goes on from here.
    total: length of the run in steps.
    clips: clips that a step looks at.
  """

  def __init__(self, step: int, total: int, clips: int):
    self._total, self._clips = total, clips
    self._step, self._since, self._waited, self._paused = step, time.monotonic(), 0.0, 0.0
    self.losses: list[float] = []

  def waiting(self, batches):
    """The next batch; the time it takes is data wait."""
    start = time.monotonic()
    batch = next(batches)
    self._waited += time.monotonic() - start
    return batch

  @contextlib.contextmanager
  def paused(self):
    """A block whose time does not count as training."""
    start = time.monotonic()
    yield
    self._paused += time.monotonic() - start

  def line(self, step: int, scalars: dict[str, float], say) -> dict[str, float]:
    """Prints the progress line and returns the speeds for the metrics file."""
    seconds = max(1e-9, time.monotonic() - self._since - self._paused)
    steps = step - self._step
    left = round((self._total - step) * seconds / steps)
    speed = {
      "speed/steps_per_second": steps / seconds,
      "speed/clips_per_second": steps * self._clips / seconds,
      "speed/data_wait": self._waited / seconds,
    }
    say(
      f"step {step}/{self._total}  loss {np.mean(self.losses):.4f}  accuracy {scalars.get('accuracy', math.nan):.3f}  "
      f"{speed['speed/clips_per_second']:.1f} clips/s  {left // 3600}:{left // 60 % 60:02}:{left % 60:02} left"
      + (
        f"  (waited for data {100 * speed['speed/data_wait']:.0f} % of the time)"
        if speed["speed/data_wait"] > 0.1
        else ""
      ),
      flush=True,
    )
    self._step, self._since, self._waited, self._paused, self.losses = step, time.monotonic(), 0.0, 0.0, []
    return speed
