"""Runs that are killed, starved, filled up and fed with damaged records: each loses little and says what happened."""

import os
import random
import shutil
import signal
import subprocess
import threading
import time
import types

import jax
import numpy as np
import pytest
from helpers.folders import metrics_of

from dfdetect_jax.data.deadline import Deadline
from dfdetect_jax.errors import UserError
from dfdetect_jax.runs.checkpoints import Checkpoints
from dfdetect_jax.runs.config import override
from dfdetect_jax.schema import read_tracks
from dfdetect_jax.training import loop
from dfdetect_jax.training.program import make_program


@pytest.fixture(autouse=True)
def optax_promotes():
  """Optax relies on dtype promotion."""
  with jax.numpy_dtype_promotion("standard"):
    yield


@pytest.mark.slow  # starts the program some twenty times
def test_twenty_kills_9_lose_nothing(toy, toy_run, tmp_path):
  """Guards exact resume: a run that is killed at least twenty times in a row, ten of them while a checkpoint is being
  written and the others at random moments, goes on each time at most one interval before the checkpoint that was lost,
  and ends with the very parameters, optimizer and metrics of a run that was left alone.
  """
  interval, moments = 2, random.Random(0)
  hurt, alone = tmp_path / "hurt", tmp_path / "alone"
  flags = ("--config.log_every=2", "--config.eval_every=20")
  kills = writing = saved = lost = 0

  def start(last):
    return toy_run(hurt, *flags, f"--config.checkpoint_every={interval}", f"--config.total_steps={last}")

  def check(output):
    """The run went on from the last whole checkpoint, or from the one that was being written if it became whole."""
    assert "cannot be read" not in output, output
    if saved:
      step = int(output.split("goes on at step ")[1].split()[0])
      assert step >= saved and lost - step <= interval, (step, saved, lost)

  while kills < 20 or writing < 10:
    assert kills < 40, f"only {writing} of {kills} kills hit a checkpoint"
    job = start(1_000_000)
    wait_until(job, lambda: not _partial(hurt))  # what the last kill left behind is gone
    # One or two checkpoints later, either at a random moment or as soon as one appears under its partial name.
    target = saved + interval * moments.choice((1, 2))
    if kills % 2:
      wait_until(job, lambda: _last_saved(hurt) >= target)  # noqa: B023
      time.sleep(moments.uniform(0, 0.2))
    else:
      wait_until(job, lambda: max(_partial(hurt), default=0) >= target)  # noqa: B023
    os.killpg(job.pid, signal.SIGKILL)
    check(job.communicate()[0])
    assert job.returncode == -signal.SIGKILL
    kills += 1
    writing += bool(_partial(hurt))
    saved, lost = _last_saved(hurt), max(_partial(hurt), default=0)

  last = saved // 20 * 20 + 20
  for job in (start(last), toy_run(alone, *flags, "--config.checkpoint_every=1000000", f"--config.total_steps={last}")):
    output = job.communicate(timeout=300)[0]
    assert job.returncode == 0, output
    if "goes on" in output:
      check(output)
  assert metrics_of(hurt) == metrics_of(alone)
  jax.tree.map(np.testing.assert_array_equal, _state(toy, hurt), _state(toy, alone))


def wait_until(job, condition, seconds=200):
  """Looks every millisecond whether the condition holds, while the job runs; ends a job in which it never does."""
  deadline = time.monotonic() + seconds
  while not condition():
    if job.poll() is not None or time.monotonic() > deadline:
      if job.poll() is None:
        os.killpg(job.pid, signal.SIGKILL)
      pytest.fail(job.communicate()[0])
    time.sleep(0.001)


def _has_metrics(workdir):
  """Whether a run has written the first line of its metrics."""
  path = workdir / "metrics.jsonl"
  return path.exists() and path.stat().st_size > 0


def _last_saved(workdir):
  """Latest step whose checkpoint has its final name."""
  folder = workdir / "checkpoints"
  return max((int(p.name) for p in folder.iterdir() if p.name.isdigit()), default=0) if folder.is_dir() else 0


def _partial(workdir):
  """Steps of the checkpoints that are being written, or were when the run was killed."""
  folder = workdir / "checkpoints"
  names = [p.name for p in folder.iterdir() if p.name[0] != "."] if folder.is_dir() else []  # no probe of its own
  return [int(name.partition(".")[0]) for name in names if not name.isdigit()]


def _state(toy, workdir):
  """The whole state of a run's latest checkpoint."""
  checkpoints = Checkpoints(workdir, 2)
  state = checkpoints.restore(make_program(toy.get_config(), 20, jax.devices()[:1]).abstract)
  checkpoints.close()
  return state


@pytest.mark.slow  # starts the program
def test_sigterm_saves_and_asks_to_be_started_again(toy_run, tmp_path):
  """Guards preemption of a single process: saved off the interval, exit status 75, the same command goes on."""
  flags = ("--config.total_steps=100000", "--config.checkpoint_every=100000", "--config.eval_every=0")
  job = toy_run(tmp_path, *flags)
  wait_until(job, lambda: _has_metrics(tmp_path))
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


@pytest.mark.slow
def test_a_damaged_record_is_replaced_and_counted(toy_config, damaged, tmp_path, caplog):
  """Guards training on a shard with a bad record: said, counted in the metrics, and the run goes on, the same again."""
  config = override(toy_config, {"data": str(damaged), "clips.train_clips": 8, "eval_every": 0, "max_unreadable": 1000})
  states = [loop.train_and_evaluate(config, tmp_path / name) for name in "ab"]
  assert "a clip was replaced: " in caplog.text
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

  release = threading.Event()

  def batches():
    yield 1
    release.wait(60)
    yield 2

  stream = Deadline(batches(), 5)
  assert next(stream) == 1
  with pytest.raises(UserError, match="no batch came for 5 s"):
    next(stream)
  release.set()
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
  wait_until(job, lambda: _has_metrics(tmp_path))
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
  flags += ("--config.checkpoint_keep=1000", "--config.log_every=100000")  # no metrics that could take the last block
  output = (job := toy_run(small_disk, *flags)).communicate(timeout=300)[0]
  assert job.returncode == 2, output[-2000:]
  assert "train: error: a checkpoint cannot be written: no space left" in output, output[-2000:]
  assert "Traceback" not in output and "ERROR" not in output, output[-2000:]
  last = _last_saved(small_disk)
  assert last > 0
  subprocess.run(["mount", "-o", "remount,size=16m", str(small_disk)], check=True)  # room is made
  output = (job := toy_run(small_disk, *flags, f"--config.total_steps={last + 1}")).communicate(timeout=300)[0]
  assert job.returncode == 0 and f"goes on at step {last} of" in output, output[-2000:]


@pytest.mark.parametrize(
  "save, close",
  [
    (OSError(28, "No space left on device"), "FILE.__lock: No space left on device [os_error_code='28']"),
    (OSError(28, "No space left on device"), "step 1 is not there"),
    (None, "step 1 is not there"),
  ],
)
def test_whatever_a_full_disk_does_is_told_as_that(toy, tmp_path, monkeypatch, save, close):
  """Guards against the traceback of a second thread: one writes the arrays and another what is known of them, each
  tells an error of its own, at different times, and it need not say what is behind it."""
  checkpoints = Checkpoints(tmp_path, 3)
  state = make_program(toy.get_config(), 20, jax.devices()[:1]).initial_state()
  checkpoints.save(state)
  checkpoints.wait()

  def fail(error):
    def call(*args, **kwargs):
      raise error

    return call

  failure = RuntimeError("cannot finalize")
  failure.__cause__ = save
  full = save is None  # nothing says so but the disk
  with monkeypatch.context() as patch:
    patch.setattr(checkpoints._latest, "save", fail(failure))
    patch.setattr(checkpoints._latest, "wait_until_finished", lambda: None)
    patch.setattr(checkpoints._latest, "close", fail(ValueError(close)))
    patch.setattr(shutil, "disk_usage", lambda path: types.SimpleNamespace(free=0 if full else 1 << 40))
    for write in (lambda: checkpoints.save(state.replace(step=np.int32(1))), checkpoints.close):
      with pytest.raises(UserError, match="no space left for .* The last good one is of step 0; make room"):
        write()
  checkpoints.close()


def test_other_failures_of_writing_are_not_told_as_a_full_disk(toy, tmp_path, monkeypatch):
  """Guards against a mistake of ours that hides behind the sentence about the disk."""
  checkpoints = Checkpoints(tmp_path, 3)
  with monkeypatch.context() as patch:
    patch.setattr(checkpoints._latest, "close", lambda: {}["step 1"])
    with pytest.raises(KeyError, match="step 1"):
      checkpoints.close()
  checkpoints.close()
