"""What `benchmarks.against_torch detect` does: faces found in whole videos, against others, and on fewer frames."""

import importlib
import pathlib
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

import cv2
import numpy as np

from benchmarks.in_turn import Program, in_turn, markdown, ratios, spread, torch_device
from data_pipelines.faces.detectors import detector as detectors
from data_pipelines.faces.detectors import mtcnn, nms
from data_pipelines.faces.face_tracks import FaceOptions, FaceTrack, face_tracks
from data_pipelines.synthetic.video_writer import VideoWriter
from data_pipelines.video import decode
from dfdetect_jax.errors import UserError

Look = Callable[[np.ndarray], list[np.ndarray]]  # frames `[N, H, W, 3]` uint8 -> boxes `[n, 4]` of each
BATCH = 4  # frames that a detector is given at once
VIDEO_FRAMES = 250  # of a video, where videos a minute are told: 10 s of 25 frames
SAME = 0.5  # overlap from which two boxes are one face


def smallest_face(frames: np.ndarray) -> int:
  """Ours in pixels, for all of the other detectors that ask."""
  return round(mtcnn.SMALLEST_FACE * min(frames.shape[1:3]))


def ours() -> Look:
  detector = detectors.create("mtcnn")

  def look(frames):
    found = [[face.box for face in faces if face.sure] for faces in detector.detect(frames)]
    return [np.reshape(boxes, (-1, 4)) for boxes in found]

  return look


def facenet_pytorch() -> Look:
  import torch

  make = importlib.import_module("facenet_pytorch").MTCNN
  made: dict[int, Any] = {}

  def look(frames):
    size = smallest_face(frames)
    if size not in made:
      made[size] = make(
        keep_all=True, min_face_size=size, thresholds=list(mtcnn.THRESHOLDS), factor=mtcnn.SCALE_FACTOR,
        post_process=False, device=torch_device(),
      )  # fmt: skip
    with torch.inference_mode():
      found, _ = made[size].detect(frames)
    return [np.zeros((0, 4)) if boxes is None else np.asarray(boxes, np.float64) for boxes in found]

  return look


def tensorflow() -> Look:
  importlib.import_module("tensorflow")  # which the package mtcnn itself does not ask for
  detector = importlib.import_module("mtcnn").MTCNN()
  first, second, third = mtcnn.THRESHOLDS

  def look(frames):
    # Version 1.0.0 finds nothing with a min_face_size much above its 20 (its pyramid goes below P-Net's 12 pixels), so
    # that it gets frames in which the smallest face has 20.
    factor = 20 / smallest_face(frames)
    small = [cv2.resize(frame, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA) for frame in frames]
    found = detector.detect_faces(
      small, scale_factor=mtcnn.SCALE_FACTOR, threshold_pnet=first, threshold_rnet=second, threshold_onet=third,
      box_format="xyxy",
    )  # fmt: skip
    return [np.reshape([face["box"] for face in faces], (-1, 4)) / factor for faces in found]

  return look


def dlib_hog() -> Look:
  detector = detectors.create("dlib", "0")  # as it comes: no face below 80 pixels
  return lambda frames: [np.reshape([face.box for face in faces], (-1, 4)) for faces in detector.detect(frames)]


# Name: maker, and the packages that it needs beside the project's own.
OTHERS: dict[str, tuple[Callable[[], Look], str]] = {
  "facenet-pytorch": (facenet_pytorch, "pip install torchvision, pip install --no-deps facenet-pytorch"),
  "mtcnn (TensorFlow)": (tensorflow, "pip install tensorflow"),
  "dlib HOG": (dlib_hog, "pip install dlib-bin"),
}


def available(names: list[str]) -> tuple[dict[str, Look], dict[str, str]]:
  """Those of `OTHERS` that can be imported here, ready, and why the rest cannot."""
  made, missing = {}, {}
  for name in names:
    make, packages = OTHERS[name]
    try:
      made[name] = make()
    except ImportError as error:
      missing[name] = f"{error}; {packages}"
  return made, missing


def resized(path: str, height: int, most: int, folder: pathlib.Path) -> pathlib.Path:
  """The first frames of a video as H.264 of that height.

  Raises:
    UserError: the video does not decode.
  """
  writer, target = None, folder / f"{height}.mp4"
  for frame in decode.read_frames(path, max_frames=most):
    tall, wide = frame.image.shape[:2]
    width = 2 * round(wide * height / tall / 2)
    writer = writer or VideoWriter(target, 23, height, width)
    how = cv2.INTER_AREA if height < tall else cv2.INTER_CUBIC
    writer.write(cv2.resize(frame.image, (width, height), interpolation=how))
  if writer is None:
    raise UserError(f"{path}: no frame of it can be decoded.")
  writer.finish()
  return target


def batches(path: pathlib.Path) -> Iterator[np.ndarray]:
  """A video's frames, full size, a few at a time."""
  block = []
  for frame in decode.read_frames(path):
    block.append(frame.image.copy())
    if len(block) == BATCH:
      yield np.stack(block)
      block = []
  if block:
    yield np.stack(block)


def measure(
  videos: list[str], heights: list[int], most: int, rounds: int, every: list[int], names: list[str]
) -> dict[str, Any]:
  """Times detection, and compares detection on key frames with that on every frame.

  Args:
    videos: paths; the first is the one that is brought to each height and timed.
    heights: in pixels.
    most: frames of a video.
    rounds: in which every program has one turn.
    every: numbers of frames between key frames.
    names: of `OTHERS`.

  Returns:
    JSON-able: `heights` with seconds, boxes found and overlap with ours; `every` with overlap and recall; `left_out`.
  """
  mine = ours()
  looks, left_out = available(names)
  document: dict[str, Any] = {"heights": {}, "left_out": left_out}
  for height in heights:
    with tempfile.TemporaryDirectory() as folder:
      document["heights"][str(height)] = at_height(
        resized(videos[0], height, most, pathlib.Path(folder)), mine, looks, rounds
      )
  document["every"] = key_frames(videos, most, every)
  return document


def at_height(path: pathlib.Path, mine: Look, looks: dict[str, Look], rounds: int) -> dict[str, Any]:
  """All detectors on one video of one size, decoding included."""
  found: dict[str, list[np.ndarray]] = {}
  detector = detectors.create("mtcnn")

  def every_frame(name, look) -> Program:
    def program():
      found[name] = [boxes for frames in batches(path) for boxes in look(frames)]

    return program

  programs: dict[str, Program] = {"JAX": every_frame("JAX", mine)}
  programs["JAX, as shards are built"] = lambda: tracks(path, FaceOptions(max_tracks=0, min_frames=1), detector)
  programs |= {name: every_frame(name, look) for name, look in looks.items()}
  for program in programs.values():  # compiles
    program()
  wall, cpu = in_turn(programs, rounds)
  count = len(found["JAX"])
  result = {"frames": count, "wall_seconds": wall, "processor_seconds": cpu}
  result["decoding_seconds"] = statistics.median(in_turn({"": lambda: [None for _ in batches(path)]}, rounds)[0][""])
  if looks:
    result |= ratios(wall, cpu)
    as_built = ratios(wall, cpu, "JAX, as shards are built")
    result |= {f"{key}_as_built": as_built[key] for key in ("ratio", "processor_ratio")}
  result["frames_with_a_face"] = {name: sum(len(boxes) > 0 for boxes in of) / count for name, of in found.items()}
  result["overlap_with_ours"] = {name: overlap(found["JAX"], found[name]) for name in looks}
  return result


def overlap(ours: list[np.ndarray], theirs: list[np.ndarray]) -> float | None:
  """Mean intersection over union of our boxes with theirs that are the same face; None where there are none."""
  best = [nms.iou(a, b).max(axis=1) for a, b in zip(ours, theirs) if len(a) and len(b)]
  same = np.concatenate([np.zeros(0), *best])
  same = same[same >= SAME]
  return float(same.mean()) if len(same) else None


def tracks(path: str | pathlib.Path, options: FaceOptions, detector: detectors.Detector) -> list[FaceTrack]:
  """The face tracks of a video, none where there is no face.

  Raises:
    BrokenVideo: another reason.
  """
  try:
    return face_tracks(path, options, detector)
  except decode.BrokenVideo as error:
    if error.reason.startswith("no face"):
      return []
    raise


def key_frames(videos: list[str], most: int, every: list[int]) -> dict[str, Any]:
  """Tracks found by looking at every k-th frame, against those of looking at every frame."""
  detector = detectors.create("mtcnn")
  values: dict[int, list[np.ndarray]] = {k: [] for k in every}
  extra, seconds = dict.fromkeys(every, 0), dict.fromkeys([1, *every], 0.0)
  frames = lost = 0
  for path in videos:
    print(f"{pathlib.Path(path).name} …", file=sys.stderr, flush=True)
    found: dict[int, list[FaceTrack]] = {}
    for k in [1, *every]:
      start = time.process_time()
      found[k] = tracks(path, FaceOptions(every=k, max_tracks=0, min_frames=16, max_frames=most), detector)
      seconds[k] += time.process_time() - start
    frames += max((track.video_frames for track in found[1]), default=0)
    lost += not found[1]
    for k in every:
      values[k].append(agreement(found[1], found[k]))
      extra[k] += max(0, sum(t.frames for t in found[k]) - sum(t.frames for t in found[1]))
  result: dict[str, Any] = {"videos": len(videos), "without_a_face": lost, "frames": frames}
  for k in every:
    all_ = np.concatenate([np.zeros(0), *values[k]])
    same = all_[all_ >= SAME]
    result[str(k)] = {
      "boxes": len(all_), "recall": float(np.mean(all_ >= SAME)) if len(all_) else None,
      "iou_mean": float(same.mean()) if len(same) else None,
      "iou_5th_percentile": float(np.percentile(same, 5)) if len(same) else None,
      "share_above_0.9": float(np.mean(same > 0.9)) if len(same) else None,
      "boxes_more": extra[k], "processor_time": seconds[k] / seconds[1],
    }  # fmt: skip
  return result


def agreement(reference: list[FaceTrack], found: list[FaceTrack]) -> np.ndarray:
  """Intersection over union of each box of the reference with the best one of the same frame, 0 where none is."""
  best = []
  for track in reference:
    for i, box in enumerate(track.boxes):
      frame = track.first_frame + i
      there = [t.boxes[frame - t.first_frame] for t in found if 0 <= frame - t.first_frame < t.frames]
      best.append(nms.iou(box[None], np.stack(there)).max() if there else 0.0)
  return np.array(best)


def table(document: dict[str, Any]) -> str:
  """Markdown."""
  head = (
    "height",
    "detector",
    "frames/s",
    "videos of 10 s a minute",
    "core ms a frame",
    "frames with a face",
    "IoU with ours",
  )
  rows = []
  for height, r in document["heights"].items():
    for name, wall in r["wall_seconds"].items():
      rate = r["frames"] / statistics.median(wall)
      core = 1e3 * statistics.median(r["processor_seconds"][name]) / r["frames"]
      share, same = (r[key].get(name) for key in ("frames_with_a_face", "overlap_with_ours"))
      rows.append((
        height, name, f"{rate:.1f}", f"{60 * rate / VIDEO_FRAMES:.1f}", f"{core:.1f}",
        "" if share is None else f"{share:.0%}", "" if same is None else f"{same:.2f}",
      ))  # fmt: skip
    rows.append((height, "decoding alone", f"{r['frames'] / r['decoding_seconds']:.0f}", "", "", "", ""))
  lines = [markdown(head, rows)]
  for height, r in document["heights"].items():
    if "ratio" in r:
      lines.append(
        f"{height}: ours : {r['against']} in time, every frame {spread(r['ratio'])} (processor "
        f"{r['processor_ratio']['median']:.2f}), as shards are built {spread(r['ratio_as_built'])} (processor "
        f"{r['processor_ratio_as_built']['median']:.2f})"
      )
  e = document["every"]
  lines += [
    "",
    f"Every k-th frame against every frame, {e['videos']} videos ({e['without_a_face']} without a face), "
    f"{e['frames']} frames:",
  ]
  head = ("k", "recall", "mean IoU", "5th percentile", "above 0.9", "boxes more", "processor time")
  cell = lambda value, form: "" if value is None else format(value, form)  # noqa: E731
  lines.append(markdown(head, [
    (
      k, cell(v["recall"], ".4f"), cell(v["iou_mean"], ".3f"), cell(v["iou_5th_percentile"], ".3f"),
      cell(v["share_above_0.9"], ".1%"), str(v["boxes_more"]), f"{v['processor_time']:.2f}",
    ) for k, v in e.items() if isinstance(v, dict)
  ]))  # fmt: skip
  lines += [f"LEFT OUT: {name}: {why}" for name, why in document["left_out"].items()]
  return "\n".join(lines)
