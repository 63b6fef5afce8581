"""Stored pictures: lossless where that is said, close where it is not, and the same bytes every time."""

import numpy as np
import pytest

from data_pipelines.video import encoding
from dfdetect_jax.errors import UserError


def smooth_picture():
  y, x = np.mgrid[0:64, 0:64]
  return np.stack([x * 4, y * 4, 255 - 2 * (x + y)], -1).astype(np.uint8)


@pytest.mark.parametrize("name", ["png", "webp"])
def test_lossless_encodings_lose_nothing(name):
  """Guards against swapped colour channels and against a lossy WebP."""
  noise = np.random.default_rng(0).integers(0, 256, (48, 48, 3), np.uint8)
  data = encoding.parse(name).encode(noise)
  np.testing.assert_array_equal(encoding.decode(data), noise)
  assert encoding.parse(name).encode(noise) == data


def test_jpeg_is_close_and_keeps_colour_resolution():
  """Guards against the default halving of colour, which hides what a forgery's blending leaves."""
  image = smooth_picture()
  assert np.abs(encoding.decode(encoding.parse("jpeg").encode(image)).astype(int) - image).max() <= 6
  stripes = np.zeros((32, 32, 3), np.uint8)
  stripes[:, ::2, 0] = 255
  stripes[:, 1::2, 2] = 255
  stored = encoding.decode(encoding.parse("jpeg:100").encode(stripes)).astype(int)
  assert np.abs(stored - stripes).mean() < 3


@pytest.mark.parametrize("text", ["bmp", "png:3", "jpeg:0", "jpeg:101", "jpeg:high", ""])
def test_unknown_encodings_are_refused(text):
  """Guards against a mistyped encoding that silently becomes another one."""
  with pytest.raises(UserError, match="--encoding="):
    encoding.parse(text)


def test_what_is_no_picture_is_refused():
  """Guards against OpenCV's silent None."""
  for data in (b"", b"not a picture"):
    with pytest.raises(ValueError, match="not a picture"):
      encoding.decode(data)
