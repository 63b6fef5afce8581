"""Each distortion at each level does what its definition says, on inputs where that can be measured."""

import numpy as np
import pytest

from data_pipelines.video import distortions
from data_pipelines.video.distortions import DISTORTIONS, LEVELS
from dfdetect_jax.errors import UserError

SEVEN = [name for name in DISTORTIONS if name != "frame_dropping"]


def _video(frames=20, height=96, width=128, seed=0):
  """A coloured ramp that moves, with some texture; no pixel near black or white."""
  rng = np.random.default_rng(seed)
  y, x = np.mgrid[:height, :width]
  texture = rng.integers(-12, 13, (height, width, 1))
  ramp = np.stack([80 + x * 80 / width, 90 + y * 60 / height, 160 - x * 60 / width], -1) + texture
  return [np.roll(ramp, 2 * t, 1).astype(np.uint8) for t in range(frames)]


def _distorted(frames, name, level, video="v", rate=25.0):
  return np.stack(list(distortions.distort(frames, name, level, video, rate)))


def _luma_and_chroma(frames):
  """BT.601 luma and colour differences of RGB in float64, written down without the matrix that is under test."""
  r, g, b = np.moveaxis(np.asarray(frames, np.float64) / 255, -1, 0)
  y = 0.299 * r + 0.587 * g + 0.114 * b
  return 16 / 255 + 219 / 255 * y, 128 / 255 + 112 / 255 * (b - y) / 0.886, 128 / 255 + 112 / 255 * (r - y) / 0.701


@pytest.mark.parametrize("level", LEVELS)
def test_saturation_scales_the_chroma_and_leaves_the_luma(level):
  """Guards the colour axis and the factor: chroma distances from grey shrink by p, brightness stays."""
  frames = _video(2)
  p = (0.4, 0.3, 0.2, 0.1, 0.0)[level - 1]
  y0, cb0, cr0 = _luma_and_chroma(frames)
  y1, cb1, cr1 = _luma_and_chroma(_distorted(frames, "saturation", level))
  # 8-bit rounding of R, G, B moves a plane by half a level at most (the rows of the matrix sum to less than one).
  half = 0.5 / 255 * 1.001
  np.testing.assert_allclose(y1, y0, rtol=0, atol=half)
  np.testing.assert_allclose(cb1, 128 / 255 + (cb0 - 128 / 255) * p, rtol=0, atol=half)
  np.testing.assert_allclose(cr1, 128 / 255 + (cr0 - 128 / 255) * p, rtol=0, atol=half)


@pytest.mark.parametrize("level", LEVELS)
def test_contrast_multiplies_pixels(level):
  """Guards the factor on every 8-bit level."""
  p = (0.85, 0.725, 0.6, 0.475, 0.35)[level - 1]
  levels = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, 2)
  expected = levels.astype(np.float64) * p
  np.testing.assert_allclose(_distorted([levels], "contrast", level)[0], expected, rtol=0, atol=0.5001)


@pytest.mark.parametrize("shape, unit", [((300, 520), 1), ((530, 700), 2), ((200, 400), 0)])
@pytest.mark.parametrize("level", LEVELS)
def test_block_wise_places_the_counted_blocks(level, shape, unit):
  """Guards count, size and colour of the blocks, their renewal per frame, and the one block of small frames."""
  count = max(1, unit * (16, 32, 48, 64, 80)[level - 1])
  frames = [np.zeros((*shape, 3), np.uint8)] * 2
  first, second = _distorted(frames, "block_wise", level)
  assert set(np.unique(first)) == {0, 128}
  rng = np.random.default_rng(0)
  # Overlap hides some pixels: the covered area must be that of `count` uniform 8x8 blocks, by simulation.
  areas = []
  for _ in range(200):
    area = np.zeros(shape, bool)
    for y, x in zip(rng.integers(shape[0] - 7, size=count), rng.integers(shape[1] - 7, size=count)):
      area[y : y + 8, x : x + 8] = True
    areas.append(area.sum())
  covered = (first[..., 0] == 128).sum()
  assert min(areas) - 64 <= covered <= max(areas) + 64 and covered <= 64 * count
  assert (first != second).any()


@pytest.mark.parametrize("level", LEVELS)
def test_gaussian_noise_has_its_variance_on_all_three_planes(level):
  """Guards variance, planes and clipping against the same experiment written with float64 and textbook BT.601."""
  p = (0.001, 0.002, 0.005, 0.01, 0.05)[level - 1]
  grey = np.full((256, 256, 3), 128, np.uint8)
  got = _luma_and_chroma(_distorted([grey], "gaussian_noise", level)[0])
  rng = np.random.default_rng(7)
  y, cb, cr = (plane + np.sqrt(p) * rng.standard_normal((256, 256)) for plane in _luma_and_chroma(grey))
  y, cb, cr = (y - 16 / 255) * 255 / 219, (cb - 128 / 255) * 0.886 * 255 / 112, (cr - 128 / 255) * 0.701 * 255 / 112
  r, b = y + cr, y + cb
  g = (y - 0.299 * r - 0.114 * b) / 0.587
  expected = _luma_and_chroma(np.rint(255 * np.clip(np.stack([r, g, b], -1), 0, 1)))
  # The ratio of two sample variances of n values has a standard deviation of 2/sqrt(n): 0.8 %, five of them are 4 %.
  for ours, theirs in zip(got, expected):
    assert 0.96 < ours.var() / theirs.var() < 1.04
    assert abs(ours.mean() - theirs.mean()) < 5 * np.sqrt(2 * p) / 256
  if p <= 0.005:  # little is clipped: the variance is p itself
    assert 0.96 < got[0].var() / p < 1.04


@pytest.mark.parametrize("level", LEVELS)
def test_blur_is_its_kernel(level):
  """Guards kernel size and σ = p/6 against a convolution written out in float64."""
  p = (7, 9, 13, 17, 21)[level - 1]
  frame = np.random.default_rng(0).integers(0, 256, (40, 48, 3), np.uint8)
  offsets = np.arange(p) - p // 2
  kernel = np.exp(-(offsets**2) / (2 * (p / 6) ** 2))
  kernel /= kernel.sum()
  padded = np.pad(frame.astype(np.float64), ((p // 2,) * 2, (p // 2,) * 2, (0, 0)), "reflect")
  rows = sum(k * padded[i : i + 40] for i, k in enumerate(kernel))
  expected = sum(k * rows[:, i : i + 48] for i, k in enumerate(kernel))
  np.testing.assert_allclose(_distorted([frame], "blur", level)[0], expected, rtol=0, atol=0.51)


@pytest.mark.parametrize("level", LEVELS)
def test_pixelation_reduces_and_enlarges(level):
  """Guards the factor against bilinear sampling written out in float64 (half-pixel centres, clamped edges)."""
  p = (2, 3, 4, 5, 6)[level - 1]
  frame = np.random.default_rng(0).integers(0, 256, (41, 50, 3), np.uint8)

  def resize(image, size):
    for axis, length in enumerate(size):
      at = (np.arange(length) + 0.5) * image.shape[axis] / length - 0.5
      low = np.floor(at).astype(int)
      shape = [-1 if a == axis else 1 for a in range(3)]
      last = image.shape[axis] - 1
      share = (at - low).reshape(shape)
      lower, upper = (np.take(image, np.clip(low + k, 0, last), axis) for k in (0, 1))
      image = (1 - share) * lower + share * upper
    return image

  expected = resize(resize(frame.astype(np.float64), (41 // p, 50 // p)), (41, 50))
  np.testing.assert_allclose(_distorted([frame], "pixelation", level)[0], expected, rtol=0, atol=0.51)


@pytest.mark.parametrize("level", LEVELS)
def test_compression_uses_the_rate_factor(level):
  """Guards the crf that x264 writes into the stream, the number of frames, and odd sizes."""
  frames = _video(9, 95, 127)
  for time, frame in enumerate(frames):
    frame[30:60, 12 * time : 12 * time + 24] = 230  # a bar that runs through the picture
  crf = (30, 32, 35, 38, 40)[level - 1]
  size, count, stream = distortions.h264(frames, crf, 29.97)
  assert (size, count) == ((95, 127), 9) and f"crf={crf}.0".encode() in stream and b"264 - core" in stream
  out = _distorted(frames, "compression", level)
  assert out.shape == (9, 95, 127, 3)
  # Each frame came back in its place: it is nearer to its original than to that of another time.
  errors = np.array([[np.abs(o.astype(int) - f).mean() for f in frames] for o in out])
  assert (errors.argmin(1) == np.arange(9)).all()


def test_compression_grows_worse_with_the_level():
  """Guards the order of levels: the error must rise from 1 to 5."""
  frames = _video(9)
  errors = [np.abs(_distorted(frames, "compression", k).astype(int) - frames).mean() for k in LEVELS]
  assert errors == sorted(errors) and errors[0] > 0


@pytest.mark.parametrize("level", LEVELS)
def test_frame_dropping_keeps_length_and_order(level):
  """Guards FFta: of each 16 frames `level` are lost, as many come twice, and time never runs backwards or drifts."""
  frames = [np.full((16, 16, 3), t, np.uint8) for t in range(40)]
  shown = _distorted(frames, "frame_dropping", level)[:, 0, 0, 0].astype(int)
  assert len(shown) == 40 and (np.diff(shown) >= 0).all()
  for start in (0, 16):
    window = shown[start : start + 16]
    assert set(window) <= set(range(start, start + 16)) and len(set(window)) == 16 - level
    assert np.bincount(window).max() == 2
  assert len(set(shown[32:])) == 8 - level * 8 // 16


@pytest.mark.parametrize("name", DISTORTIONS)
def test_same_video_same_frames_and_never_the_clean_ones(name):
  """Guards determinism, independence of the draws of two videos, and that every cell differs from clean."""
  frames = _video(17)
  once, again, other = (_distorted(frames, name, 3, v) for v in ("a", "a", "b"))
  assert once.dtype == np.uint8 and once.shape == (17, 96, 128, 3)
  np.testing.assert_array_equal(once, again)
  random = name in ("block_wise", "gaussian_noise", "frame_dropping")
  assert (once != other).any() == random
  assert (once != np.stack(frames)).any()
  cells = {_distorted(frames, name, level).tobytes() for level in LEVELS}
  # A frame under 256 pixels has one grey block at every level.
  assert len(cells) == 5


def test_frames_are_not_written_to():
  """Guards the caller's frames: block_wise on a decoder's buffer must not spoil the clean video."""
  frames = _video(3)
  copies = [f.copy() for f in frames]
  for name in SEVEN:
    _distorted(frames, name, 5)
  np.testing.assert_array_equal(frames, copies)


def test_unknown_names_and_levels_are_refused():
  """Guards the message for a mistyped distortion."""
  with pytest.raises(UserError, match="no distortion 'blurr'"):
    distortions.distort([], "blurr", 1, "v")
  with pytest.raises(UserError, match="levels 1 to 5, not 6"):
    distortions.distort([], "blur", 6, "v")


def test_empty_video_gives_no_frames():
  """Guards the ends of the generators that look ahead."""
  assert [list(distortions.distort([], name, 1, "v")) for name in DISTORTIONS] == [[]] * len(DISTORTIONS)
