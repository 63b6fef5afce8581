"""Which clips are scored, and that one pass over the video cuts them as a whole track would be cut."""

import dataclasses
import tracemalloc

import numpy as np
import pytest

from data_pipelines.faces import crop
from data_pipelines.faces.face_tracks import FaceTrack
from data_pipelines.video.decode import BrokenVideo, Frame
from dfdetect_jax.data.sampling import test_starts as starts_at_test
from dfdetect_jax.errors import UserError
from dfdetect_jax.methods.method import ClipSpec
from dfdetect_jax.prediction.clips import Dense, Request, cut_clips, dense_starts, requests_of

PLAIN = ClipSpec(frames=4, size=16, test_clips=3)
SNIPPETS = ClipSpec(frames=2, size=16, snippets=2, test_snippets=3, test_clips=1)


def face(first, frames, x, size=16):
  box = np.array([x, 10.0, x + 20, 30]) + np.arange(frames)[:, None] * [0.5, 0, 0.5, 0]
  transforms = crop.square_transforms(box, 1.3, size)
  fields = {f.name for f in dataclasses.fields(FaceTrack)}
  known = dict(path="v", number=0, first_frame=first, boxes=box, transforms=transforms, size=size, video_frames=60)
  known |= {"times": (first + np.arange(frames)) / 25} if "times" in fields else {"fps": 25.0}
  return FaceTrack(**known)


def video(frames, seed=0):
  for n in range(frames):
    yield Frame(n, n / 25, np.random.default_rng(seed + n).integers(0, 255, (48, 64, 3)).astype(np.uint8), (48, 64))


@pytest.mark.parametrize("spec", [PLAIN, SNIPPETS])
@pytest.mark.parametrize("dense", [Dense(), Dense(stride=3), Dense(clips=5)])
def test_clips_are_slices_of_the_whole_tracks(spec, dense):
  """Guards the streaming pass: overlapping clips of overlapping faces, each against its whole track's crops."""
  tracks = [face(0, 21, 2), face(5, 30, 30), face(40, 7, 10)]
  requests = [r for n, t in enumerate(tracks) for r in requests_of(spec, n, t.frames, dense)]
  images = [f.image for f in video(60)]
  whole = [
    np.stack([crop.cut(images[t.first_frame + i], t.transforms[i], 16, crop.samples_per_pixel(t.transforms))
              for i in range(t.frames)])
    for t in tracks
  ]  # fmt: skip
  got = dict(cut_clips(video(60), tracks, requests, spec))
  assert set(got) == set(requests)
  for request, clip in got.items():
    expected = np.stack([whole[request.track][s : s + spec.frames] for s in request.starts])
    np.testing.assert_array_equal(clip, expected if spec.snippets else expected[0])


def test_a_short_face_goes_back_and_forth():
  """Guards the option for short tracks: one clip that counts, of frames 0 1 2 1, and no dense ones."""
  spec, track = dataclasses.replace(PLAIN, shortest=2), face(5, 3, 30)
  requests = requests_of(spec, 0, 3, Dense(stride=1))
  assert requests == [Request(0, (0,), True)]
  [(_, clip)] = cut_clips(video(60), [track], requests, spec)
  images, samples = [f.image for f in video(9)], crop.samples_per_pixel(track.transforms)
  expected = [crop.cut(images[5 + i], track.transforms[i], 16, samples) for i in (0, 1, 2, 1)]
  np.testing.assert_array_equal(clip, expected)


@pytest.mark.parametrize("spec", [PLAIN, SNIPPETS])
@pytest.mark.parametrize("frames", [4, 5, 11, 50])
def test_dense_clips_cover_every_frame_once_they_lie_side_by_side(spec, frames):
  """Guards the reach of --stride and --clips: within the track, its end included, nothing between left out."""
  snippets = max(spec.test_snippets, 1)
  for dense in (Dense(stride=1), Dense(stride=spec.frames), Dense(clips=1000)):
    starts = dense_starts(spec, frames, dense)
    assert starts.shape[1] == snippets and starts.min() >= 0 and starts.max() <= frames - spec.frames
    assert (np.diff(starts, axis=1) >= 0).all()
    if len(starts) > 1 or snippets == 1:
      assert {s + k for s in starts.ravel().tolist() for k in range(spec.frames)} == set(range(frames))
  assert len(dense_starts(spec, 50, Dense(clips=2))) <= 2 and not len(dense_starts(spec, frames, Dense()))


def test_the_methods_own_clips_count_and_no_clip_is_scored_twice():
  """Guards that dense scoring changes no score: the same clips count with it and without."""
  plain = requests_of(PLAIN, 0, 20, Dense())
  assert [r.starts for r in plain] == [tuple(row) for row in starts_at_test(PLAIN, 20).tolist()]
  dense = requests_of(PLAIN, 0, 20, Dense(stride=1))
  assert [r for r in dense if r.counts] == plain
  assert len({r.starts for r in dense}) == len(dense) == 17


def test_a_long_track_is_not_held():
  """Guards the memory: 2,000 frames of two faces, a clip every two frames, in what a few clips take."""
  tracks = [face(0, 2000, 2, 32), face(0, 2000, 20, 32)]
  spec = ClipSpec(frames=8, size=32, test_clips=8)
  requests = [r for n in (0, 1) for r in requests_of(spec, n, 2000, Dense(stride=2))]
  one = Frame(0, 0.0, np.zeros((48, 64, 3), np.uint8), (48, 64))
  frames = (dataclasses.replace(one, index=n) for n in range(2000))
  clips = cut_clips(frames, tracks, requests, spec)
  next(clips)
  tracemalloc.start()
  count = 1 + sum(1 for _ in clips)
  peak = tracemalloc.get_traced_memory()[1]
  tracemalloc.stop()
  assert count == len(requests)
  assert peak < 1e6  # the crops of both tracks are 12.3 MB


def test_a_video_that_ends_too_early_is_told():
  """Guards against clips that are silently missing."""
  with pytest.raises(BrokenVideo, match="decodes to 5 frames the second time, before 1 clips are complete"):
    list(cut_clips(video(5), [face(0, 20, 2)], [Request(0, (0,), True), Request(0, (4,), True)], PLAIN))


def test_mistakes_in_dense_are_told():
  """Guards the messages of --stride and --clips."""
  for wrong in ({"stride": -1}, {"clips": -2}, {"stride": 1, "clips": 1}):
    with pytest.raises(UserError, match="--"):
      Dense(**wrong)
