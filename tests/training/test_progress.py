"""What the progress line says of reading: what it gives, and what steps would need."""

import pytest

from dfdetect_jax.training import progress


class Clock:
  """A clock that tests turn."""

  def __init__(self):
    self.now = 0.0

  def monotonic(self):
    return self.now


@pytest.fixture
def clock(monkeypatch):
  clock = Clock()
  monkeypatch.setattr(progress.time, "monotonic", clock.monotonic)
  return clock


def batches(clock, seconds):
  while True:
    clock.now += seconds
    yield None


def lines(clock, reading, computing, count=2):
  """Progress lines of ten steps each, of 4 clips of 8 frames."""
  told, line = [], progress.ProgressLine(0, 100, clips=4, frames=8, workers=3)
  source = batches(clock, reading)
  for step in range(1, 10 * count + 1):
    line.waiting(source)
    clock.now += computing
    if step % 10 == 0:
      line.line(step, {}, lambda text, **_: told.append(text))
  return told


def test_waiting_for_data_says_what_reading_gives_and_steps_need(clock):
  """Guards both rates: 32 frames a step, one second of reading and one of computing."""
  first, second = lines(clock, reading=1.0, computing=1.0)
  for line in (first, second):
    assert "waited for data 50 % of the time: 3 workers give 16 frames/s, steps need 32; config.workers" in line


def test_enough_data_is_said_once(clock):
  """Guards the first line, which tells the rate that the workers keep up with, and the others, which do not."""
  first, second = lines(clock, reading=0.0, computing=0.5)
  assert "(3 workers give at least the 64 frames/s that steps need)" in first and "workers" not in second
