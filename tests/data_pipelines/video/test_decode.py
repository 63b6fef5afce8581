"""Decoding: what a file says of itself is obeyed or refused, never believed blindly."""

import gc
import struct

import av
import numpy as np
import pytest
from helpers.videos import index_in_front

from data_pipelines.video import decode


def frames_of(path, **options):
  return list(decode.read_frames(path, **options))


def difference(a, b):
  return np.abs(a.astype(int) - b.astype(int)).mean()


@pytest.mark.parametrize(
  "name, codec, pixels, tolerance",
  [
    ("v.mp4", "libx264", "yuv420p", 4),
    ("v.mkv", "libx264", "yuv420p", 4),
    ("v.264", "libx264", "yuv420p", 4),
    ("v.mpg", "mpeg1video", "yuv420p", 8),
    ("v.mp4", "libx265", "yuv420p", 6),
    ("v.gif", "gif", "rgb8", 30),
  ],
)
def test_every_format_gives_every_frame_in_order(tmp_path, write_video, moving_frames, name, codec, pixels, tolerance):
  """Guards against a format that loses frames (raw streams without timestamps, B-frames, GIF) or their order."""
  frames = moving_frames(0)
  path = write_video(tmp_path / name, frames, codec, pixels=pixels)
  read = frames_of(path)
  assert [f.index for f in read] == list(range(len(frames)))
  assert all(f.image.shape == (96, 128, 3) and f.image.dtype == np.uint8 for f in read)
  for frame, image in zip(read, frames, strict=True):
    assert difference(frame.image, image) < tolerance
  assert decode.mean_rate([f.time for f in read]) == pytest.approx(25, rel=0.02)


@pytest.mark.parametrize("rotation", [90, 180, -90])
def test_rotation_metadata_is_obeyed(tmp_path, write_video, moving_frames, rotation):
  """Guards against phones' videos lying on their side: stored turned by −r, tagged r, they must come out upright."""
  frames = moving_frames(1, 4)
  turned = [np.rot90(image, -rotation // 90) for image in frames]
  path = write_video(tmp_path / "v.mp4", turned, rotation=rotation)
  with av.open(str(path)) as container:
    assert (next(container.decode(video=0)).rotation - rotation) % 360 == 0  # the tag is really there
  read = frames_of(path)
  assert read[0].full_size == (96, 128)
  for frame, image in zip(read, frames, strict=True):
    assert difference(frame.image, image) < 4


def test_variable_rate_shows_in_the_times(tmp_path, write_video, moving_frames):
  """Guards against timing frames by their number: a rate that drops must show in the times and in the mean rate."""
  times = [0, 1, 2, 3, 13, 23, 33]
  read = frames_of(write_video(tmp_path / "v.mkv", moving_frames(2, 7), times=times))
  assert [f.time for f in read] == pytest.approx([t / 25 for t in times], abs=2e-3)
  assert decode.mean_rate([f.time for f in read]) == pytest.approx(6 / (33 / 25), rel=1e-3)


def test_mean_rate_refuses_absurd_times():
  """Guards against NaN, infinite and negative rates getting into the metadata."""
  nan = float("nan")
  for times in ([], [1.0], [1.0, 1.0], [2.0, 1.0], [nan, nan], [0.0, 1e9], [0.0, 1e-9]):
    assert decode.mean_rate(times) == 0


def test_a_change_of_resolution_keeps_the_first_size(tmp_path, write_video, moving_frames):
  """Guards against frames of several sizes in one video (streams that switch quality) breaking the crops."""
  first = write_video(tmp_path / "a.264", moving_frames(3, 3))
  second = write_video(tmp_path / "b.264", [image[:64, :96] for image in moving_frames(4, 3)])
  both = tmp_path / "both.264"
  both.write_bytes(first.read_bytes() + second.read_bytes())
  read = frames_of(both)
  assert len(read) == 6
  assert {f.image.shape for f in read} == {(96, 128, 3)}


def test_only_as_many_frames_and_pixels_as_asked_for(tmp_path, write_video, moving_frames):
  """Guards against ignoring the first-N-frames protocols, and against enlarging or distorting the detector's view."""
  path = write_video(tmp_path / "v.mp4", moving_frames(5))
  assert len(frames_of(path, max_frames=7)) == 7
  assert {f.image.shape for f in frames_of(path, longest=64)} == {(48, 64, 3)}
  assert {f.image.shape for f in frames_of(path, longest=640)} == {(96, 128, 3)}
  assert {f.full_size for f in frames_of(path, longest=64)} == {(96, 128)}


def test_frames_are_let_go_at_once(tmp_path, write_video, moving_frames):
  """Guards the memory of long videos: pictures of megabytes must not wait for a garbage collection (cycles)."""
  path = write_video(tmp_path / "v.mp4", moving_frames(5, 40), rotation=90)
  gc.collect()
  gc.disable()
  try:
    for frame in decode.read_frames(path):
      if frame.index % 8 == 7:  # to look at every object takes a tenth of a second
        alive = sum(issubclass(type(thing), av.VideoFrame) for thing in gc.get_objects())
        assert alive <= 3, frame.index
  finally:
    gc.enable()


def gif_header(width, height):
  size = struct.pack("<HH", width, height)
  return b"GIF89a" + size + b"\xf0\0\0" + bytes(6) + b"," + bytes(4) + size + bytes(40)


def test_bad_files_say_what_is_wrong(tmp_path, write_video, moving_frames):
  """Guards against tracebacks, hangs and endless memory on files that are not what their names say."""
  good = write_video(tmp_path / "good.mp4", moving_frames(6)).read_bytes()
  audio = tmp_path / "audio.mp4"
  with av.open(str(audio), "w") as output:
    stream = output.add_stream("aac", rate=16000)
    frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
    frame.sample_rate = 16000
    output.mux(stream.encode(frame))
    output.mux(stream.encode(None))
  cases = {
    "missing.mp4": (None, "no such file"),
    "empty.mp4": (b"", "empty file"),
    "text.mp4": (b"path,label\nnot a video\n" * 50, "cannot be decoded"),
    "list.mp4": (b"#EXTM3U\n#EXT-X-VERSION:3\n#EXTINF:1,\ngood.mp4\n#EXT-X-ENDLIST\n", ""),
    "concat.mp4": (b"ffconcat version 1.0\nfile good.mp4\n", ""),
    "head.mp4": (good[:40], "cannot be decoded"),
    "half.mp4": (good[: len(good) // 2], ""),
    "zeros.mp4": (bytes(5000), "cannot be decoded"),
    "huge.gif": (gif_header(12000, 12000), "absurd frame size"),
    "vast.gif": (gif_header(65535, 65535), "cannot be decoded"),
    "audio.mp4": (audio.read_bytes(), "no video stream"),
  }
  for name, (content, reason) in cases.items():
    path = tmp_path / name
    if content is not None:
      path.write_bytes(content)
    with pytest.raises(decode.BrokenVideo) as error:
      frames_of(path)
    assert reason in error.value.reason, name
    assert str(tmp_path) not in error.value.reason  # the failures file names the path beside it
  with pytest.raises(decode.BrokenVideo, match="not a file"):
    frames_of(tmp_path)


def test_a_file_cut_off_is_broken_and_not_short(tmp_path, write_video, moving_frames):
  """Guards against taking a half-downloaded video for a whole one: MP4 with its index in front decodes."""
  path = write_video(tmp_path / "v.mp4", moving_frames(7, 40))
  front = tmp_path / "front.mp4"
  index_in_front(path, front)
  assert len(frames_of(front)) == 40
  front.write_bytes(front.read_bytes()[: int(front.stat().st_size * 0.7)])
  with pytest.raises(decode.BrokenVideo):
    frames_of(front)


def damage(path, share, count=400):
  """Inverts bytes at a share of the picture data."""
  content = bytearray(path.read_bytes())
  start = content.index(b"mdat") + 4
  middle = start + int((len(content) - start) * share)
  content[middle : middle + count] = bytes(255 - b for b in content[middle : middle + count])
  path.write_bytes(content)
  return path


def test_damage_costs_the_frames_up_to_the_next_key_frame_and_is_told(tmp_path, write_video, moving_frames):
  """Guards against concealed damage: what builds upon overwritten bytes is left out, never painted over."""
  frames = moving_frames(8, 30)
  path = damage(write_video(tmp_path / "v.mp4", frames, options={"g": "10"}), 0.5)
  about = decode.About()
  read = frames_of(path, about=about)
  assert 15 <= len(read) < 30
  for frame in read:
    assert difference(frame.image, frames[round(frame.time * 25)]) < 4
  gaps = np.nonzero(np.diff([round(f.time * 25) for f in read]) != 1)[0] + 1
  assert about.cuts == gaps.tolist() and len(gaps) == 1
  (note,) = about.notes
  before, after = read[gaps[0] - 1].time, read[gaps[0]].time
  assert note.startswith(f"damaged at {before + 0.04:.2f} s") and note.endswith(f"up to {after:.2f} s")
  # Without a further key frame it ends there.
  about = decode.About()
  path = damage(write_video(tmp_path / "w.mp4", frames), 1 / 3)
  read = frames_of(path, about=about)
  assert 3 <= len(read) < 20 and all(difference(f.image, image) < 4 for f, image in zip(read, frames))
  (note,) = about.notes
  assert note.startswith(f"the last {30 - len(read)} packets, from {len(read) / 25:.2f} s on, cannot be decoded")
