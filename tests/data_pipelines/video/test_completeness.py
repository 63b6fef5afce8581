"""What is whole is read to its end, what is cut short is refused, and what lies between is told."""

import struct

import av
import numpy as np
import pytest
from helpers.videos import index_in_front

from data_pipelines.video import completeness, decode

B_FRAMES = {"bf": "2", "g": "12", "preset": "fast"}
QUICK = {"libvpx": {"deadline": "realtime", "cpu-used": "8"}, "libx264": B_FRAMES}  # encoders' options


def read(path):
  """Numbers of the frames that come back (25 a second) and what is told of them; fails on a wrong picture."""
  about = decode.About()
  return [round(f.time * 25) for f in decode.read_frames(path, about=about)], about


def cut(path, share):
  """The first bytes of a file, beside it."""
  target = path.with_name(f"cut_{path.name}")
  target.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
  return target


def with_audio(path, frames, seconds, codec="libx264", sound="aac", **options):
  """A file of interleaved video and audio, which may be longer."""
  with av.open(str(path), "w", **options) as output:
    video = output.add_stream(codec, rate=25)
    video.width, video.height, video.pix_fmt = frames[0].shape[1], frames[0].shape[0], "yuv420p"
    video.options = QUICK[codec]
    audio = output.add_stream(sound, rate=48000)
    packets = []
    for n, image in enumerate(frames):
      frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
      frame.pts = n
      packets += video.encode(frame)
    packets += video.encode(None)
    noise = np.random.default_rng(0).normal(0, 0.1, (1, audio.codec_context.frame_size or 960)).astype(np.float32)
    for n in range(int(seconds * 48000) // noise.shape[1]):
      frame = av.AudioFrame.from_ndarray(noise, format="fltp", layout="mono")
      frame.sample_rate, frame.pts = 48000, n * noise.shape[1]
      packets += audio.encode(frame)
    packets += audio.encode(None)
    for packet in sorted(packets, key=lambda p: p.dts * p.time_base):
      output.mux(packet)
  return path


@pytest.mark.parametrize(
  "name, codec, options",
  [
    ("v.mp4", "libx264", B_FRAMES),
    ("v.mkv", "libx264", B_FRAMES),
    ("v.avi", "libx264", B_FRAMES),
    ("v.avi", "mpeg4", {"bf": "2"}),
    ("v.flv", "libx264", B_FRAMES),
    ("v.ts", "libx264", B_FRAMES),
    ("v.mpg", "mpeg2video", {"bf": "2"}),
    ("v.webm", "libvpx", QUICK["libvpx"]),
    ("v.wmv", "wmv2", None),
    ("v.mxf", "mpeg2video", None),
    ("v.mov", "mpeg4", {"bf": "2"}),
  ],
)
def test_whole_files_are_whole(tmp_path, write_video, moving_frames, name, codec, options):
  """Guards against refusing what is intact: B-frames with their delay in every container, and nothing to be noted."""
  numbers, about = read(write_video(tmp_path / name, moving_frames(0, 30), codec, options=options))
  assert numbers == list(range(30)) and about.notes == [] and about.cuts == []


@pytest.mark.parametrize(
  "name, codec",
  [
    ("v.mkv", "libx264"),
    ("v.webm", "libvpx"),
    ("v.flv", "flv1"),
    ("v.avi", "libx264"),
    ("v.wmv", "wmv2"),
    ("v.mxf", "mpeg2video"),
  ],
)
@pytest.mark.parametrize("share", [0.6, 0.9])
def test_half_a_download_is_refused(tmp_path, write_video, moving_frames, name, codec, share):
  """Guards against judging the beginning of a video as the whole of it."""
  path = write_video(tmp_path / name, moving_frames(1, 40), codec, options=QUICK.get(codec))
  with pytest.raises(decode.BrokenVideo, match=r"^truncated: [\d.]+ of [\d.]+ (s|frames|bytes)"):
    read(cut(path, share))


@pytest.mark.parametrize(
  "name, codec, sound", [("v.mkv", "libx264", "aac"), ("v.webm", "libvpx", "libopus"), ("v.mp4", "libx264", "aac")]
)
def test_sound_that_goes_on_is_no_missing_picture(tmp_path, moving_frames, name, codec, sound):
  """Guards against a container's duration, which is its longest stream's, being held against the video."""
  path = with_audio(tmp_path / name, moving_frames(2, 30), 4, codec, sound)
  numbers, about = read(path)
  assert numbers == list(range(30)) and about.notes == []
  with pytest.raises(decode.BrokenVideo):
    read(cut(path, 0.4))


def test_fragments_are_whole_or_told(tmp_path, moving_frames):
  """Guards MP4 without an index: a stated duration refuses a part, an interrupted recording is used with a note."""
  frames = moving_frames(3, 40)
  live = with_audio(tmp_path / "live.mp4", frames, 1.6, options={"movflags": "frag_keyframe+empty_moov"})
  assert len(read(live)[0]) == 40 and read(live)[1].notes == []
  numbers, about = read(cut(live, 0.5))
  assert 0 < len(numbers) < 40 and len(about.notes) == 1 and "bytes are missing at its end" in about.notes[0]
  stated = with_audio(tmp_path / "stated.mp4", frames, 1.6, options={"movflags": "frag_keyframe+dash+global_sidx"})
  assert len(read(stated)[0]) == 40 and read(stated)[1].notes == []
  for share in (0.6, 0.9):
    with pytest.raises(decode.BrokenVideo, match=r"truncated: "):
      read(cut(stated, share))


def test_a_recording_that_ends_in_the_middle_is_used_and_told(tmp_path, write_video, moving_frames):
  """Guards streams that state no end: transport streams and live Matroska are used up to the last sound picture."""
  frames = moving_frames(4, 40)
  for path, words in (
    (write_video(tmp_path / "v.ts", frames, options=B_FRAMES), "the file ends within a packet"),
    (with_audio(tmp_path / "live.mkv", frames, 1.6, options={"live": "1"}), "the file ends within a packet"),
    (write_video(tmp_path / "v.gif", frames, "gif", pixels="rgb8"), "lacks its end mark"),
  ):
    assert read(path)[1].notes == []
    numbers, about = read(cut(path, 0.63))
    assert numbers == list(range(len(numbers))) and 8 < len(numbers) < 40, path
    assert any(words in note for note in about.notes), path


def test_an_index_beyond_the_end_and_a_lost_last_frame(tmp_path, moving_frames, write_video):
  """Guards MP4 with its index in front: many frames beyond the file's end refuse it, a torn last one is told."""
  plain = write_video(tmp_path / "plain.mp4", moving_frames(5, 30))
  path = tmp_path / "v.mp4"
  index_in_front(plain, path)
  whole = path.read_bytes()
  path.write_bytes(whole[:-10])
  numbers, about = read(path)
  assert numbers == list(range(29)) and len(about.notes) == 2
  path.write_bytes(whole[: len(whole) // 2])
  with pytest.raises(decode.BrokenVideo, match=r"truncated: \d+ of the 30 frames in its index"):
    read(path)


@pytest.mark.parametrize("start, length", [(0, 20), (13, 12)])
def test_edit_lists_cut_without_truncating(tmp_path, write_video, moving_frames, start, length):
  """Guards trimmed MP4: a header counts 40 samples, the edit list shows some of them, and these are the video."""
  frames = moving_frames(6, 40)
  path = write_video(tmp_path / "v.mp4", frames, options=B_FRAMES)
  content = bytearray(path.read_bytes())
  at = content.index(b"elst")
  duration, media_time = struct.unpack_from(">Ii", content, at + 12)
  assert duration == 1600  # milliseconds
  struct.pack_into(">Ii", content, at + 12, length * 40, media_time + start * 512)
  path.write_bytes(content)
  about = decode.About()
  shown = list(decode.read_frames(path, about=about))
  assert len(shown) == length and about.notes == []
  for frame, image in zip(shown, frames[start : start + length], strict=True):
    assert np.abs(frame.image.astype(int) - image).mean() < 4
  assert [f.time for f in shown] == pytest.approx([n / 25 for n in range(length)], abs=1e-3)


@pytest.mark.parametrize("times", [[0, *range(3, 22)], [*range(10), *range(14, 24)]])
def test_empty_chunks_repeat_the_picture_before(tmp_path, write_video, moving_frames, times):
  """Guards AVI with dropped frames: every slot shows a picture, at its own time, and the repeats are counted."""
  frames = [np.full((96, 128, 3), 20 + 10 * n, np.uint8) for n in range(20)]
  path = write_video(tmp_path / "v.avi", frames, "mpeg4", times=times)
  about = decode.About()
  shown = list(decode.read_frames(path, about=about))
  expected = [max(k for k, t in enumerate(times) if t <= slot) for slot in range(times[-1] + 1)]
  errors = [[np.abs(f.image.astype(int) - image).mean() for image in frames] for f in shown]
  assert np.argmin(errors, axis=1).tolist() == expected
  assert about.times == pytest.approx([slot / 25 for slot in range(times[-1] + 1)], abs=1e-6)
  assert about.notes == [f"{times[-1] + 1 - 20} pictures are repeats of the one before (empty chunks)"]


def test_a_picture_without_a_chunk_of_its_own_is_shown(tmp_path, write_video, monkeypatch):
  """Guards AVI whose decoder gives more pictures than there are chunks: no slot is known, which ended the program."""
  path = write_video(tmp_path / "v.avi", [np.full((96, 128, 3), 20 + 10 * n, np.uint8) for n in range(10)], "mpeg4")
  decoded = decode._Reader._decoded

  def two_of_the_fourth(self):
    for n, frame in enumerate(decoded(self)):
      yield from [frame, frame] if n == 3 else [frame]

  monkeypatch.setattr(decode._Reader, "_decoded", two_of_the_fourth)
  about = decode.About()
  shown = list(decode.read_frames(path, about=about))
  grey = [round(float(f.image.mean()), -1) for f in shown]
  assert grey == [20, 30, 40, 50, 50, 60, 70, 80, 90, 100, 110]
  assert about.notes == [] and np.all(np.diff(about.times) > 0)


@pytest.mark.parametrize("codec", ["libx264", "mpeg2video"])
def test_a_recording_that_begins_between_key_frames(tmp_path, write_video, moving_frames, codec):
  """Guards streams cut anywhere: the pictures before the first key frame are left out, with their number and length."""
  frames = moving_frames(8, 40)
  path = write_video(tmp_path / "v.ts", frames, codec, options={"bf": "2", "g": "12"})
  content = path.read_bytes()
  path.write_bytes(content[188 * (len(content) // 188 // 4) :])
  about = decode.About()
  shown = list(decode.read_frames(path, about=about))
  # Times count from the file's first packet, which is not the video's first frame any more.
  first = int(np.argmin([np.abs(shown[0].image.astype(int) - image).mean() for image in frames]))
  assert 0 < first <= 24 and len(shown) == 40 - first
  for frame, image in zip(shown, frames[first:], strict=True):
    assert np.abs(frame.image.astype(int) - image).mean() < 8
  assert len(about.notes) == 1 and about.notes[0].startswith("the first ") and "left out" in about.notes[0]


def test_streams_joined_end_to_end_keep_time(tmp_path, write_video, moving_frames):
  """Guards timestamps that start again: time goes on, no track runs across, and it is told."""
  path = write_video(tmp_path / "v.ts", moving_frames(9, 40))
  path.write_bytes(2 * path.read_bytes())
  numbers, about = read(path)
  # At the joint the packets' counter jumps, so that FFmpeg calls the last one before it damaged.
  assert (
    76 <= len(numbers) <= 80 and (np.diff(about.times) > 0).all() and about.times[-1] == pytest.approx(3.2, abs=0.2)
  )
  assert set(about.cuts) == {len(numbers) - 40} and any("timestamps start again at 1." in note for note in about.notes)


def test_stated_bytes_of_containers(tmp_path, write_video, moving_frames):
  """Guards the headers' own word: exactly the file's size when whole, and none where nothing is stated."""
  for name, codec, stated in (
    ("v.mkv", "libx264", True), ("v.avi", "mpeg4", True), ("v.mp4", "libx264", True), ("v.wmv", "wmv2", True),
    ("v.ts", "libx264", False), ("v.mpg", "mpeg2video", False),
  ):  # fmt: skip
    path = write_video(tmp_path / name, moving_frames(10, 5), codec)
    assert completeness.stated_bytes(path) == (path.stat().st_size if stated else 0), name
  (tmp_path / "short").write_bytes(b"\x1a\x45\xdf\xa3")
  assert completeness.stated_bytes(tmp_path / "short") == 0
