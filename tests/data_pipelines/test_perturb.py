"""Distorted shard sets: full frames are distorted, then cropped along the clean track; real and fake alike."""

import csv
import json
import subprocess
import sys

import av
import numpy as np
import pytest
import tensorflow_datasets as tfds

from data_pipelines import perturb
from data_pipelines.building import track_cache
from data_pipelines.faces import crop
from data_pipelines.faces.face_tracks import FaceTrack
from data_pipelines.video import decode, distortions
from data_pipelines.video.decode import BrokenVideo
from dfdetect_jax.schema import read_metadata, read_tracks

FRAMES, SIZE = 20, 48


def _write_video(path):
  rng = np.random.default_rng(0)
  picture = rng.integers(40, 216, (15, 20, 3)).repeat(8, 0).repeat(8, 1).astype(np.uint8)
  with av.open(str(path), "w") as container:
    stream = container.add_stream("libx264", rate=25, options={"crf": "18"})
    stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
    for t in range(FRAMES):
      container.mux(stream.encode(av.VideoFrame.from_ndarray(np.roll(picture, t, 1), "rgb24")))
    container.mux(stream.encode(None))


@pytest.fixture(scope="module")
def built(tmp_path_factory):
  """The same file listed as a real and as a fake video, in two distortions at level 3, by the program."""
  root = tmp_path_factory.mktemp("perturb")
  detections = {}
  with open(root / "list.csv", "w", newline="") as file:
    rows = csv.writer(file)
    rows.writerow(["path", "label", "split"])
    for label in ("real", "fake"):
      _write_video(root / f"{label}.mp4")
      rows.writerow([f"{label}.mp4", label, "test"])
      # The face drifts to the right; boxes on some frames only, as a detector gives them.
      detections[f"{label}.mp4"] = {t: [[40 + t, 30, 90 + t, 85]] for t in (0, 6, 12, 19)}
    rows.writerow(["train.mp4", "real", "train"])
  _write_video(root / "train.mp4")
  (root / "boxes.json").write_text(json.dumps(detections))
  arguments = [
    "--source=manifest", f"--manifest={root / 'list.csv'}", "--detector=precomputed", "--duplicates=keep",
    f"--detections={root / 'boxes.json'}", f"--size={SIZE}", "--workers=1", f"--output={root / 'out'}",
    "--distortion=pixelation,gaussian_noise", "--level=3",
  ]  # fmt: skip
  command = [sys.executable, "-m", "data_pipelines.perturb", *arguments]
  done = subprocess.run(command, capture_output=True, text=True)
  assert done.returncode == 0, done.stderr
  return root, command


def _crops(directory):
  source = tfds.builder_from_directory(str(directory)).as_data_source("test")
  tracks = {t.label: t for t in read_tracks(directory, "test")}
  records = [source[i] for i in range(len(source))]
  return {label: np.stack([records[t.first + k]["image"] for k in range(t.frames)]) for label, t in tracks.items()}


@pytest.mark.parametrize("name", ["pixelation", "gaussian_noise"])
def test_crops_are_cut_from_distorted_full_frames(built, name):
  """Guards the order (distort, then crop) and the clean track, against the same road walked by hand."""
  root, _ = built
  got = _crops(root / "out" / f"{name}-3")
  boxes = np.array([[40 + t, 30, 90 + t, 85] for t in range(FRAMES)], np.float64)
  transforms = crop.square_transforms(boxes, 1.3, SIZE)
  samples = crop.samples_per_pixel(transforms)
  for label, file in ((0, "real"), (1, "fake")):
    frames = [f.image for f in decode.read_frames(root / f"{file}.mp4")]
    video = f"list/{'fake' if label else 'original'}/none/{file}"
    changed = distortions.distort(frames, name, 3, video, 25.0)
    expected = np.stack([crop.cut(f, t, SIZE, samples) for f, t in zip(changed, transforms, strict=True)])
    np.testing.assert_array_equal(got[label], expected)
    clean = np.stack([crop.cut(f, t, SIZE, samples) for f, t in zip(frames, transforms, strict=True)])
    assert np.abs(got[label].astype(int) - clean).mean() > 2


def test_real_and_fake_are_treated_alike(built):
  """Guards the fairness of every cell: the same pixels give the same crops, or the same noise, under both labels."""
  root, _ = built
  pixelated = _crops(root / "out/pixelation-3")
  np.testing.assert_array_equal(pixelated[0], pixelated[1])
  noisy = _crops(root / "out/gaussian_noise-3")
  clean = _crops(root / "out/pixelation-3")[0].astype(float)
  real, fake = ((noisy[label] - clean).std() for label in (0, 1))
  assert real == pytest.approx(fake, rel=0.01)
  assert (noisy[0] != noisy[1]).any()


def test_sets_say_what_they_are(built):
  """Guards provenance: the cell stands in dataset.json, only test videos are there, all cells have the same tracks."""
  root, _ = built
  cells = [root / "out" / name for name in ("pixelation-3", "gaussian_noise-3")]
  assert [read_metadata(cell)["choices"]["distortion"] for cell in cells] == ["pixelation-3", "gaussian_noise-3"]
  assert read_tracks(cells[0]) == read_tracks(cells[1])
  assert {t.split for t in read_tracks(cells[0])} == {"test"}
  assert len(list((root / "out/tracks").glob("*/*.npz"))) == 2


def test_again_gives_the_same_bytes(built):
  """Guards determinism, noise included, and that finished cells are left alone."""
  root, command = built
  folder = root / "out/gaussian_noise-3"
  before = {p.name: p.read_bytes() for p in folder.iterdir()}
  (folder / "dataset.json").rename(root / "kept.json")
  for path in folder.iterdir():
    path.unlink()
  done = subprocess.run(command, capture_output=True, text=True, check=True)
  assert "pixelation-3 is finished already" in done.stdout
  assert {p.name: p.read_bytes() for p in folder.iterdir()} == before


def test_track_cache_returns_what_was_found(tmp_path):
  """Guards the kept tracks: exact arrays, kept failures, another entry for another content, no trust in a torn file."""
  (tmp_path / "v.mp4").write_bytes(b"1")
  video = str(tmp_path / "v.mp4")
  rng = np.random.default_rng(0)
  boxes, transforms, points = rng.random((5, 4)), rng.random((5, 2, 3)), rng.random((5, 5, 2))
  found = FaceTrack(video, 1, 3, np.arange(5) / 29.97, boxes, transforms, 64, 10, points, ("a note",))
  calls = []

  def find():
    calls.append(1)
    if len(calls) > 2:
      raise BrokenVideo("no face")
    return [found]

  for _ in range(2):
    (again,) = track_cache.cached(str(tmp_path), "v", video, find)
    assert (again.number, again.first_frame, again.size, again.video_frames) == (1, 3, 64, 10)
    assert again.fps == pytest.approx(29.97) and again.notes == ("a note",)
    np.testing.assert_array_equal(again.boxes, found.boxes)
    np.testing.assert_array_equal(again.transforms, found.transforms)
    np.testing.assert_array_equal(again.landmarks, found.landmarks)
  assert len(calls) == 1
  next(tmp_path.glob("*.npz")).write_bytes(b"torn")
  track_cache.cached(str(tmp_path), "v", video, find)
  assert len(calls) == 2
  (tmp_path / "v.mp4").write_bytes(b"2")
  for _ in range(2):
    with pytest.raises(BrokenVideo, match="no face"):
      track_cache.cached(str(tmp_path), "v", video, find)
  assert len(calls) == 3


@pytest.mark.parametrize(
  "arguments, says",
  [
    (["--distortion=blurr"], "there is no distortion 'blurr'"),
    (["--level=0"], "no level '0'"),
    (["--source=wild_deepfake", "--root=."], "full frames, which it does not have"),
    ([], "--output=DIR is missing"),
  ],
)
def test_wrong_calls_are_told(arguments, says, tmp_path, capsys):
  """Guards the messages for mistyped cells and for datasets that ship crops."""
  (tmp_path / "a.mp4").write_bytes(b"")
  (tmp_path / "list.csv").write_text("path,label,split\na.mp4,real,test\n")
  with pytest.raises(SystemExit, match="2"):
    perturb.main(["--source=manifest", f"--manifest={tmp_path / 'list.csv'}", *arguments])
  assert says in capsys.readouterr().err


def test_help_lists_the_levels():
  """Guards the documentation of the command: every distortion with its five parameters."""
  text = perturb.parser().format_help()
  for name, levels in distortions.DISTORTIONS.items():
    assert f"  {name:15} {' '.join(map(str, levels))}" in text
