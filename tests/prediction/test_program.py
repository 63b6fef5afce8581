"""`python -m dfdetect_jax.predict` as a user starts it: rendered heads in, pages, a table and videos out."""

import csv
import json
import os
import pathlib
import subprocess
import sys

import jax
import optax
import pytest

from data_pipelines.synthetic.rendering import render
from dfdetect_jax import methods
from dfdetect_jax.evaluation.calibration import record_validation
from dfdetect_jax.evaluation.scores import VideoScore
from dfdetect_jax.runs import run_config
from dfdetect_jax.runs.checkpoints import Checkpoints
from dfdetect_jax.runs.state import init_state

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture
def workdir(toy, randomised, tmp_path):
  """A run of the toy as training and `evaluate --split=val` leave it."""
  config = toy.get_config()
  method = methods.build(config)
  folder = tmp_path / "run"
  folder.mkdir()
  run_config.save_config(folder, config)
  checkpoints = Checkpoints(folder, keep=1)
  checkpoints.save_best(init_state(method, optax.identity(), jax.random.key(0), randomised(method)).replace(step=20))
  checkpoints.close()
  choices = {"detector": "mtcnn", "align": False, "size": 64, "margin": 1.3, "key-frames": 5}
  (folder / "dataset.json").write_text(json.dumps({"schema_version": 2, "choices": choices}))
  scores = [VideoScore(video_id=f"v{n}", label=n % 2, score=0.3 + 0.4 * (n % 2)) for n in range(6)]
  assert not record_validation(folder, 20, "teacher", scores)
  return folder


@pytest.mark.slow  # starts a program that compiles the face detector
def test_videos_are_judged_as_a_user_does_it(workdir, write_film, tmp_path):
  """Guards the whole road: faces of rendered heads found, every output written, the status, and the help."""
  folder = tmp_path / "videos"
  folder.mkdir()
  for identity in (3, 5):
    write_film(folder / f"head{identity}.mp4", [f.real for f in render(1, identity, identity, 30, 160, ())], sound=1.0)
  (folder / "none.mp4").write_text("no video")
  outputs = {name: tmp_path / "out" / name for name in ("o.json", "o.csv", "report", "plots", "overlays")}
  options = [f"--{o}={f}" for o, f in zip(("json", "csv", "report", "plot", "overlay"), outputs.values())]
  command = [sys.executable, str(ROOT / "tests" / "toy_method.py"), "predict", str(folder), f"--workdir={workdir}"]
  env = os.environ | {"JAX_NUM_CPU_DEVICES": "1", "PYTHONPATH": str(ROOT)}
  done = subprocess.run([*command, *options], cwd=ROOT, env=env, capture_output=True, text=True, timeout=600)
  assert "Traceback" not in done.stderr, done.stderr
  results = json.loads(outputs["o.json"].read_text())
  verdicts = [video["verdict"] for video in results["videos"]]
  assert done.returncode == (10 if "fake" in verdicts else 3), done.stderr
  assert [video["status"] for video in results["videos"]] == ["ok", "ok", "failed"]
  assert "chosen on 6 validation videos (3 real, 3 forged) of step 20" in results["decision"]["origin"]
  for video in results["videos"][:2]:
    [track] = video["tracks"]
    assert track["frames"] == video["video_frames"] == 30 and video["seconds"] == pytest.approx(1.2, abs=0.01)
    assert f"{video['verdict'].upper()}, score {video['score']:.3f}" in done.stdout
  assert "none.mp4: cannot be judged" in done.stdout
  with open(outputs["o.csv"], newline="") as file:
    assert {row["status"] for row in csv.DictReader(file)} == {"ok", "failed"}
  files = sorted(f.suffix for name in ("report", "plots", "overlays") for f in outputs[name].rglob("*") if f.is_file())
  assert files == [".html"] * 4 + [".json"] * 2 + [".mp4"] * 2 + [".png"] * 2
