"""The generated dataset on disk: FaceForensics++'s layout, determinism, resuming, and the command line."""

import json
import os
import pathlib
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest

from data_pipelines.sources import synthetic as source
from data_pipelines.sources.registry import SourceOptions
from data_pipelines.synthetic import dataset
from data_pipelines.synthetic.__main__ import main
from data_pipelines.synthetic.dataset import Settings, draw_pairs, make_dataset
from data_pipelines.synthetic.forgeries import MANIPULATIONS
from data_pipelines.synthetic.rendering import frame_size, render
from data_pipelines.synthetic.video_writer import VideoWriter
from data_pipelines.video.decode import read_frames
from dfdetect_jax.errors import UserError

TINY = Settings(identities=6, frames=4, size=96, seed=5)


def files(root: pathlib.Path) -> dict[str, bytes]:
  return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
  """A tiny dataset, whole."""
  root = tmp_path_factory.mktemp("synthetic") / "data"
  made = make_dataset(root, TINY, workers=1, progress=False)
  assert (made.written, made.present) == (6 * (2 * 5 + 4), 0)
  return root


def test_bytes_do_not_depend_on_workers(root, tmp_path):
  """Guards determinism: two processes, handed the work in any order, write what one writes."""
  make_dataset(tmp_path / "again", TINY, workers=2, progress=False)
  assert files(tmp_path / "again") == files(root)


def test_layout_is_faceforensics(root):
  """Guards names and folders: exactly the files that FaceForensics++ would have for these pairs, and nothing else."""
  splits = {name: json.loads((root / "splits" / f"{name}.json").read_text()) for name in ("train", "val", "test")}
  expected = {"synthetic.json", *(f"splits/{name}.json" for name in splits)}
  for a, b in sum(splits.values(), []):
    for compression in ("c23", "c40"):
      expected |= {f"original_sequences/youtube/{compression}/videos/{i}.mp4" for i in (a, b)}
      for m in MANIPULATIONS:
        expected |= {f"manipulated_sequences/{m}/{compression}/videos/{x}_{y}.mp4" for x, y in ((a, b), (b, a))}
    for m in MANIPULATIONS:
      expected |= {f"manipulated_sequences/{m}/masks/videos/{x}_{y}.mp4" for x, y in ((a, b), (b, a))}
  assert set(files(root)) == expected
  assert sorted(i for pair in sum(splits.values(), []) for i in pair) == [f"{i:03d}" for i in range(6)]


@pytest.mark.parametrize("identities", [6, 40, 100, 1000])
def test_splits_are_disjoint_in_identity(identities):
  """Guards against leakage: every identity is in one pair of one split, and no split is empty."""
  splits = draw_pairs(Settings(identities=identities))
  names = [name for pairs in splits.values() for pair in pairs for name in pair]
  assert sorted(names) == [f"{i:03d}" for i in range(identities)]
  assert all(splits.values()) and len(splits["train"]) >= len(splits["test"])


def test_source_reads_it(root):
  """Guards the agreement with the pipeline: --source=synthetic finds every video, in its split, with its label."""
  listing = source.list_videos(root, SourceOptions())
  assert not listing.missing
  assert len(listing.videos) == 6 * 5 * 2 and sum(v.label for v in listing.videos) == 6 * 4 * 2
  people = {
    s: {n for v in listing.videos if v.split == s for n in pathlib.Path(v.path).stem.split("_")}
    for s in ("train", "val", "test")
  }
  assert (
    not people["train"] & people["test"] and not people["train"] & people["val"] and not people["val"] & people["test"]
  )


def test_videos_decode_to_what_was_rendered(root):
  """Guards the encoding: every frame is there, close to the rendered one, closer at c23 than at c40; masks survive."""
  (a, b), *_ = draw_pairs(TINY)["train"]
  rendered = list(render(TINY.seed, int(a), int(b), TINY.frames, TINY.size, ["FaceSwap"]))
  folder = root / "manipulated_sequences" / "FaceSwap"
  error = {}
  for compression in ("c23", "c40"):
    frames = [f.image for f in read_frames(folder / compression / "videos" / f"{a}_{b}.mp4")]
    assert len(frames) == TINY.frames and frames[0].shape == (*frame_size(TINY.size), 3)
    error[compression] = np.mean(
      [np.abs(f.astype(float) - r.fakes["FaceSwap"]).mean() for f, r in zip(frames, rendered)]
    )
  assert error["c23"] < 8 and error["c23"] < error["c40"] < 25
  for frame, r in zip(read_frames(folder / "masks" / "videos" / f"{a}_{b}.mp4"), rendered, strict=True):
    assert np.mean((frame.image[..., 0] > 127) == r.masks["FaceSwap"]) > 0.995


def test_resumes_with_the_same_bytes(root, tmp_path):
  """Guards resuming: lost and half-written files are made again, the same; the others are left alone."""
  before = files(root)
  lost = sorted(p for p in root.rglob("*.mp4") if p.stem.startswith(("000", "003")))[::3]
  kept = {p: p.stat().st_mtime_ns for p in root.rglob("*.mp4") if p not in lost}
  for path in lost:
    path.unlink()
  lost[0].with_name(lost[0].name + ".partial").write_bytes(b"half a video")
  made = make_dataset(root, TINY, workers=1, progress=False)
  assert made.written == len(lost) and files(root) == before
  assert all(path.stat().st_mtime_ns == time for path, time in kept.items())


def test_failure_leaves_no_half_video(tmp_path, monkeypatch):
  """Guards atomic files: when rendering dies midway, no file stands under its final name, nor a partial one."""

  def broken(*args):
    yield next(render(*args))
    raise RuntimeError("died")

  monkeypatch.setattr(dataset, "render", broken)
  with pytest.raises(RuntimeError, match="died"):
    make_dataset(tmp_path / "data", TINY, workers=1, progress=False)
  assert not list((tmp_path / "data").rglob("*.mp4*"))


def test_what_a_killed_run_left_is_swept(root, tmp_path):
  """Guards a restart after a kill: half a file is neither kept nor left lying."""
  data = pathlib.Path(shutil.copytree(root, tmp_path / "data"))
  video = next(data.rglob("c40/videos/*.mp4"))
  video.unlink()
  video.with_name(f"{video.name}.4194304.partial").write_bytes(b"half a video")
  assert make_dataset(data, TINY, workers=1, progress=False).written == 1
  assert files(data) == files(root)


def test_two_processes_that_write_one_video_both_write_it_whole(tmp_path, monkeypatch):
  """Guards a worker that outlives its parent beside one that was started again: each has a file of its own."""
  frames = np.random.default_rng(0).integers(0, 256, (3, 96, 120, 3), np.uint8)
  path = tmp_path / "v.mp4"
  monkeypatch.setattr(os, "getpid", lambda: 4194304)
  survivor = VideoWriter(path, 40, 96, 120)
  monkeypatch.undo()
  again = VideoWriter(path, 40, 96, 120)
  for writer in (survivor, again):
    writer.write(frames[0])
  for frame in frames[1:]:
    survivor.write(frame)
    again.write(frame)
  assert not path.exists()
  again.finish()
  whole = path.read_bytes()
  survivor.finish()
  assert path.read_bytes() == whole and len(list(read_frames(path))) == 3 and len(list(tmp_path.iterdir())) == 1


def test_other_settings_are_refused(root):
  """Guards against mixing: a folder made with other settings is named with what differs, and left as it is."""
  with pytest.raises(UserError, match=r"frames 4 \(now 5\)"):
    make_dataset(root, Settings(identities=6, frames=5, size=96, seed=5), workers=1, progress=False)


def test_foreign_folder_is_refused(tmp_path):
  """Guards the user's files: a folder with something else in it is not written to."""
  (tmp_path / "thesis.tex").write_text("important")
  with pytest.raises(UserError, match="no synthetic dataset"):
    make_dataset(tmp_path, TINY, workers=1, progress=False)
  assert list(files(tmp_path)) == ["thesis.tex"]


@pytest.mark.parametrize(
  "option, told",
  [
    ("--identities=7", "even number"),
    ("--identities=4", "even number"),
    ("--identities=1002", "even number"),
    ("--frames=0", "--frames=0"),
    ("--size=20", "--size=20"),
    ("--seed=-1", "--seed=-1"),
    ("--workers=-2", "--workers=-2"),
    ("--compressions=c24", "there is no compression 'c24'. .*There are: c23, c40"),
    ("--compressions=", "--compressions is empty"),
    ("--manipulations=Deepfake", "Did you mean 'Deepfakes'"),
    ("--contact-sheet=sheet.txt", "ends in .png"),
  ],
)
def test_bad_options_say_what_to_do(option, told, tmp_path):
  """Guards the messages: a mistake is named, with what is allowed, before anything is made."""
  with pytest.raises(UserError, match=told):
    main([f"--output={tmp_path / 'data'}", option])
  assert not list(tmp_path.rglob("*.mp4"))


def test_program(tmp_path):
  """Guards the entry point as a user runs it: the chosen videos, the contact sheet; a mistake exits with 2."""
  command = [
    sys.executable,
    "-m",
    "data_pipelines.synthetic",
    f"--output={tmp_path / 'data'}",
    "--identities=6",
    "--frames=3",
  ]
  command += ["--size=96", "--compressions=c40", "--workers=1"]
  sheet = tmp_path / "sheet.png"
  chosen = ["--manipulations=NeuralTextures,Deepfakes", f"--contact-sheet={sheet}"]
  done = subprocess.run(command + chosen, capture_output=True, text=True)
  assert done.returncode == 0, done.stderr
  assert "30 videos and masks written" in done.stdout and "rendering" in done.stderr
  assert len(list((tmp_path / "data").rglob("c40/videos/*.mp4"))) == 18
  assert cv2.imread(str(sheet)).std() > 10
  done = subprocess.run([*command, "--manipulations=deepfakes"], capture_output=True, text=True)
  assert done.returncode == 2 and "Did you mean 'Deepfakes'" in done.stderr and "Traceback" not in done.stderr
