"""Face masks: hulls against SciPy's, five points against a face's outline, and landmarks that lie anywhere."""

import importlib.util
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.spatial

from data_pipelines.faces import landmarks
from data_pipelines.faces.detectors import mtcnn
from data_pipelines.synthetic.rendering import render
from dfdetect_jax.augment import face_mask, warping
from dfdetect_jax.errors import UserError


def test_signed_distance_is_that_of_the_hull():
  """Guards the hull against brute force: Delaunay for inside and outside, the nearest edge for the depth."""
  rng = np.random.default_rng(0)
  corners = rng.uniform(0.2, 0.8, (3, 12, 2)).astype(np.float32)
  points = np.broadcast_to(np.asarray(warping.pixel_grid(40, 50)), (3, 40, 50, 2))
  found = np.asarray(jax.jit(face_mask.signed_distance)(corners, points))
  for t in range(3):
    hull = scipy.spatial.ConvexHull(corners[t].astype(np.float64))
    wanted = (points[t] @ hull.equations[:, :2].T + hull.equations[:, 2]).max(axis=-1)
    union = (found[t] < 0) | (wanted < 0)
    assert ((found[t] < 0) & (wanted < 0)).sum() / union.sum() > 0.9
    longest = max(np.linalg.norm(np.subtract(*corners[t][edge])) for edge in hull.simplices)
    bulge = (wanted - found[t])[wanted < 0]  # outside, the nearest place is not always on the nearest line
    assert bulge.min() > -1e-5 and bulge.max() < 0.05 * longest


def test_five_points_are_carried_along_by_any_similarity():
  """Guards the template's fit: turned, scaled and moved landmarks give the turned, scaled and moved outline."""
  turn = 0.4 * np.array([[np.cos(0.5), -np.sin(0.5)], [np.sin(0.5), np.cos(0.5)]])
  for family in range(len(face_mask.FAMILIES)):
    upright = face_mask.outline(jnp.asarray(face_mask.FIVE_POINTS[None], jnp.float32), jnp.int32(family))
    moved = jnp.asarray((face_mask.FIVE_POINTS @ turn.T + [0.3, 0.2])[None], jnp.float32)
    np.testing.assert_allclose(
      face_mask.outline(moved, jnp.int32(family))[0], np.asarray(upright[0]) @ turn.T + [0.3, 0.2], atol=1e-5
    )
    assert float(face_mask.face_size(moved)) == pytest.approx(0.4, abs=1e-5)


def test_families_hold_what_their_names_say():
  """Guards the regions: eyes, mouth, forehead and chin of an upright face are in those that name them alone."""
  eye, mouth, forehead, chin = np.array([[0.31, 0.4], [0.5, 0.78], [0.5, 0.08], [0.5, 1.03]], np.float32)
  five = jnp.asarray(face_mask.FIVE_POINTS[None], jnp.float32)
  holds = {}
  for family, name in enumerate(face_mask.FAMILIES):
    corners = face_mask.outline(five, jnp.int32(family))
    places = jnp.asarray(np.stack([eye, mouth, forehead, chin])[None, None])
    holds[name] = (np.asarray(face_mask.signed_distance(corners, places))[0, 0] < 0).tolist()
  assert holds == {
    "face": [True, True, False, True],
    "face and forehead": [True, True, True, True],
    "inner features": [True, True, False, False],
    "lower half": [False, True, False, True],
  }


def test_sixty_eight_points_give_five():
  """Guards the layout of dlib's points: eyes are means of six, nose tip and mouth's corners are points."""
  points = np.random.default_rng(1).uniform(size=(2, 68, 2)).astype(np.float32)
  five = np.asarray(face_mask.five_points(jnp.asarray(points)))
  wanted = [points[:, 36:42].mean(1), points[:, 42:48].mean(1), points[:, 30], points[:, 48], points[:, 54]]
  np.testing.assert_allclose(five, np.stack(wanted, axis=1), atol=1e-6)
  with pytest.raises(UserError, match="5 or 68 landmarks, not by 21"):
    face_mask.five_points(jnp.zeros((1, 21, 2)))


def regions_and_truth(landmarks_of):
  """The families' regions and the true face `[H, W]` of five rendered heads, found by the default detector."""
  detector = mtcnn.create()
  for person in range(5):
    (frame,) = render(5, person, person + 1, 1, 256, ["Deepfakes"])
    true = frame.masks["Deepfakes"]
    ((face, *_),) = detector.detect(frame.real[None])
    y, x = np.mgrid[: true.shape[0], : true.shape[1]] + 0.5
    grid = jnp.asarray(np.stack([x, y], axis=-1)[None], jnp.float32)
    points = jnp.asarray(landmarks_of(frame.real, face)[None], jnp.float32)
    yield (
      [
        np.asarray(face_mask.signed_distance(face_mask.outline(points, jnp.int32(family)), grid))[0] < 0
        for family in range(len(face_mask.FAMILIES))
      ],
      true,
    )


@pytest.mark.slow  # renders and detects faces
def test_five_points_find_the_face():
  """Guards the template: on rendered heads, found by the default detector, the face family's hull and the true mask of
  the face overlap by 0.65 at least, on average over people; no family but the forehead's reaches far beyond it."""
  overlap, beyond = [], []
  for regions, true in regions_and_truth(lambda image, face: face.landmarks):
    overlap.append((regions[0] & true).sum() / (regions[0] | true).sum())
    beyond += [(region & ~true).sum() / region.sum() for i, region in enumerate(regions) if i != 1]
  assert np.mean(overlap) > 0.65 and np.max(beyond) < 0.35


@pytest.mark.slow
def test_sixty_eight_points_find_the_face():
  """Guards the hulls' indices with dlib's real predictor, as a package carries it: overlap with the true mask 0.8."""
  spec = importlib.util.find_spec("face_recognition_models")
  if spec is None:
    pytest.skip("pip install face_recognition_models (for its shape_predictor_68_face_landmarks.dat)")
  predict = landmarks.dlib68(str(pathlib.Path(spec.origin).parent / "models/shape_predictor_68_face_landmarks.dat"))
  found = regions_and_truth(lambda image, face: predict(image, face.box))
  assert np.mean([(regions[0] & true).sum() / (regions[0] | true).sum() for regions, true in found]) >= 0.8
