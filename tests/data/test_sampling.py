"""Which frames make a clip."""

import itertools

import numpy as np
import pytest

from dfdetect_jax.data.sampling import test_starts as starts_at_test
from dfdetect_jax.data.sampling import train_starts
from dfdetect_jax.errors import UserError
from dfdetect_jax.methods.method import ClipSpec


@pytest.mark.parametrize("snippets", [0, 1, 3, 8])
def test_training_clips_lie_inside_the_track(snippets):
  """Guards against a clip that reads the next track's frames, at every length near T and at random ones."""
  rng = np.random.default_rng(0)
  for frames, longer in itertools.product((1, 4, 16), (0, 1, 2, 7, 100)):
    spec = ClipSpec(frames=frames, size=8, snippets=snippets)
    for _ in range(20):
      starts = train_starts(spec, frames + longer, rng)
      assert starts.shape == (max(snippets, 1),)
      assert starts.min() >= 0 and starts.max() + frames <= frames + longer


def test_every_start_is_drawn_equally_often():
  """Guards against a last window that is never drawn, or drawn half as often (off by one in the range)."""
  spec, rng = ClipSpec(frames=4, size=8), np.random.default_rng(1)
  counts = np.bincount([train_starts(spec, 9, rng)[0] for _ in range(6000)], minlength=6)
  assert len(counts) == 6
  # 1000 each; five standard deviations of a binomial count.
  assert np.abs(counts - 1000).max() < 5 * np.sqrt(1000 * 5 / 6)


def test_each_snippet_keeps_to_its_part_of_the_track():
  """Guards DIL's sampling: U snippets spread over the whole track, one in each of U equal parts."""
  spec, rng = ClipSpec(frames=4, size=8, snippets=4), np.random.default_rng(2)
  drawn = np.stack([train_starts(spec, 43, rng) for _ in range(500)])
  for part in range(4):
    assert set(drawn[:, part]) == set(range(10 * part, 10 * part + 10))


@pytest.mark.parametrize("snippets", [0, 3])
def test_test_clips_are_spread_over_the_whole_track(snippets):
  """Guards against test clips past the end, unevenly spread, or leaving out the track's ends."""
  for longer in (0, 1, 5, 6, 97):
    spec = ClipSpec(frames=8, size=8, snippets=snippets, test_clips=4)
    starts = starts_at_test(spec, 8 + longer)
    assert starts.shape == (4, max(snippets, 1))
    ordered = np.sort(starts.ravel())
    assert ordered[0] == 0 and ordered[-1] == longer
    gaps = np.diff(ordered)
    assert gaps.max() - gaps.min() <= 1


@pytest.mark.parametrize("stride", [1, 3])
def test_all_windows_at_test(stride):
  """Guards dense evaluation: a window at every stride-th frame, the last one that fits included."""
  spec = ClipSpec(frames=8, size=8, test_clips=0, test_stride=stride)
  assert starts_at_test(spec, 8).tolist() == [[0]]
  assert starts_at_test(spec, 20).ravel().tolist() == list(range(0, 13, stride))


def test_a_single_test_clip_is_the_middle_one():
  """Guards against a lone test clip that sits at the track's start."""
  assert starts_at_test(ClipSpec(frames=8, size=8, test_clips=1), 28).tolist() == [[10]]


@pytest.mark.parametrize("frames", [1, 2, 3, 5, 7, 8, 20])
def test_a_short_track_goes_back_and_forth(frames):
  """Guards the option for short tracks against NumPy's reflection, and that longer ones are as they were."""
  spec = ClipSpec(frames=8, size=8, test_clips=4, shortest=1)
  starts = starts_at_test(spec, frames)
  if frames < 8:
    assert starts.tolist() == [[0]]
    expected = np.pad(np.arange(frames), (0, 8 - frames), "reflect" if frames > 1 else "edge")
    np.testing.assert_array_equal(spec.places(0, frames), expected)
  else:
    assert starts.tolist() == starts_at_test(ClipSpec(frames=8, size=8, test_clips=4), frames).tolist()
    np.testing.assert_array_equal(spec.places(frames - 8, frames), np.arange(frames - 8, frames))
  assert (spec.least, ClipSpec(frames=8, size=8).least) == (1, 8)


def test_which_short_tracks_can_be_asked_for():
  """Guards the message: a shortest track that is none, or methods with snippets."""
  for wrong in ({"shortest": 9}, {"shortest": 2, "snippets": 3}):
    with pytest.raises(UserError, match="shortest is"):
      ClipSpec(frames=8, size=8, **wrong)
