"""Frames are what a viewer sees: turned, mirrored, with square pixels, fitted, deinterlaced and tone-mapped."""

import fractions

import av
import numpy as np
import pytest

from data_pipelines.video import decode, display


def read(path, **options):
  about = decode.About()
  return list(decode.read_frames(path, about=about, **options)), about


def difference(a, b):
  return np.abs(a.astype(int) - b.astype(int)).mean()


def moved(image, a, b, c, d):
  """The display matrix applied point by point: (p, q) -> (a·p + c·q, b·p + d·q), pushed back to the corner."""
  height, width = image.shape[:2]
  q, p = np.mgrid[:height, :width]
  x, y = a * p + c * q, b * p + d * q
  x, y = x - x.min(), y - y.min()
  out = np.zeros((y.max() + 1, x.max() + 1, 3), image.dtype)
  out[y, x] = image
  return out


MATRICES = [(a, 0, 0, d) for a in (1, -1) for d in (1, -1)] + [(0, b, c, 0) for b in (1, -1) for c in (1, -1)]


@pytest.mark.parametrize("matrix", MATRICES)
def test_the_whole_display_matrix_is_obeyed(tmp_path, write_video, moving_frames, matrix):
  """Guards flips as well as turns: all eight, each against the definition of the matrix, scaled or not."""
  a, b, c, d = matrix
  frames = moving_frames(1, 2)
  one, last = 1 << 16, 1 << 30
  path = write_video(
    tmp_path / "v.mp4",
    frames,
    prepare=lambda s: s.set_display_matrix([a * one, b * one, 0, c * one, d * one, 0, 0, 0, last]),
  )
  shown, about = read(path)
  assert about.notes == []
  for frame, image in zip(shown, frames, strict=True):
    assert frame.image.flags.c_contiguous and difference(frame.image, moved(image, a, b, c, d)) < 4
  assert shown[0].full_size == shown[0].image.shape[:2] == (about.height, about.width)
  turn = display.turn_of_matrix(2 * a, 2 * b, 2 * c, 2 * d)
  assert turn.exact and np.array_equal(turn.of(frames[0]), moved(frames[0], a, b, c, d))


def test_other_angles_are_told(tmp_path, write_video, moving_frames):
  """Guards against silence where the matrix asks for what is not done."""
  path = write_video(tmp_path / "v.mp4", moving_frames(1, 2), prepare=lambda s: s.set_display_rotation(30))
  shown, about = read(path)
  assert len(shown) == 2 and shown[0].image.shape == (96, 128, 3)
  assert about.notes == ["its display matrix turns by other than quarter turns: followed to the nearest one"]


@pytest.mark.parametrize(
  "name, codec, aspect, size",
  [
    ("v.mp4", "libx264", (1, 2), (128, 192)),
    ("v.mkv", "libx264", (2, 1), (256, 96)),
    ("v.ts", "libx264", (12, 11), (140, 96)),
    ("v.mpg", "mpeg2video", (16, 11), (171, 96)),
    ("v.avi", "mpeg4", (4, 3), (171, 96)),
    ("v.mp4", "libx264", (1, 1000), (128, 96)),  # a header that errs
  ],
)
def test_pixels_are_made_square(tmp_path, write_video, name, codec, aspect, size):
  """Guards the shape of faces: a disc stored with other pixels is a disc again, and nothing is lost to make it one."""
  width, height = size
  y, x = np.mgrid[:height, :width]
  disc = np.where((x - width / 2) ** 2 + (y - height / 2) ** 2 < 30**2, 220, 30)[..., None].repeat(3, -1)
  rows, columns = np.linspace(0, height - 1, 96).round().astype(int), np.linspace(0, width - 1, 128).round().astype(int)
  stored = disc[rows][:, columns].astype(np.uint8)
  path = write_video(
    tmp_path / name,
    [stored] * 2,
    codec,
    prepare=lambda s: setattr(s.codec_context, "sample_aspect_ratio", fractions.Fraction(*aspect)),
  )
  shown, about = read(path)
  assert (about.width, about.height) == size and shown[0].image.shape == (height, width, 3)
  bright = shown[0].image.mean(-1) > 125
  assert abs(bright.any(0).sum() - bright.any(1).sum()) <= 4 and abs(bright.sum() - np.pi * 30**2) < 200
  small, _ = read(path, longest=64)
  assert max(small[0].image.shape) == 64 and small[0].full_size == (height, width)


def test_dv_has_the_shape_of_a_television(tmp_path, write_video, moving_frames):
  """Guards codecs that carry the pixels' shape themselves: DV's 720x576 are shown as 768x576."""
  frames = moving_frames(2, 2, 576, 720)
  shape = fractions.Fraction(16, 15)
  path = write_video(
    tmp_path / "v.dv",
    frames,
    "dvvideo",
    prepare=lambda s: setattr(s.codec_context, "sample_aspect_ratio", shape),
  )
  _, about = read(path)
  assert (about.width, about.height) == (768, 576)


def test_a_change_of_shape_is_fitted_and_ends_tracks(tmp_path, write_video, moving_frames):
  """Guards calls whose phone is turned: the upright picture stands whole in the first one's frame, not stretched."""
  first = write_video(tmp_path / "a.264", moving_frames(3, 3))
  tall = [np.ascontiguousarray(np.rot90(image)) for image in moving_frames(4, 3)]
  second = write_video(tmp_path / "b.264", tall)
  both = tmp_path / "both.264"
  both.write_bytes(first.read_bytes() + second.read_bytes())
  shown, about = read(both)
  assert about.cuts == [3] and about.notes == ["pictures change to 96x128 at 0.08 s: fitted into the first 128x96"]
  image = shown[3].image
  assert image.shape == (96, 128, 3) and (image[:, :28] == 0).all() and (image[:, 100:] == 0).all()
  assert difference(image[:, 28:100], np.asarray(av.VideoFrame.from_ndarray(tall[0]).reformat(72, 96).to_ndarray())) < 6
  # Another quality of the same shape needs no cut.
  half = [image[::2, ::2] for image in moving_frames(4, 3)]
  both.write_bytes(first.read_bytes() + write_video(tmp_path / "c.264", half).read_bytes())
  shown, about = read(both)
  assert about.cuts == [] and len(about.notes) == 1 and shown[3].image.min() > 0


def test_the_default_stream_is_shown_and_of_several_the_largest(tmp_path, moving_frames):
  """Guards against judging the preview or the second camera because it stands first in the file."""
  for default, size in ((None, (128, 96)), (0, (64, 48)), (1, (128, 96))):
    path = tmp_path / f"{default}.mkv"
    with av.open(str(path), "w") as output:
      streams = [output.add_stream("libx264", rate=25) for _ in range(2)]
      for n, (stream, (width, height)) in enumerate(zip(streams, [(64, 48), (128, 96)])):
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.disposition = av.stream.Disposition.default if n == default else av.stream.Disposition(0)
      for n in range(3):
        for stream in streams:
          frame = av.VideoFrame.from_ndarray(moving_frames(5, 1, stream.height, stream.width)[0], format="rgb24")
          frame.pts = n
          output.mux(stream.encode(frame))
      for stream in streams:
        output.mux(stream.encode(None))
    shown, about = read(path)
    assert len(shown) == 3 and (about.width, about.height) == size
    number = 1 if size == (64, 48) else 2
    assert about.notes == [f"2 video streams: number {number} is used ({size[0]}x{size[1]})"]


@pytest.mark.parametrize("name, codec", [("v.mp4", "libx264"), ("v.mpg", "mpeg2video")])
def test_fields_become_pictures(tmp_path, write_video, name, codec):
  """Guards interlaced video: combs, which are high vertical frequencies that no face has, are gone; frames are not."""
  x, y = np.arange(128)[None], np.arange(96)[:, None]
  bars = [((x + 6 * n + 3 * (y % 2)) // 16 % 2 * 170 + 40)[..., None].repeat(3, -1).astype(np.uint8) for n in range(12)]
  path = write_video(tmp_path / name, bars, codec, options={"flags": "+ildct+ilme", "b": "4000000"})
  shown, about = read(path)
  assert len(shown) == 12 and about.notes == ["interlaced: deinterlaced (bwdif, one picture a frame)"]
  assert about.times == pytest.approx([n / 25 for n in range(12)], abs=1e-3)
  for frame, combed in list(zip(shown, bars, strict=True))[1:-1]:
    comb = np.abs(np.diff(combed.astype(int), axis=0)).mean()
    assert np.abs(np.diff(frame.image.astype(int), axis=0)).mean() < 0.1 * comb
    lines = combed[::2].repeat(2, 0), combed[1::2].repeat(2, 0)
    assert min(difference(frame.image, field) for field in lines) < 8


@pytest.mark.slow
@pytest.mark.parametrize("transfer, name", [(16, "PQ"), (18, "HLG")])
def test_high_dynamic_range_is_mapped_to_a_screen(tmp_path, transfer, name):
  """Guards HDR: grey stays grey, dark to light keeps its order, and neither end of a portrait's range is crushed."""
  ramp = np.linspace(0, 65535, 256).astype(np.uint16)[None, :, None].repeat(64, 0).repeat(3, -1)
  path = tmp_path / "v.mp4"
  with av.open(str(path), "w") as output:
    stream = output.add_stream("libx265", rate=25)
    stream.width, stream.height, stream.pix_fmt = 256, 64, "yuv420p10le"
    context = stream.codec_context
    context.color_trc, context.color_primaries, context.colorspace = transfer, 9, 9
    trc = {16: "smpte2084", 18: "arib-std-b67"}[transfer]
    stream.options = {"x265-params": f"log-level=none:colorprim=bt2020:transfer={trc}:colormatrix=bt2020nc"}
    for n in range(2):
      frame = av.VideoFrame.from_ndarray(ramp, format="rgb48le")
      frame.pts = n
      output.mux(stream.encode(frame))
    output.mux(stream.encode(None))
  shown, about = read(path)
  assert len(shown) == 2 and about.notes == [f"high dynamic range ({name}): tone-mapped to BT.709"]
  line = shown[0].image[32].astype(int)
  assert np.abs(line - line.mean(-1, keepdims=True)).max() <= 3
  grey = line.mean(-1)
  assert (np.diff(grey) >= -1.5).all() and grey[0] < 8 and grey[-1] > 200
  # Diffuse white (ITU-R BT.2408: PQ 0.58, HLG 0.75) is bright and below what is brighter.
  white = grey[round(255 * {16: 0.58, 18: 0.75}[transfer])]
  assert 100 < white < grey[-1] - 20
