"""Two and four real processes: one run, the same numbers, written once; a death or a stop reaches them all.

The toy is wide enough here for FSDP to cut it, and logs every step.
"""

import csv
import hashlib
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest
from helpers.folders import metrics_of

from dfdetect_jax.devices import presence
from dfdetect_jax.runs.restore import restore_run

pytestmark = pytest.mark.slow  # each starts processes that import the library

ROOT = pathlib.Path(__file__).resolve().parents[2]
WIDTH = 256
FLAGS = (f"--config.model.width={WIDTH}", "--config.log_every=1")


def finish(job, timeout=240):
  """Output and exit status of a job."""
  try:
    output = job.communicate(timeout=timeout)[0]
  finally:
    if job.poll() is None:
      job.terminate()
      job.wait(timeout=90)
  return output, job.returncode


@pytest.fixture(scope="module")
def alone(toy_job, tmp_path_factory):
  """The run of one process with four devices."""
  workdir = tmp_path_factory.mktemp("alone")
  output, status = finish(toy_job("train", workdir, *FLAGS, processes=1, devices=4))
  assert status == 0, output
  return workdir


@pytest.mark.parametrize("processes, devices", [(2, 2), (4, 1)])
def test_processes_train_and_evaluate_as_one(toy, toy_job, alone, tmp_path, processes, devices):
  """Guards multi-process runs: the same batches and parameters as one process with as many devices, metrics and scores
  written once, every video scored once.
  """
  output, status = finish(toy_job("train", tmp_path / "run", *FLAGS, processes=processes, devices=devices))
  assert status == 0, output
  assert output.count("step 20/20") == 1
  one, several = metrics_of(alone), metrics_of(tmp_path / "run")
  assert [m["step"] for m in several] == [m["step"] for m in one]
  for a, b in zip(one, several, strict=True):
    for name in a:
      assert b[name] == pytest.approx(a[name], rel=1e-4, abs=1e-5), name
  expected, found = restore_run(alone, "latest").variables, restore_run(tmp_path / "run", "latest").variables
  for a, b in zip(*map(jax.tree.leaves, (expected, found)), strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)

  scores = []
  for workdir, count in ((alone, 1), (tmp_path / "run", processes)):
    flags = ("--step=latest", f"--output={tmp_path / str(count)}")
    output, status = finish(toy_job("evaluate", workdir, *flags, processes=count, devices=devices))
    assert status == 0, output
    with open(tmp_path / str(count) / "scores.csv", newline="") as file:
      scores.append({row["video_id"]: row for row in csv.DictReader(file)})
    assert output.count("Scores and figures are in") == 1
  assert scores[0].keys() == scores[1].keys() and len(scores[0]) == 10
  for video, row in scores[0].items():
    if row["score"]:
      assert float(scores[1][video]["score"]) == pytest.approx(float(row["score"]), abs=1e-5)


def test_a_run_goes_on_with_another_number_of_processes(toy, toy_job, alone, tmp_path):
  """Guards moving a run: one process, then two under FSDP, then one again see the very batches of a run that stayed,
  and end with its parameters up to the order of sums.
  """
  legs = ((8, 1, 4, 1), (14, 2, 2, 4), (20, 1, 2, 2))  # last step, processes, devices of each, mesh.fsdp
  for last, processes, devices, fsdp in legs:
    flags = (*FLAGS, f"--config.total_steps={last}", f"--config.mesh.fsdp={fsdp}")
    output, status = finish(toy_job("train", tmp_path, *flags, processes=processes, devices=devices))
    assert status == 0, output
  assert "goes on at step 14 of 20" in output
  moved, stayed = (
    [line["train/batch"] for line in metrics_of(workdir) if "train/batch" in line] for workdir in (tmp_path, alone)
  )
  assert moved == stayed and len(set(stayed)) == 20
  expected, found = (restore_run(workdir, "latest").variables for workdir in (alone, tmp_path))
  for a, b in zip(*map(jax.tree.leaves, (expected, found)), strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)


def test_processes_agree_on_the_checkpoint_to_go_on_from(toy, alone, tmp_path):
  """Guards against processes that go on from different steps, or wait for each other for ever, where one of them alone
  cannot read the latest checkpoint: all fall back to the one before, loudly, or stop where there is none.
  """
  # What each process finds wrong, by step.
  cases = {
    "truncated": ({}, {20: truncate}),
    "missing": ({}, {20: shutil.rmtree}),
    "item_missing_for_the_first": ({20: lambda step: shutil.rmtree(step / "opt_state")}, {}),
    "nothing_in_common": ({20: truncate}, {15: shutil.rmtree}),
  }
  for name, damages in cases.items():
    for process, damage in enumerate(damages):
      folder = tmp_path / name / f"seen_by_{process}"
      shutil.copytree(alone / "checkpoints", folder / "checkpoints")
      for step, hurt in damage.items():
        hurt(folder / "checkpoints" / str(step))
  program = [str(pathlib.Path(__file__).parent / "restore_toy.py"), f"--width={WIDTH}"]
  job = subprocess.run(
    [sys.executable, "-m", "launch.local", "--processes=2", "--", *program, *(str(tmp_path / name) for name in cases)],
    cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=240,
  )  # fmt: skip
  assert job.returncode == 0, job.stdout + job.stderr
  params = restore_run(alone, "15", "student").variables["params"]
  digest = hashlib.sha256(b"".join(np.asarray(x).tobytes() for x in jax.tree.leaves(params))).hexdigest()
  for name in cases:
    for process in (0, 1):
      found = f"step 15 {digest}" if name != "nothing_in_common" else "UserError none of the 2 checkpoints in "
      assert f"{name}: process {process}: {found}" in job.stdout, job.stdout + job.stderr
  for line in (
    "checkpoint 20 cannot be read by process 1 of 2 (",
    "checkpoint 20 cannot be read by process 0 of 2 (",
    "checkpoint 20 cannot be read by process 1 of 2; going back to the one before.",  # said by the first
  ):
    assert line in job.stderr, job.stderr
  assert (tmp_path / "truncated" / "seen_by_0" / "damaged_checkpoints" / "20").is_dir()


def truncate(step):
  """Cuts every file of a checkpoint's parameters in half."""
  for file in (step / "params").rglob("*"):
    if file.is_file():
      file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def test_a_stop_reaches_all_processes_and_the_run_goes_on(toy_job, alone, tmp_path):
  """Guards preemption: SIGTERM saves off the interval at one step for all, exits 75, and the run goes on."""
  flags = ("--config.total_steps=1000000", "--config.checkpoint_every=100000", "--config.eval_every=0")
  job = toy_job("train", tmp_path, *flags, devices=2)
  wait_for_step(job, tmp_path, 5)
  job.send_signal(signal.SIGTERM)
  output, status = finish(job)
  assert status == 75, output
  [saved] = [int(p.name) for p in (tmp_path / "checkpoints").iterdir()]
  assert f"told to stop: saved step {saved}" in output
  output, status = finish(toy_job("train", tmp_path, f"--config.total_steps={saved + 5}", devices=2))
  assert status == 0 and f"goes on at step {saved} of" in output, output


def one_of(job, process):
  """Process id of one of the processes of a job."""
  children = subprocess.run(["pgrep", "-P", str(job.pid)], capture_output=True, text=True, check=True).stdout.split()
  [found] = [
    pid
    for pid in map(int, children)
    if f"--process-id={process}".encode() in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
  ]
  return found


def test_a_process_that_dies_takes_the_job_down(toy_job, tmp_path):
  """Guards against a job that hangs for ever because one of its processes was killed: a minute at most."""
  flags = ("--config.total_steps=1000000", "--config.checkpoint_every=1000000", "--config.eval_every=0")
  job = toy_job("train", tmp_path, *flags)
  wait_for_step(job, tmp_path, 5)
  start = time.monotonic()
  os.kill(one_of(job, 1), signal.SIGKILL)
  _, status = finish(job, timeout=90)
  assert status not in (0, None)
  assert time.monotonic() - start < 75


@pytest.mark.parametrize("process", [1, pytest.param(0, marks=pytest.mark.exhaustive)])
def test_a_stopped_process_is_named_by_the_others(toy_job, tmp_path, process):
  """Guards against a job that waits for ever for a process that is neither dead nor at work; process 0 keeps the store
  by which the others know of each other.
  """
  flags = ("--config.total_steps=1000000", "--config.checkpoint_every=1000000", "--config.eval_every=0")
  sizes = ("--config.batch_size=9", "--config.eval_batch_size=9")
  job = toy_job("train", tmp_path, *flags, *sizes, processes=3)
  wait_for_step(job, tmp_path, 5)
  stopped = one_of(job, process)
  others = [one_of(job, other) for other in {0, 1, 2} - {process}]
  os.kill(stopped, signal.SIGSTOP)
  deadline = time.monotonic() + presence.SILENT_SECONDS + 30
  while any(alive(other) for other in others) and time.monotonic() < deadline:
    time.sleep(0.2)
  gone = not any(alive(other) for other in others)
  os.kill(stopped, signal.SIGKILL)
  output, status = finish(job, timeout=90)
  assert gone and status not in (0, None), output
  assert f"error: process {process} of 3 has not been heard of for {presence.SILENT_SECONDS:g} s" in output, output


def alive(pid):
  """Whether a process runs; one that has ended and is not waited for does not."""
  try:
    return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
  except OSError:
    return False


def test_ctrl_c_in_one_process_ends_all(toy_job, tmp_path):
  """Guards against processes that wait for one that somebody interrupted: all save the same step and end."""
  flags = ("--config.total_steps=1000000", "--config.checkpoint_every=100000", "--config.eval_every=0")
  job = toy_job("train", tmp_path, *flags)
  wait_for_step(job, tmp_path, 5)
  os.kill(one_of(job, 1), signal.SIGINT)
  output, status = finish(job)
  assert status in (75, 130) and "Traceback" not in output, output
  [saved] = [int(p.name) for p in (tmp_path / "checkpoints").iterdir()]
  assert f"told to stop: saved step {saved}" in output and not (tmp_path / "training.lock").exists()


def wait_for_step(job, workdir, step, seconds=200):
  """Returns once the run has written metrics of a step."""
  deadline = time.monotonic() + seconds
  while time.monotonic() < deadline:
    assert job.poll() is None, job.communicate()[0]
    path = workdir / "metrics.jsonl"
    if path.exists() and any(f'"step": {step},' in line for line in path.read_text().splitlines()):
      return
    time.sleep(0.2)
  job.terminate()
  raise AssertionError(f"step {step} was not reached in {seconds} s")
