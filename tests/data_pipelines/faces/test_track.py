"""Tracking on made-up detections: where tracks begin and end, and that their paths neither lag nor jitter."""

import dataclasses

import numpy as np
import pytest

from data_pipelines.faces import track
from data_pipelines.faces.detectors.detector import Face


def face(x, y=50.0, side=40.0, landmarks=False):
  box = np.array([x, y, x + side, y + side])
  points = box[:2] + side * np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]])
  return Face(box, 0.9, points if landmarks else None)


def spans(tracks):
  return [(t.first, len(t)) for t in tracks]


def test_key_frames_are_joined_by_straight_lines():
  """Guards against holes between key frames and against boxes that jump from one to the next."""
  (found,) = track.link({f: [face(2.0 * f, landmarks=True)] for f in (0, 5, 10, 13)})
  assert (found.first, len(found)) == (0, 14)
  np.testing.assert_allclose(found.boxes[:, 0], 2.0 * np.arange(14), atol=1e-12)
  np.testing.assert_allclose(found.landmarks[:, 0, 0], 2.0 * np.arange(14) + 12, atol=1e-12)


def test_a_track_ends_where_its_face_is_away_too_long():
  """Guards against splicing: a face that comes back later is another track, and the gap is in neither."""
  seen = [*range(0, 21, 5), *range(20 + track.MAX_GAP + 1, 51)]
  assert spans(track.link({f: [face(10)] if f in seen else [] for f in range(51)})) == [(0, 21), (31, 20)]
  bridged = [f for f in range(51) if not 20 < f < 20 + track.MAX_GAP]
  assert spans(track.link({f: [face(10)] if f in bridged else [] for f in range(51)})) == [(0, 51)]


def test_a_track_never_crosses_a_scene_cut():
  """Guards against one track with two persons who happen to sit in the same place before and after a cut."""
  faces = {f: [face(10)] for f in range(0, 41, 5)}
  assert spans(track.link(faces, cuts=[20])) == [(0, 16), (20, 21)]
  assert spans(track.link(faces, cuts=[18])) == [(0, 16), (20, 21)]


def test_two_people_are_two_tracks_even_when_they_cross_lists():
  """Guards against following whoever is detected first: the order of detections means nothing."""
  faces = {f: [face(10 + f), face(200 - f)][:: 1 if f % 2 else -1] for f in range(0, 40, 5)}
  left, right = sorted(track.link(faces), key=lambda t: t.boxes[0, 0])
  np.testing.assert_allclose(left.boxes[:, 0], 10 + np.arange(36), atol=1e-12)
  np.testing.assert_allclose(right.boxes[:, 0], 200 - np.arange(36), atol=1e-12)


def test_a_face_that_is_not_sure_bridges_and_does_not_prolong():
  """Guards against tracks that run on over whatever looks a little like a face, and against ones cut at each blur."""

  def faint(x):
    return dataclasses.replace(face(x), sure=False)

  faces = {f: [face(10) if f in (10, 50) else faint(10)] for f in range(0, 61, 5)}
  assert spans(track.link(faces)) == [(10, 41)]
  assert track.link({f: [faint(10)] for f in range(0, 61, 5)}) == []
  (only,) = track.link({f: [face(10), dataclasses.replace(face(0, side=150), sure=False)] for f in range(30)})
  assert only.boxes[0, 0] == 10  # a large doubtful box does not make a bystander of a sure face


def test_a_small_bystander_is_not_followed():
  """Guards against a poster or a passer-by taking the place of the person who speaks."""
  faces = {f: [face(10, side=100), face(200, side=40)] for f in range(0, 40, 5)}
  (only,) = track.link(faces)
  assert only.boxes[0, 2] - only.boxes[0, 0] == 100


def test_key_frames_agree_only_on_the_same_faces_in_the_same_places():
  """Guards against trusting a straight line between key frames when a face came, went or moved fast."""
  assert track.agree([face(10)], [face(15)])
  assert track.agree([], [])
  assert track.agree([face(10), face(100)], [face(102), face(11)])
  assert not track.agree([face(10)], [])
  assert not track.agree([face(10)], [face(30)])
  assert not track.agree([face(10)], [face(10), face(100)])
  assert track.agree([face(10)], [face(10), face(100, side=10)])  # a bystander may come and go


def test_the_longest_tracks_come_first():
  """Guards against an arbitrary choice of the person: longest first, of equally long ones the larger."""
  long_small = track.link({f: [face(0, side=30)] for f in range(30)})[0]
  long_large = track.link({f: [face(0, side=60)] for f in range(30)})[0]
  short = track.link({f: [face(0, side=90)] for f in range(9)})[0]
  assert track.choose([short, long_small, long_large], 0, 1) == [long_large, long_small, short]
  assert track.choose([short, long_small, long_large], 1, 1) == [long_large]
  assert track.choose([short, long_small, long_large], 0, 10) == [long_large, long_small]
  assert track.choose([short], 1, 10) == []


def test_smoothing_leaves_even_motion_alone_and_does_not_lag():
  """Guards against a lagging filter and against ends that bend back: a line in time is a fixed point."""
  line = np.stack([3.0 * np.arange(30) + 7, -0.5 * np.arange(30)], 1)
  np.testing.assert_allclose(track.smooth(line, 3.0), line, atol=1e-10)
  wild = np.random.default_rng(0).normal(size=(40, 2)).cumsum(0)
  np.testing.assert_allclose(track.smooth(wild[::-1], 3.0), track.smooth(wild, 3.0)[::-1], atol=1e-12)


def test_smoothing_is_the_gaussian_average():
  """Guards against a wrong width: the middle of a long path against the sum written out."""
  path = np.random.default_rng(1).normal(size=(60, 1))
  weights = np.array([np.exp(-0.5 * (k / 3.0) ** 2) for k in range(-9, 10)])
  expected = [sum(w * path[t + k, 0] for k, w in zip(range(-9, 10), weights)) / weights.sum() for t in range(20, 40)]
  np.testing.assert_allclose(track.smooth(path, 3.0)[20:40, 0], expected, atol=1e-12)


def test_smoothing_takes_the_jitter_of_detections_away():
  """Guards against passing the detector's noise on to the crop, which would look like a forgery's flicker."""
  noisy = np.random.default_rng(2).normal(size=(200, 1))
  steps = np.abs(np.diff(track.smooth(noisy, track.CENTRE_SIGMA), axis=0)).mean()
  assert steps < 0.12 * np.abs(np.diff(noisy, axis=0)).mean()


@pytest.mark.parametrize("length", [1, 2, 3, 8])
def test_smoothing_accepts_paths_shorter_than_its_window(length):
  """Guards against a crash or NaN on very short tracks."""
  path = 2.0 * np.arange(length)[:, None]
  np.testing.assert_allclose(track.smooth(path, 9.0), path, atol=1e-9)


def test_a_cut_is_found_and_motion_noise_and_flashes_are_not():
  """Guards against tracks cut to pieces by fast motion or noise, and against tracks across real cuts."""
  rng = np.random.default_rng(3)
  scene_a, scene_b = rng.integers(0, 256, (2, 16, 16))
  noise = rng.normal(0, 6, (40, 16, 16))
  video = np.stack([scene_a if t < 25 else scene_b for t in range(40)]) + noise
  assert track.scene_cuts(np.clip(video, 0, 255).astype(np.uint8)) == [25]
  rolling = np.stack([np.roll(scene_a, t, axis=1) for t in range(40)])
  assert track.scene_cuts(rolling.astype(np.uint8)) == []
  flash = np.stack([scene_a] * 40) + noise
  flash[20] += 120
  assert track.scene_cuts(np.clip(flash, 0, 255).astype(np.uint8)) == []
  assert track.scene_cuts(video[:1].astype(np.uint8)) == []
