"""Rendered heads and their forgeries, before any encoding."""

import numpy as np
import pytest

from data_pipelines.synthetic.face import draw_person
from data_pipelines.synthetic.forgeries import FAULTS, MANIPULATIONS
from data_pipelines.synthetic.head import Light, jaw_drop, rotation, see
from data_pipelines.synthetic.identity import U_SCALE
from data_pipelines.synthetic.noise import generator
from data_pipelines.synthetic.rendering import frame_size, render
from data_pipelines.synthetic.variation import draw_variation, redraw

SEED, TARGET, SOURCE, FRAMES, SIZE = 3, 1, 4, 10, 128


@pytest.fixture(scope="module")
def frames():
  """One real video with all its forgeries."""
  return list(render(SEED, TARGET, SOURCE, FRAMES, SIZE, MANIPULATIONS))


def test_forgery_is_confined_to_its_mask(frames):
  """Guards the masks' meaning: outside, a fake is its target pixel for pixel; inside, most pixels were changed."""
  for frame in frames:
    assert frame.real.shape == (*frame_size(SIZE), 3) and frame.real.dtype == np.uint8
    for name in MANIPULATIONS:
      changed = (frame.fakes[name] != frame.real).any(-1)
      assert not changed[~frame.masks[name]].any()
      assert changed[frame.masks[name]].mean() > 0.5
      assert 0.01 < frame.masks[name].mean() < 0.35
    assert not frame.masks["NeuralTextures"][~frame.masks["FaceSwap"]].any(), "the mouth lies within the face"


@pytest.mark.parametrize("asked", [(), ("FaceSwap",), ("NeuralTextures", "Deepfakes")])
def test_frames_do_not_depend_on_what_else_is_made(frames, asked):
  """Guards resuming: a manipulation that is made later, alone, gives the same frames."""
  for frame, alone in zip(frames, render(SEED, TARGET, SOURCE, FRAMES, SIZE, asked), strict=True):
    np.testing.assert_array_equal(frame.real, alone.real)
    assert set(alone.fakes) == set(asked)
    for name in asked:
      np.testing.assert_array_equal(frame.fakes[name], alone.fakes[name])
      np.testing.assert_array_equal(frame.masks[name], alone.masks[name])


def test_seed_and_identity_change_the_video(frames):
  """Guards the streams of random numbers: another seed or another person must not repeat a video."""
  for seed, target in ((SEED + 1, TARGET), (SEED, SOURCE)):
    other = next(render(seed, target, TARGET if target != TARGET else SOURCE, FRAMES, SIZE, ()))
    assert np.abs(other.real.astype(int) - frames[0].real).mean() > 5


@pytest.mark.parametrize("name", MANIPULATIONS)
def test_forgeries_err_anew_in_every_frame(frames, name):
  """Guards the signal: what a forgery adds to its target changes from frame to frame instead of staying put."""
  error = np.stack([frame.fakes[name].astype(float) - frame.real for frame in frames])
  both = np.logical_and.reduce([frame.masks[name] for frame in frames])
  error = error[:, both]
  changing = error - error.mean(0)
  assert changing.std() > 2.0, "grey levels"
  neighbours = np.mean(changing[1:] * changing[:-1]) / np.mean(changing**2)
  assert neighbours < 0.5, "errors of consecutive frames are hardly related"


def test_redrawing_leaves_the_distribution_of_single_frames():
  """Guards the fairness of single frames: a variation drawn anew in part has the spread of one drawn once."""
  rng = generator(0, "test")
  kept = [draw_variation(rng) for _ in range(4000)]
  for fault in FAULTS.values():
    again = [redraw(v, rng, fault.warp, fault.tint, fault.mouth) for v in kept]
    for part in ("warp", "tint", "mouth_tint"):
      before, after = (np.stack([getattr(v, part).ravel() for v in draws]) for draws in (kept, again))
      np.testing.assert_allclose(after.std(), before.std(), rtol=0.03)  # 3 standard errors of correlated entries
      np.testing.assert_allclose(after.mean() / before.std(), 0, atol=0.04)


@pytest.mark.parametrize(
  "yaw, pitch, roll, jaw", [(0.0, 0.0, 0.0, 0.0), (0.3, -0.1, 0.1, 0.0), (-0.25, 0.15, -0.2, 0.1)]
)
def test_rays_meet_the_surface(yaw, pitch, roll, jaw):
  """Guards the geometry: the surface point found for a pixel, projected by hand, falls on that pixel again."""
  person = draw_person(SEED, TARGET)
  scale, centre, turn = 80.0, np.array([100.3, 120.8]), rotation(yaw, pitch, roll)
  light = Light(np.array([0, 0, 1.0]), np.ones(3) * 0.7, np.ones(3) * 0.4)
  view = see(person.head, turn, centre, scale, jaw, light)
  v = view.y - jaw_drop(view.y, jaw)
  column = np.clip(np.round((view.u + 1.5) * 479 / 3.0), 0, 479).astype(int)
  row = np.clip(np.round((v + 1.06) * 351 / 2.12), 0, 351).astype(int)
  radius = person.head.radius(v) * (1 + person.textures.height[row, column])
  longitude = view.u / U_SCALE
  p = person.identity
  point = np.stack([p.width * radius * np.sin(longitude), view.y, p.depth * radius * np.cos(longitude)], -1)
  pixel = centre + scale * (point @ turn.T)[..., :2]
  y, x = np.mgrid[: view.u.shape[0], : view.u.shape[1]]
  off = np.hypot(pixel[..., 0] - x - view.x0, pixel[..., 1] - y - view.y0)
  face = (view.opacity > 0.99) & (np.abs(view.u) < 0.5) & (np.abs(v - 0.2) < 0.6)
  assert face.sum() > 4000
  assert np.median(off[face]) < 0.15 and np.percentile(off[face], 99) < 1.5, "pixels"


def test_head_turns_the_way_it_says():
  """Guards the pose's signs: positive yaw carries the nose to the image's right, positive pitch downwards."""
  nose = np.array([0, 0, 1.0])
  assert (rotation(0.3, 0, 0) @ nose)[0] > 0.2
  assert (rotation(0, 0.3, 0) @ nose)[1] > 0.2
  np.testing.assert_allclose(rotation(0.3, -0.2, 0.1) @ rotation(0.3, -0.2, 0.1).T, np.eye(3), atol=1e-6)


def test_head_beyond_the_frame_is_cut():
  """Guards windows at the frame's edge: a head that leaves the frame must neither crash nor wrap around."""
  person = draw_person(SEED, TARGET)
  light = Light(np.array([0, 0, 1.0]), np.ones(3) * 0.7, np.ones(3) * 0.4)
  for centre in ((0.0, 0.0), (159.0, 100.0), (-500.0, 40.0)):
    view = see(person.head, rotation(0, 0, 0), np.array(centre), 60.0, 0.0, light).within(128, 160)
    rows, columns = view.window
    assert view.light.shape[:2] == view.u.shape
    if view.u.size:
      assert 0 <= rows.start <= rows.stop <= 128 and 0 <= columns.start <= columns.stop <= 160
