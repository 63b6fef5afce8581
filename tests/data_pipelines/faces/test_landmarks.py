"""dlib's 68 landmarks: where they land, and which files are refused."""

import types

import dlib
import numpy as np
import pytest

from data_pipelines.building.options import BuildOptions, settings_of
from data_pipelines.faces import crop, landmarks
from dfdetect_jax.errors import UserError


def test_points_land_where_the_crop_shows_them():
  """Guards the road video → crop → predictor → crop: a face that moves and grows is met by its box, and the points,
  which a stand-in for the predictor puts at fixed places of the box it is given, are found back by the video's path."""
  time = np.arange(40.0)[:, None]
  boxes = np.concatenate([50 + time, 40 + 0.5 * time, 130 + 2 * time, 160 + 1.5 * time], axis=1)
  transforms = crop.square_transforms(boxes, 1.3, 64)
  shares = np.random.default_rng(0).uniform(0.1, 0.9, (68, 2))

  def predict(image, box):
    assert image.shape == (64, 64, 3)
    return box[:2] + shares * (box[2:] - box[:2])

  points = landmarks.of_crops(predict, np.zeros((40, 64, 64, 3), np.uint8), boxes, transforms, 64)
  wanted = boxes[:, None, :2] + shares * (boxes[:, None, 2:] - boxes[:, None, :2])
  seen = 64 * points @ transforms[:, :, :2].transpose(0, 2, 1) + transforms[:, None, :, 2]
  assert points.dtype == np.float32
  np.testing.assert_allclose(seen, wanted, atol=1e-3)  # linear in time, which smoothing leaves


def test_the_predictor_gets_dlibs_rectangle(monkeypatch):
  """Guards the call of dlib: sides rounded, the last pixel inside, points at pixel centres; another number of points is
  refused."""
  asked = []

  def shape(image, rectangle):
    asked.append((rectangle.left(), rectangle.top(), rectangle.right(), rectangle.bottom()))
    return types.SimpleNamespace(parts=lambda: [types.SimpleNamespace(x=i, y=2 * i) for i in range(count)])

  monkeypatch.setattr(dlib, "shape_predictor", lambda model: shape)
  count = 68
  points = landmarks.dlib68("stand-in")(np.zeros((64, 64, 3), np.uint8), np.array([9.6, 20.2, 40.4, 51.0]))
  assert asked[-1] == (10, 20, 39, 50) and points.shape == (68, 2) and points[3].tolist() == [3.5, 6.5]
  count = 5
  with pytest.raises(UserError, match="does not predict 68"):
    landmarks.dlib68("another")


def test_what_is_refused(tmp_path):
  """Guards the flags: one without the other, a file that is missing, one that dlib cannot read."""
  (tmp_path / "text.dat").write_text("no predictor")
  for flags, said in (
    ({"landmarks": "dlib68"}, "go with each other"),
    ({"landmarks_model": "some.dat"}, "go with each other"),
    ({"landmarks": "dlib86", "landmarks_model": "some.dat"}, "one of detector, dlib68"),
    ({"landmarks": "dlib68", "landmarks_model": str(tmp_path / "none.dat")}, "does not exist"),
    ({"landmarks": "dlib68", "landmarks_model": str(tmp_path / "text.dat")}, "cannot be read"),
  ):
    with pytest.raises(UserError, match=said):
      settings_of(BuildOptions(source="manifest", **flags))
