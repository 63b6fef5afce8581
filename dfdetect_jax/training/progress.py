"""The line that tells a person how training goes."""

import contextlib
import math
import time

import numpy as np

from dfdetect_jax.runs.provenance import clock
from dfdetect_jax.training import throughput


class ProgressLine:
  """Speed and time left, without the time spent on validation and checkpoints.

  Args:
    step: the run goes on from here.
    total: length of the run in steps.
    clips: clips that a step looks at.
    devices: that share them.
    flops: operations of a step on each device, 0 if unknown.
    frames: that a clip has.
    workers: processes that read them; 0 = threads.
  """

  def __init__(
    self, step: int, total: int, clips: int, devices: int = 1, flops: float = 0.0, frames: int = 1, workers: int = 0
  ):
    self._total, self._clips, self._devices, self._flops = total, clips, devices, flops
    self._frames, self._readers, self._first = frames, f"{workers} workers" if workers else "threads", True
    self._restart(step)

  def _restart(self, step: int) -> None:
    self._step, self._since, self._waited, self._paused, self._saved = step, time.monotonic(), 0.0, 0.0, 0.0
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

  @contextlib.contextmanager
  def saving(self):
    """A block that writes a checkpoint: its time is told apart."""
    start = time.monotonic()
    with self.paused():
      yield
    self._saved += time.monotonic() - start

  def line(self, step: int, scalars: dict[str, float], say) -> dict[str, float]:
    """Prints the progress line and returns the speeds for the metrics file."""
    seconds = max(1e-9, time.monotonic() - self._since - self._paused)
    steps = step - self._step
    left = round((self._total - step) * seconds / steps)
    speed = {
      "speed/steps_per_second": steps / seconds,
      "speed/clips_per_second": steps * self._clips / seconds,
      "speed/clips_per_second_per_device": steps * self._clips / seconds / self._devices,
      "speed/step_seconds": seconds / steps,
      "speed/data_wait": self._waited / seconds,
      "speed/checkpoint_seconds": self._saved,
      **self._use(steps / seconds),
    }
    loss = np.mean(self.losses) if self.losses else math.nan  # every step since the last line may have been skipped
    say(
      f"step {step}/{self._total}  loss {loss:.4f}  accuracy {scalars.get('accuracy', math.nan):.3f}  "
      f"{speed['speed/clips_per_second']:.1f} clips/s  {clock(left)} left"
      + self._reading(steps * self._clips * self._frames, seconds, speed["speed/data_wait"]),
      flush=True,
    )
    self._restart(step)
    return speed

  def _reading(self, frames: int, seconds: float, wait: float) -> str:
    """What reading gives and what steps need, in frames a second: at first, and whenever steps wait for it."""
    text, needed = "", frames / max(1e-9, seconds - self._waited)
    if wait > 0.1:
      text = (
        f"  (waited for data {100 * wait:.0f} % of the time: {self._readers} give {frames / seconds:.0f} frames/s, "
        f"steps need {needed:.0f}; config.workers reads with more)"
      )
    elif self._first:
      text = f"  ({self._readers} give at least the {needed:.0f} frames/s that steps need)"
    self._first = False
    return text

  def _use(self, steps_per_second: float) -> dict[str, float]:
    """How well a device is used, as far as it can be known."""
    rate, peak, memory = self._flops * steps_per_second, throughput.peak_flops(), throughput.peak_memory()
    return (
      ({"speed/tflops_per_device": rate / 1e12} if rate else {})
      | ({"speed/mfu": rate / peak} if rate and peak else {})
      | ({"speed/peak_memory_bytes": float(memory)} if memory else {})
    )
