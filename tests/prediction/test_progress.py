"""How far a video is, in a log: lines now and then with a rate and the time left, never a thousand."""

import time

from dfdetect_jax.prediction import progress


def test_a_log_gets_a_line_now_and_then(monkeypatch, capsys):
  """Guards logs: lines of equal distance, each whole, also while nothing moves (a long batch, a compilation)."""
  monkeypatch.setattr(progress, "EVERY", 0.1)
  count = progress.FrameCount()
  count.stage("finding faces", 3200)
  count.update(1600)
  began = time.monotonic()
  time.sleep(1.05)
  for _ in range(400):
    count.update(4)
  count.close()
  lines, seconds = capsys.readouterr().err.splitlines(), time.monotonic() - began
  assert lines.pop().startswith("  finding faces: 3200 frames in ")
  assert 2 <= len(lines) <= seconds / 0.1
  assert all("finding faces" in line and "/3200" in line and "frame/s" in line for line in lines)
  assert "1600/3200" in lines[0]
  count.close()  # again, and of unknown length: nothing breaks
  count.stage("scoring", 0)
  count.update(10**6)
  count.close()
  capsys.readouterr()
  time.sleep(0.3)
  assert not capsys.readouterr().err  # nobody goes on telling


def test_a_header_that_says_too_little_does_not_overflow(capsys, monkeypatch):
  """Guards the bar against files with more frames than their header names."""
  monkeypatch.setattr(progress, "EVERY", 0.05)
  count = progress.FrameCount()
  count.stage("scoring", 10)
  for _ in range(5):
    count.update(8)
  time.sleep(0.5)
  count.close()
  assert "10/10" in capsys.readouterr().err.splitlines()[-2]
