"""Seconds: frames' own times, and the stretches of a video without a score."""

import types

import numpy as np
import pytest

from dfdetect_jax.prediction.timing import Clock, gaps


def track(first, frames, total, fps=25.0):
  return types.SimpleNamespace(first_frame=first, frames=frames, fps=fps, video_frames=total)


def test_frames_are_shown_at_their_own_times():
  """Guards variable rates, streams without times, and what was not read to its end."""
  own = [0.0, 0.04, 0.08, 0.5, 1.0]
  np.testing.assert_allclose(Clock(track(0, 5, 5), own).of(track(1, 3, 5)), [0.04, 0.08, 0.5, 1.0])
  assert Clock(track(0, 5, 5), own).seconds == pytest.approx(1.04)
  unknown = Clock(track(0, 5, 5, fps=0), [np.nan] * 5)
  np.testing.assert_allclose(unknown.of(track(0, 5, 5)), np.arange(6) / 25)
  np.testing.assert_allclose(Clock(track(0, 4, 8, 10.0), [2.0, 2.1]).of(track(0, 8, 8)), 2 + np.arange(9) / 10)
  # The last frame before a stretch that is missing was not shown until its end.
  missing = Clock(track(0, 4, 4), [0.0, 0.04, 3.0, 3.04])
  np.testing.assert_allclose(missing.of(track(0, 2, 4)), [0.0, 0.04, 0.08])


def test_gaps_are_what_no_track_covers():
  """Guards the list against a count of hundredths of a second, with overlapping tracks in any order."""
  rng = np.random.default_rng(0)
  for _ in range(50):
    ends = [np.sort(rng.integers(0, 1000, 2)) / 100 for _ in range(rng.integers(1, 5))]
    found = gaps(0.0, 10.0, ends, [])
    covered = np.zeros(1000, bool)
    for a, b in ends:
      covered[round(100 * a) : round(100 * b)] = True
    told = np.zeros(1000, bool)
    for gap in found:
      told[round(100 * gap.start_second) : round(100 * gap.end_second)] = True
    assert not (told & covered).any()
    left = ~(told | covered)  # gaps of less than a tenth of a second are not told
    runs = np.diff(np.flatnonzero(np.diff(np.concatenate([[False], left, [False]]).astype(int)))[:].reshape(-1, 2))
    assert (runs < 10).all()


def test_why_there_is_no_score():
  """Guards the reasons: nothing to be seen, nobody there, somebody for too short a time."""
  found = gaps(1.0, 10.0, [np.array([1.0, 3.0]), np.array([5.0, 7.0])], [np.array([8.0, 8.25])])
  assert [(g.start_second, g.end_second) for g in found] == [(0, 1), (3, 5), (7, 10)]
  assert [g.reason.split(",")[0] for g in found] == ["no picture that can be decoded", "no face", "a face"]
  assert "0.25 s" in found[2].reason
