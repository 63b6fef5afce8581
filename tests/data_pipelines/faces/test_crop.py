"""Crops: exact where exactness is possible, without jitter, and with every pixel counted when shrinking."""

import numpy as np
import pytest

from data_pipelines.faces import crop, track
from data_pipelines.video.decode import BrokenVideo


def test_a_crop_on_whole_pixels_is_the_frame_itself():
  """Guards against half-pixel shifts in the chain box → transform → OpenCV's coordinates."""
  image = np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8)
  boxes = np.tile([30.0, 20.0, 70.0, 60.0], (5, 1))
  for transform in crop.square_transforms(boxes, 1.5, 60):  # 1.5 · 40 = 60 source pixels on 60
    np.testing.assert_array_equal(crop.cut(image, transform, 60, 1), image[10:70, 20:80])


def test_shrinking_averages_every_source_pixel():
  """Guards against aliasing: a crop at a third of the scale is the mean of 3×3 blocks, not every third pixel."""
  image = np.random.default_rng(1).integers(0, 256, (120, 120, 3), np.uint8)
  transforms = crop.square_transforms(np.tile([15.0, 15.0, 105.0, 105.0], (3, 1)), 1.0, 30)
  assert crop.samples_per_pixel(transforms) == 3
  mean = image[15:105, 15:105].reshape(30, 3, 30, 3, 3).mean(axis=(1, 3))
  np.testing.assert_allclose(crop.cut(image, transforms[0], 30, 3), mean, atol=0.51)


def test_the_margin_is_measured_on_the_longer_side_around_the_centre():
  """Guards against crops that cut the chin of a tall box or sit off its middle."""
  boxes = np.tile([10.0, 20.0, 50.0, 100.0], (4, 1))
  transform = crop.square_transforms(boxes, 1.3, 224)[0]
  np.testing.assert_allclose(transform @ [112, 112, 1], [30, 60], atol=1e-9)
  np.testing.assert_allclose(transform @ [0, 0, 1], [30 - 52, 60 - 52], atol=1e-9)
  np.testing.assert_allclose(transform @ [224, 224, 1], [30 + 52, 60 + 52], atol=1e-9)


def test_a_still_face_gives_still_crops_in_spite_of_detection_noise():
  """Guards against independent crops per frame: noise of a pixel in the boxes may not move the crop by a tenth."""
  rng = np.random.default_rng(2)
  boxes = np.array([50.0, 50.0, 150.0, 150.0]) + rng.normal(0, 1, (100, 4))
  transforms = crop.square_transforms(boxes, 1.3, 224)
  steps = np.abs(np.diff(transforms[:, :, 2], axis=0))
  assert steps.mean() < 0.1


def test_beyond_the_frame_its_edge_is_repeated():
  """Guards against black bars whose edges move through the crop."""
  image = np.zeros((40, 40, 3), np.uint8)
  image[:, 0], image[0] = 200, 200
  transform = crop.square_transforms(np.tile([-20.0, -20.0, 20.0, 20.0], (2, 1)), 1.0, 40)[0]
  assert (crop.cut(image, transform, 40, 1)[:20, :20] == 200).all()


def test_similarity_recovers_rotation_and_scale():
  """Guards against a transposed or mirrored rotation: a known one must come back, noise-free, exactly."""
  points = crop.TEMPLATE - crop.TEMPLATE.mean(0)
  for angle, scale in ((0.3, 2.0), (-1.2, 50.0), (3.0, 0.5)):
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    np.testing.assert_allclose(crop.similarity(points, points @ turn.T), turn, atol=1e-9)


def test_similarity_is_the_least_squares_one():
  """Guards against an approximate fit: no small change of the solution may fit noisy points better."""
  rng = np.random.default_rng(3)
  source, target = rng.normal(size=(2, 5, 2))
  source, target = source - source.mean(0), target - target.mean(0)
  design = np.concatenate([np.stack([source[:, 0], -source[:, 1]], 1), np.stack([source[:, 1], source[:, 0]], 1)])
  (a, b), *_ = np.linalg.lstsq(design, target.T.reshape(-1), rcond=None)
  np.testing.assert_allclose(crop.similarity(source, target), [[a, -b], [b, a]], atol=1e-12)


def test_alignment_turns_a_tilted_head_upright_and_holds_its_turn_for_the_track():
  """Guards against alignment per frame: one rotation and scale per track, the position along a smooth path."""
  angle = 0.5
  turn = 80 * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
  path = np.array([200.0, 150.0]) + np.array([1.0, 0.5]) * np.arange(40)[:, None]
  rng = np.random.default_rng(4)
  exact = (crop.TEMPLATE - 0.5) @ turn.T + path[:, None]
  transforms = crop.aligned_transforms(exact, 1.3, 224)
  inside = ((crop.TEMPLATE - 0.5) / 1.3 + 0.5) * 224
  for transform, points in zip(transforms, exact, strict=True):
    np.testing.assert_allclose(inside @ transform[:, :2].T + transform[:, 2], points, atol=1e-6)
  noisy = crop.aligned_transforms(exact + rng.normal(0, 1, exact.shape), 1.3, 224)
  assert np.ptp(noisy[:, :, :2], axis=0).max() == 0


def test_alignment_without_landmarks_is_refused():
  """Guards against silently unaligned crops from a detector that gives boxes only."""
  boxes = track.BoxTrack(0, np.tile([0.0, 0.0, 9.0, 9.0], (3, 1)), None)
  with pytest.raises(BrokenVideo, match="no landmarks"):
    crop.transforms_of(boxes, True, 1.3, 224)


def test_landmarks_go_into_the_crop_as_the_pixels_do():
  """Guards landmarks against half-pixel and transposition faults: the mark under a landmark is where it says."""
  turn = np.array([[0.9, -0.3], [0.3, 0.9]])
  path = np.array([60.0, 50.0]) + np.array([0.5, -0.25]) * np.arange(20)[:, None]  # linear: smoothing changes nothing
  transforms = np.concatenate([np.broadcast_to(turn, (20, 2, 2)), (path - turn @ [32, 32])[..., None]], axis=-1)
  landmarks = path[:, None] + np.array([[-12.0, -8.0], [10.0, 15.0]])
  points = crop.landmarks_in_crop(landmarks, transforms, 64)
  assert points.shape == (20, 2, 2) and points.dtype == np.float32
  for k in (0, 19):
    rows, columns = np.mgrid[:100, :120] + 0.5
    for mark, point in zip(landmarks[k], points[k] * 64, strict=True):
      image = np.exp(-((columns - mark[0]) ** 2 + (rows - mark[1]) ** 2) / 18)
      image = np.repeat(np.round(255 * image).astype(np.uint8)[..., None], 3, axis=2)
      weights = crop.cut(image, transforms[k], 64, 1)[..., 0].astype(np.float64)
      y, x = np.mgrid[:64, :64] + 0.5
      np.testing.assert_allclose([(weights * x).sum(), (weights * y).sum()] / weights.sum(), point, atol=0.1)


def test_landmarks_are_smoothed_like_the_path():
  """Guards against jitter of the detector in the landmarks, which forgeries made along them would inherit."""
  rng = np.random.default_rng(5)
  landmarks = np.array([[40.0, 40], [60, 40], [50, 50], [42, 60], [58, 60]]) + rng.normal(0, 1, (80, 5, 2))
  transforms = np.tile(np.array([[1.0, 0, 20], [0, 1, 20]]), (80, 1, 1))
  points = crop.landmarks_in_crop(landmarks, transforms, 64) * 64
  assert np.diff(points, axis=0).std() < 0.2 * np.diff(landmarks, axis=0).std()


def test_the_crop_of_ftcn_is_one_similarity_per_clip():
  """Guards FTCN's crop: a clip's mean landmarks come to the template in the least-squares sense, by one transform for
  all its frames, whatever they do in it; eyes .325 of the side apart at a third of its height; black beyond the frame.
  """
  rng = np.random.default_rng(0)
  angle, side = 0.3, 180.0
  rotation = side * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
  drift = np.linspace(-20, 20, 32)[:, None, None]
  landmarks = crop.FTCN_TEMPLATE @ rotation.T + [40.0, 30.0] + drift + rng.normal(0, 3, (32, 5, 2))
  transforms = crop.ftcn_transforms(landmarks, 224)
  assert np.all(transforms == transforms[0])
  # Least squares in the crop's plane, by the four parameters of a similarity.
  x, y = (crop.FTCN_TEMPLATE * 224).T
  one, zero = np.ones(5), np.zeros(5)
  design = np.concatenate([np.stack([x, -y, one, zero], 1), np.stack([y, x, zero, one], 1)])
  a, b, c, d = np.linalg.lstsq(design, landmarks.mean(axis=0).T.reshape(-1), rcond=None)[0]
  np.testing.assert_allclose(transforms[0], [[a, -b, c], [b, a, d]], atol=1e-9)
  eyes = crop.FTCN_TEMPLATE[:2]
  assert abs(np.linalg.norm(eyes[1] - eyes[0]) - 0.325) < 5e-4 and abs(eyes[:, 1].mean() - 0.335) < 5e-3
  white = np.full((100, 100, 3), 255, np.uint8)
  outside = np.array([[1.0, 0, -50], [0, 1, 0]])
  assert not crop.cut(white, outside, 100, 1, black=True)[:, :45].any() and crop.cut(white, outside, 100, 1).all()


def test_the_crop_of_ftcn_hardly_moves_within_a_clip():
  """Guards longer tracks: each frame has the similarity of the 32 frames around it, all of them at the track's ends."""
  rng = np.random.default_rng(1)
  landmarks = crop.FTCN_TEMPLATE * 100 + np.cumsum(rng.normal(0, 1, (80, 1, 2)), axis=0)
  transforms = crop.ftcn_transforms(landmarks, 224)
  for frame, window in ((0, (0, 32)), (16, (0, 32)), (40, (24, 56)), (64, (48, 80)), (79, (48, 80))):
    centre = landmarks[slice(*window)].mean(axis=(0, 1))
    np.testing.assert_allclose(transforms[frame] @ [*(crop.FTCN_TEMPLATE.mean(axis=0) * 224), 1], centre, atol=1e-9)
