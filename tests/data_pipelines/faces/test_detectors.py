"""Detectors: suppression against brute force, MTCNN's canvas, boxes files and the user's mistakes."""

import json

import numpy as np
import pytest

from data_pipelines.faces.detectors import detector, mtcnn, nms, precomputed
from data_pipelines.video import decode
from dfdetect_jax.errors import UserError


def overlap(a, b, of_smaller):
  w = min(a[2], b[2]) - max(a[0], b[0])
  h = min(a[3], b[3]) - max(a[1], b[1])
  shared = max(w, 0) * max(h, 0)
  sizes = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
  return shared / (min(sizes) if of_smaller else sum(sizes) - shared)


@pytest.mark.parametrize("of_smaller", [False, True])
def test_suppression_equals_the_loop(of_smaller):
  """Guards against the vectorised suppression dropping boxes because of boxes that were dropped themselves."""
  rng = np.random.default_rng(0)
  corner = rng.uniform(0, 60, (120, 2))
  boxes = np.concatenate([corner, corner + rng.uniform(5, 40, (120, 2))], 1)
  scores = rng.uniform(size=120)
  kept = []
  for n in sorted(range(120), key=lambda n: -scores[n]):
    if all(overlap(boxes[n], boxes[k], of_smaller) <= 0.4 for k in kept):
      kept.append(n)
  assert nms.suppress(boxes, scores, 0.4, of_smaller).tolist() == kept
  expected = [[overlap(a, b, False) for b in boxes[:7]] for a in boxes]
  np.testing.assert_allclose(nms.iou(boxes, boxes[:7]), expected, atol=1e-12)


@pytest.mark.parametrize("long_side", mtcnn.LONG_SIDES)
def test_pyramid_levels_do_not_touch_on_the_canvas(long_side):
  """Guards against two levels overlapping on the shared canvas, which would invent or hide faces."""
  (height, width), places = mtcnn.pyramid_layout(long_side)
  canvas = np.zeros((height, width), int)
  for k, (y, x) in enumerate(places):
    h, w = (int(side * mtcnn.SCALE_FACTOR**k) for side in (mtcnn.SHORT_SIDE, long_side))
    assert y % 2 == 0 and x % 2 == 0 and y + h <= height and x + w <= width
    canvas[y : y + h, x : x + w] += 1
  assert canvas.max() == 1
  assert min(h, w) >= mtcnn.CELL > min(h, w) * mtcnn.SCALE_FACTOR


@pytest.fixture(scope="module")
def cascade():
  return mtcnn.create()


def test_no_face_in_noise_and_plain_pictures(cascade):
  """Guards against proposals at the canvas's borders and against crashes on pictures without a single proposal."""
  noise = np.random.default_rng(1).integers(0, 256, (2, 120, 160, 3), np.uint8)
  assert cascade.detect(noise) == [[], []]
  assert cascade.detect(np.full((1, 90, 200, 3), 90, np.uint8)) == [[]]
  assert cascade.detect(np.zeros((1, 300, 20, 3), np.uint8)) == [[]]


@pytest.mark.realfaces
def test_what_is_found_does_not_depend_on_the_neighbours_in_the_batch(cascade, realfaces):
  """Guards against results that change with the batch, and with it bytes that change with the number of workers."""
  frames = [f.image for f in decode.read_frames(realfaces / "videos/grid_bbaf2n.mpg", max_frames=6)]
  together = cascade.detect(np.stack(frames))
  for image, faces in zip(frames, together, strict=True):
    (alone,) = cascade.detect(image[None])
    assert len(alone) == len(faces) == 1
    np.testing.assert_array_equal(alone[0].box, faces[0].box)
    np.testing.assert_array_equal(alone[0].landmarks, faces[0].landmarks)


@pytest.mark.realfaces
@pytest.mark.parametrize("turned", [False, True])
def test_landmarks_lie_in_their_order_and_turn_with_the_canvas(cascade, realfaces, turned):
  """Guards against swapped x and y, left and right, and against a wrong canvas for standing pictures."""
  image = next(decode.read_frames(realfaces / "videos/grid_bbaf2n.mpg")).image
  if turned:  # a standing picture: the same one with grey bars above and below
    image = np.pad(image, ((200, 200), (0, 0), (0, 0)), constant_values=128)
  (face,) = cascade.detect(image[None])[0]
  left_eye, right_eye, nose, left_mouth, right_mouth = face.landmarks
  assert left_eye[0] < nose[0] < right_eye[0] and left_mouth[0] < right_mouth[0]
  assert max(left_eye[1], right_eye[1]) < nose[1] < min(left_mouth[1], right_mouth[1])
  assert (face.landmarks > face.box[:2]).all() and (face.landmarks < face.box[2:]).all()


@pytest.mark.realfaces
def test_dlib_finds_the_same_face(cascade, realfaces):
  """Guards against the second detector giving boxes in another convention than the first."""
  image = next(decode.read_frames(realfaces / "videos/grid_bbaf2n.mpg")).image
  (ours,), (other,) = cascade.detect(image[None])[0], detector.create("dlib").detect(image[None])[0]
  assert nms.iou(ours.box[None], other.box[None]) > 0.5
  assert other.landmarks is None and 0 < other.score < 1


def test_boxes_files(tmp_path):
  """Guards against misread boxes files: both layouts, landmarks, frames looked at without a face."""
  table = tmp_path / "boxes.csv"
  marks = ",".join(f"l{a}{n}" for n in range(1, 6) for a in "xy")
  table.write_text(
    f"video,frame,x1,y1,x2,y2,score,{marks}\nv.mp4,3,1,2,30,40,0.5,1,2,3,4,5,6,7,8,9,10\nv.mp4,3,5,6,7,8,,,,,,,,,,,\n"
  )
  first, second = precomputed.create(str(table)).faces_of("unknown", "v.mp4")[3]
  assert first.box.tolist() == [1, 2, 30, 40] and first.score == 0.5
  assert first.landmarks.tolist() == [[1, 2], [3, 4], [5, 6], [7, 8], [9, 10]]
  assert second.score == 1 and second.landmarks is None
  tree = tmp_path / "boxes.json"
  tree.write_text(json.dumps({"v.mp4": {"0": [[1, 2, 30, 40]], "5": []}}))
  faces = precomputed.create(str(tree)).faces_of("v.mp4")
  assert faces[5] == [] and faces[0][0].box.tolist() == [1, 2, 30, 40]
  assert precomputed.create(str(tree)).faces_of("w.mp4") is None


@pytest.mark.parametrize(
  "content, words",
  [
    ("video,frame,x1,y1,x2\n", "y2 is missing"),
    ("video,frame,x1,y1,x2,y2\nv,one,1,2,3,4\n", "invalid literal"),
    ("video,frame,x1,y1,x2,y2\nv,1,30,2,3,4\n", "x1 < x2"),
    ("video,frame,x1,y1,x2,y2\nv,1,nan,2,3,4\n", "finite"),
  ],
)
def test_bad_boxes_files_are_the_users_mistake(tmp_path, content, words):
  """Guards against tracebacks on a mistyped boxes file."""
  path = tmp_path / "boxes.csv"
  path.write_text(content)
  with pytest.raises(UserError, match=words):
    precomputed.create(str(path))
  (tmp_path / "boxes.json").write_text("[1, 2")
  with pytest.raises(UserError, match="not a file of boxes"):
    precomputed.create(str(tmp_path / "boxes.json"))


def test_detectors_that_lack_something_say_so(tmp_path):
  """Guards against tracebacks on a detector's name or files."""
  for name, model, words in (
    ("retina", "", "there is no face detector 'retina'"),
    ("yunet", "", "needs its model file"),
    ("yunet", str(tmp_path / "none.onnx"), "no such file"),
    ("precomputed", "", "needs its boxes"),
    ("precomputed", str(tmp_path / "none.csv"), "no such file"),
    ("dlib", "many", "number of upsamplings"),
    ("mtcnn", "model.h5", "takes no --detector-model"),
  ):
    with pytest.raises(UserError, match=words):
      detector.create(name, model)
  broken = tmp_path / "broken.onnx"
  broken.write_bytes(b"not a model")
  with pytest.raises(UserError, match="not a YuNet model"):
    detector.create("yunet", str(broken))
