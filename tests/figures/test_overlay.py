"""Heat lands on the face that it is about: after cropping, rotation and alignment."""

import numpy as np
import pytest

from data_pipelines.faces import crop
from dfdetect_jax.figures import overlay


@pytest.mark.parametrize("degrees", [0, 35, -90, 180])
@pytest.mark.parametrize("clip_size", [64, 112])
def test_heat_of_the_crop_lies_on_the_same_spot_of_the_video(degrees, clip_size):
  """Guards the way back to the frame: a spot on an eye is cropped, found in the crop, and drawn where it was."""
  turn = np.deg2rad(degrees)
  rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
  landmarks = (rotation @ ((crop.TEMPLATE - 0.5) * 90).T).T + [170, 120]
  transform = crop.aligned_transforms(landmarks[None], margin=1.4, size=128)[0]
  y, x = np.indices((240, 320)) + 0.5
  eye = landmarks[0]
  spot = np.exp(-((x - eye[0]) ** 2 + (y - eye[1]) ** 2) / 18) * 255
  frame = np.repeat(spot[..., None], 3, axis=-1).astype(np.uint8)
  cut = crop.cut(frame, transform, 128, crop.samples_per_pixel(transform[None]))[..., 0].astype(np.float32)
  maps = overlay.heat(cut[None], frames=4, size=clip_size)
  assert maps.shape == (4, clip_size, clip_size)
  back = overlay.in_video(maps[2], transform, 128, (240, 320))
  peak = np.average(np.argwhere(back > back.max() / 2), axis=0) + 0.5
  np.testing.assert_allclose(peak[::-1], eye, atol=0.8)
  corner = transform @ [128, 128, 1]
  beyond = np.clip((corner + 0.2 * (corner - [170, 120])).astype(int), 0, [319, 239])
  assert back[beyond[1], beyond[0]] == 0
  # The eye is upper left in the aligned crop, wherever the head lay.
  assert (np.array(np.unravel_index(cut.argmax(), cut.shape)) < 64).all()


def test_a_map_stands_for_its_frames_and_its_side():
  """Guards time and sign: merged frames get their map, and "real" is what speaks against a forgery."""
  drawn = np.zeros((2, 2, 2), np.float32)
  drawn[0, 0, 0], drawn[1, 1, 1] = 2.0, -3.0
  fake, real = overlay.heat(drawn, 5, 8), overlay.heat(drawn, 5, 8, "real")
  assert [int(f.max()) for f in fake] == [2, 2, 0, 0, 0] and [int(f.max()) for f in real] == [0, 0, 3, 3, 3]
  assert np.unravel_index(fake[0].argmax(), (8, 8)) == (0, 0)
  assert np.unravel_index(real[4].argmax(), (8, 8))[0] >= 6


def test_no_heat_leaves_the_picture_alone():
  """Guards the blend: a picture without heat is the picture, with heat it changes where the heat is."""
  image = np.random.default_rng(0).integers(0, 256, (8, 8, 3)).astype(np.uint8)
  nothing = np.zeros((8, 8), np.float32)
  np.testing.assert_array_equal(overlay.blend(image, nothing), image)
  nothing[3, 4] = 1e-9  # its own greatest is full strength, unless another is given
  changed = (overlay.blend(image, nothing) != image).any(axis=-1)
  assert changed[3, 4] and changed.sum() == 1
  np.testing.assert_array_equal(overlay.blend(image, nothing, full=1.0), image)
