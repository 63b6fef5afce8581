"""Runs that are killed, starved, filled up and fed with damaged records: each loses little and says what happened."""

import json
import os
import random
import shutil
import signal
import subprocess
import time

import jax
import numpy as np
import pytest

from dfdetect_jax.data.deadline import Deadline
from dfdetect_jax.errors import UserError
from dfdetect_jax.schema import read_tracks
from dfdetect_jax.training import loop
from dfdetect_jax.training.config import override
from dfdetect_jax.training.restore import restore_run


@pytest.fixture(autouse=True)
def optax_promotes():
  """Optax relies on dtype promotion."""
  with jax.numpy_dtype_promotion("standard"):
    yield


def metrics_of(workdir):
  lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
  return [{k: v for k, v in line.items() if not k.startswith("speed/")} for line in lines]


@pytest.mark.slow  # starts the program nine times
def test_kill_9_at_random_moments_loses_nothing(toy, toy_run, tmp_path):
  """Guards exact resume: a run that is killed again and again, also while it writes checkpoints (every second step),
  ends with the very parameters and metrics of a run that was left alone; each kill costs one interval at most.
  """
  flags = ("--config.total_steps=60", "--config.log_every=2", "--config.eval_every=20")
  alone = toy_run(tmp_path / "alone", *flags, "--config.checkpoint_every=60")
  output = alone.communicate(timeout=300)[0]
  assert alone.returncode == 0, output

  moments, kills, seen = random.Random(0), 0, 0
  hurt = tmp_path / "hurt"
  flags = (*flags, "--config.checkpoint_every=2")
  while kills < 8:
    job = toy_run(hurt, *flags)
    deadline = time.monotonic() + 200
    start = _last_saved(hurt)
    while job.poll() is None and _last_saved(hurt) <= start and time.monotonic() < deadline:
      time.sleep(0.005)
    time.sleep(moments.uniform(0, 0.3))
    saved = _last_saved(hurt)
    os.killpg(job.pid, signal.SIGKILL)
    output = job.communicate()[0]
    if job.returncode == 0:
      break
    kills += 1
    assert "cannot be read" not in output, output
    assert saved >= seen, (saved, seen)
    seen = saved
  assert kills >= 4
  job = toy_run(hurt, *flags)
  output = job.communicate(timeout=300)[0]
  assert job.returncode == 0, output
  assert int(output.split("goes on at step ")[1].split()[0]) >= seen
  assert metrics_of(hurt) == metrics_of(tmp_path / "alone")
  for a, b in zip(
    jax.tree.leaves(restore_run(tmp_path / "alone", "latest").variables),
    jax.tree.leaves(restore_run(hurt, "latest").variables),
    strict=True,
  ):
    np.testing.assert_array_equal(a, b)


def _last_saved(workdir):
  """Latest step whose checkpoint has its final name."""
  folder = workdir / "checkpoints"
  return max((int(p.name) for p in folder.iterdir() if p.name.isdigit()), default=0) if folder.is_dir() else 0


@pytest.mark.slow  # starts the program
def test_sigterm_saves_and_asks_to_be_started_again(toy_run, tmp_path):
  """Guards preemption of a single process: saved off the interval, exit status 75, the same command goes on."""
  flags = ("--config.total_steps=100000", "--config.checkpoint_every=100000", "--config.eval_every=0")
  job = toy_run(tmp_path, *flags)
  deadline = time.monotonic() + 200
  while not (tmp_path / "metrics.jsonl").exists() or not (tmp_path / "metrics.jsonl").read_text():
    assert job.poll() is None and time.monotonic() < deadline
    time.sleep(0.05)
  job.terminate()
  output = job.communicate(timeout=120)[0]
  assert job.returncode == 75, output
  assert f"told to stop: saved step {_last_saved(tmp_path)}" in output and _last_saved(tmp_path) > 0


@pytest.fixture
def damaged(toy_dataset, tmp_path):
  """A copy of the dataset in which ten bytes of one training record are overwritten, and that record's track."""
  copy = tmp_path / "damaged"
  shutil.copytree(toy_dataset, copy)
  path = next(copy.glob("*train*-00000-*"))
  content = bytearray(path.read_bytes())
  place = content.index(b"\x89PNG", len(content) // 2) + 200
  content[place : place + 10] = bytes(10)
  path.write_bytes(content)
  return copy


def test_a_damaged_record_is_replaced_and_counted(toy_config, damaged, tmp_path, capfd):
  """Guards training on a shard with a bad record: said, counted in the metrics, and the run goes on, the same again."""
  config = override(toy_config, {"data": str(damaged), "clips.train_clips": 8, "eval_every": 0, "max_unreadable": 1000})
  states = [loop.train_and_evaluate(config, tmp_path / name) for name in "ab"]
  assert "WARNING: a clip was replaced: " in capfd.readouterr().err
  assert metrics_of(tmp_path / "a")[-2]["data/unreadable"] >= 1
  jax.tree.map(np.testing.assert_array_equal, states[0].params, states[1].params)


def test_too_many_damaged_records_stop_the_run(toy_config, damaged, tmp_path):
  """Guards the threshold: beyond it the run ends with the place of the damage."""
  config = override(toy_config, {"data": str(damaged), "clips.train_clips": 8, "eval_every": 0, "max_unreadable": 0})
  with pytest.raises(UserError, match=r"1 clips could not be read \(config.max_unreadable\): record.*split 'train'"):
    loop.train_and_evaluate(config, tmp_path / "run")
  assert read_tracks(damaged, "train")


def test_a_reader_that_hangs_is_noticed():
  """Guards against a job that waits for ever on its storage."""

  def batches():
    yield 1
    time.sleep(3)
    yield 2

  stream = Deadline(batches(), 0.5)
  assert next(stream) == 1
  with pytest.raises(UserError, match="no batch came for 0.5 s"):
    next(stream)
  stream.close()


def test_a_readers_error_reaches_the_loop():
  """Guards against an error lost in the reading thread, and against reading on after close."""
  given = []

  def batches():
    for i in range(100):
      given.append(i)
      yield i
      if i == 2:
        raise UserError("broken")

  stream = Deadline(batches(), 10)
  assert [next(stream) for _ in range(3)] == [0, 1, 2]
  with pytest.raises(UserError, match="broken"):
    next(stream)

  def endless():
    try:
      while True:
        yield 0
    finally:
      given.append("closed")

  stream = Deadline(endless(), 10)
  next(stream)
  stream.close()
  assert given[-1] == "closed"


@pytest.mark.slow  # starts the program and its worker processes
def test_a_stopped_worker_process_ends_the_run(toy_run, tmp_path):
  """Guards against a hung data worker (here: frozen by SIGSTOP), which would hold the job silently."""
  flags = ("--config.total_steps=1000000", "--config.eval_every=0", "--config.workers=1", "--config.data_timeout=40")
  job = toy_run(tmp_path, *flags)
  deadline = time.monotonic() + 200
  while not (tmp_path / "metrics.jsonl").exists() or not (tmp_path / "metrics.jsonl").read_text():
    assert job.poll() is None and time.monotonic() < deadline
    time.sleep(0.1)
  workers = subprocess.run(
    ["pgrep", "-g", str(job.pid), "-f", "spawn_main"], capture_output=True, text=True, check=True
  )
  for worker in map(int, workers.stdout.split()):
    os.kill(worker, signal.SIGSTOP)
  try:
    output = job.communicate(timeout=120)[0]
    assert job.returncode == 2 and "no batch came for 40 s" in output, output
  finally:
    if job.poll() is None:
      os.killpg(job.pid, signal.SIGKILL)


@pytest.fixture
def small_disk(tmp_path):
  """A file system of 1 MiB."""
  folder = tmp_path / "disk"
  folder.mkdir()
  command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
  if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
    pytest.skip("cannot mount a tmpfs here")
  yield folder
  subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.slow  # starts the program twice
def test_a_full_disk_stops_with_the_last_good_checkpoint_kept(toy_run, small_disk):
  """Guards against a half-written checkpoint that counts, and against a traceback for a full disk."""
  flags = ("--config.total_steps=100000", "--config.checkpoint_every=10", "--config.eval_every=0")
  flags += ("--config.checkpoint_keep=1000",)
  output = (job := toy_run(small_disk, *flags)).communicate(timeout=300)[0]
  assert job.returncode == 2, output[-2000:]
  assert "train: error: a checkpoint cannot be written: no space left" in output, output[-2000:]
  last = _last_saved(small_disk)
  assert last > 0
  subprocess.run(["mount", "-o", "remount,size=16m", str(small_disk)], check=True)  # room is made
  output = (job := toy_run(small_disk, *flags, f"--config.total_steps={last + 1}")).communicate(timeout=300)[0]
  assert job.returncode == 0 and f"goes on at step {last} of" in output, output[-2000:]
