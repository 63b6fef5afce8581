"""Training and evaluation as a user starts them: exit status, files, and one paragraph for each mistake."""

import csv
import json
import os
import pathlib
import subprocess
import sys

import pytest

from dfdetect_jax.cli import PROGRAMS

ROOT = pathlib.Path(__file__).resolve().parents[1]


def program(*arguments, timeout=400):
  """Exit status, stdout and stderr of `python -m dfdetect_jax.…` on one device."""
  done = subprocess.run(
    [sys.executable, "-m", f"dfdetect_jax.{arguments[0]}", *map(str, arguments[1:])],
    cwd=ROOT, env=os.environ | {"JAX_NUM_CPU_DEVICES": "1"}, capture_output=True, text=True, timeout=timeout,
  )  # fmt: skip
  return done.returncode, done.stdout, done.stderr


def assert_told(outcome, *parts):
  """The mistake is told in a paragraph that holds these parts, without a traceback, with exit status 2."""
  status, _, stderr = outcome
  assert status == 2, stderr
  assert "Traceback" not in stderr
  for part in parts:
    assert part in stderr


def test_train_help():
  """Guards --help: it shows how to call the program and every flag, at once."""
  status, stdout, _ = program("train", "--help")
  assert status == 0
  for part in (
    "--config=configs/dip.py",
    "--workdir",
    "--data",
    "--dry-run",
    "--print-config",
    "--profile",
    "--coordinator",
  ):
    assert part in stdout


def test_help_does_not_wait_for_what_it_does_not_need():
  """Guards --help's second: no program imports what computes or draws before it has read its arguments."""
  code = (
    "import importlib, sys\n"
    "for name in sys.argv[1:]:\n"
    "  try:\n"
    "    importlib.import_module(name).main(['--help'])\n"
    "  except SystemExit:\n"
    "    pass\n"
    "  heavy = {'jax', 'orbax', 'matplotlib', 'sklearn', 'scipy', 'torch', 'tensorflow'} & set(sys.modules)\n"
    "  assert not heavy, (name, heavy)\n"
  )
  extra = ("dfdetect_jax.figures.__main__", "dfdetect_jax.training.plot", "benchmarks.against_torch")
  modules = [module for module, _ in PROGRAMS.values()]
  done = subprocess.run([sys.executable, "-c", code, *modules, *extra], cwd=ROOT, capture_output=True, text=True)
  assert done.returncode == 0, done.stderr
  for line in ("python -m dfdetect_jax.predict", "python -m dfdetect_jax.evaluate", "python -m dfdetect_jax.figures"):
    assert f"usage: {line}" in done.stdout


def test_the_resolved_config_is_printed():
  """Guards --print-config: variant and flags applied, a field a line; no workdir, no data, nothing is computed."""
  status, stdout, stderr = program("train", "--config=dip:small", "--config.optimizer.b1=0.5", "--print-config")
  assert status == 0, stderr
  lines = dict(line.split(" = ", 1) for line in stdout.splitlines())
  assert (lines["optimizer.b1"], lines["clips.size"], lines["method"]) == ("0.5", "64", "'dip'")


def test_predict_does_not_wait_for_what_draws_trains_or_fits():
  """Guards a short video's seconds: without a page, nothing is imported that only pictures, shards or fits need."""
  code = (
    "import sys\n"
    "import dfdetect_jax.figures.heat, dfdetect_jax.prediction.program, data_pipelines.faces.detectors.mtcnn\n"
    "heavy = {'matplotlib', 'tensorflow_datasets', 'grain', 'sklearn', 'scipy.optimize', 'torch'} & set(sys.modules)\n"
    "assert not heavy, heavy\n"
  )
  done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
  assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
  "flags, parts",
  [
    (["--workdir=w"], ["--config is missing"]),
    (["--config=configs/dip.py:test", "--data=d"], ["--workdir is missing"]),
    (["--config=configs/dip.py:test", "--workdir=w"], ["--data is missing"]),
    (["--config=configs/dip.py:test", "--config.batch_sise=3"], ['Did you mean "batch_size"']),
    (["--config=configs/dip.py:tset", "--workdir=w"], ["no variant 'tset'", "Did you mean 'test'"]),
    (["--config=configs/nothing.py", "--workdir=w"], ["configs/nothing.py", "Shipped are: baselines, dil, dip,"]),
    (["--config=dpi:small", "--workdir=w"], ["Did you mean 'dip'?"]),
    (["--config=configs/dip.py:test", "--config.batch_size=many"], ["many"]),
    (["--config=configs/dip.py:test", "--workdir=w", "batch_size=3"], ["unexpected argument 'batch_size=3'"]),
    (["--config=configs/dip.py:test", "--workdir=w", "--data=d", "--profile=5"], ["--profile=5 must be FIRST:LAST"]),
  ],
)
def test_mistaken_flags_of_train(flags, parts):
  """Guards each mistake's message."""
  assert_told(program("train", *flags), "train: error: ", *parts)


@pytest.mark.slow  # compiles DIP in several processes
def test_train_then_evaluate_dip(toy_dataset, tmp_path):
  """Guards the road as a user walks it: train, stop, go on, evaluate; files, exit status, and later mistakes."""
  run, flags = tmp_path / "run", [f"--data={toy_dataset}", "--config.total_steps=10"]
  train = ["train", "--config=configs/dip.py:test", f"--workdir={run}"]
  status, stdout, stderr = program(*train, *flags)
  assert status == 0, stderr
  assert "dip: " in stdout and "step 10/10" in stdout
  assert sorted(p.name for p in run.iterdir()) == [
    "best", "checkpoints", "config.json", "dataset.json", "metrics.jsonl", "provenance.json", "reliability.json",
    "tensorboard", "train_videos.csv",
  ]  # fmt: skip
  status, stdout, stderr = program(*train, f"--data={toy_dataset}", "--config.total_steps=12")
  assert status == 0 and "goes on at step 10 of 12" in stdout, stderr

  status, stdout, stderr = program(
    "evaluate", f"--workdir={run}", f"--data={toy_dataset}", f"--output={tmp_path / 'e'}", "--batch-size=3"
  )
  assert status == 0, stderr
  with open(tmp_path / "e" / "scores.csv", newline="") as file:
    rows = list(csv.DictReader(file))
  assert len(rows) == len({row["video_id"] for row in rows}) == 10
  assert {row["reason"] for row in rows if row["status"] == "failed"} == {
    "no face", "face track of 3 frames is shorter than a clip of 8",
  }  # fmt: skip
  summary = json.loads((tmp_path / "e" / "metrics.json").read_text())
  assert summary["overall"]["video"]["n"] == 10 and summary["run"]["weights"] == "teacher"

  assert_told(program(*train, *flags, "--config.model.k_n=5"), "model.k_n: 3 → 5")
  assert_told(program("evaluate", f"--workdir={run}", f"--data={run}"), "is not a finished face-track dataset")
  assert_told(program("evaluate", f"--workdir={tmp_path}", f"--data={toy_dataset}"), "is not the workdir of a run")


def test_an_unwritable_workdir_is_told(toy_config, tmp_path):
  """Guards the message for a workdir that is a file's child (root may write anywhere else)."""
  from dfdetect_jax.errors import UserError
  from dfdetect_jax.training import loop

  (tmp_path / "file").write_text("")
  with pytest.raises(UserError, match="cannot be written .*choose another --workdir"):
    loop.train_and_evaluate(toy_config, tmp_path / "file" / "run")
