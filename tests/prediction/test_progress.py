"""How far a video is, in a log: lines now and then with a rate and the time left, never a thousand."""

import itertools

from dfdetect_jax.prediction import progress


def test_a_log_gets_a_line_now_and_then(monkeypatch, capsys):
  """Guards logs: a line about every five seconds, each whole."""
  clock = itertools.count(0, 0.25)  # seconds; each look at the clock takes as long
  monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
  told = progress.Told()
  told.stage("finding faces", 3200)
  for _ in range(400):
    told.update(8)
  told.close()
  lines = capsys.readouterr().err.splitlines()
  seconds = next(clock)
  assert lines.pop().startswith("  finding faces: 3200 frames in ")
  assert seconds / 7 <= len(lines) <= seconds / 4
  assert all("finding faces" in line and "/3200" in line and "frame/s" in line for line in lines)
  told.close()  # again, and of unknown length: nothing breaks
  told.stage("scoring", 0)
  told.update(10**6)
  told.close()


def test_a_header_that_says_too_little_does_not_overflow(capsys, monkeypatch):
  """Guards the bar against files with more frames than their header names."""
  monkeypatch.setattr(progress, "EVERY", -1.0)
  told = progress.Told()
  told.stage("scoring", 10)
  for _ in range(5):
    told.update(8)
  assert "10/10" in capsys.readouterr().err.splitlines()[-1]
