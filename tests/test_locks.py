"""Lock files: one holder at a time, named to the others; what a dead one left is taken over."""

import dataclasses
import json
import os
import subprocess
import sys
import threading
import time

import pytest

from dfdetect_jax import locks
from dfdetect_jax.errors import UserError

HOLD = """
import pathlib, sys, time
from dfdetect_jax import locks
with locks.held(pathlib.Path(sys.argv[1]), "training", "it"):
  print("held", flush=True)
  time.sleep(600)
"""


@pytest.fixture
def other(tmp_path):
  """Another process that holds the lock."""
  job = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path / "a.lock")], stdout=subprocess.PIPE, text=True)
  assert job.stdout.readline() == "held\n"
  yield job
  job.kill()
  job.communicate()


def test_the_second_is_refused_and_told_who_holds_it(tmp_path, other):
  """Guards against two trainings or builds in one folder, while the first lives."""
  with pytest.raises(UserError, match=rf"it is in use: process {other.pid} on .* \(training\) holds .*a\.lock"):
    with locks.held(tmp_path / "a.lock", "training", "it"):
      pass


def test_what_a_killed_process_left_is_taken_over(tmp_path, other, capsys):
  """Guards against a lock that outlives its holder for ever."""
  other.kill()
  other.wait()
  assert (tmp_path / "a.lock").is_file()
  with locks.held(tmp_path / "a.lock", "training", "it"):
    assert json.loads((tmp_path / "a.lock").read_text())["pid"] == os.getpid()
  assert f"was left by process {other.pid}" in capsys.readouterr().err
  assert not (tmp_path / "a.lock").exists()


def test_another_process_with_the_same_id_does_not_hold_it(tmp_path):
  """Guards the start time: ids come again."""
  me = locks._me("training")
  (tmp_path / "a.lock").write_text(json.dumps(dataclasses.asdict(me) | {"started": me.started - 1}))
  with locks.held(tmp_path / "a.lock", "training", "it"):
    pass


@pytest.mark.parametrize("content", ["", "{", "[]", '{"host": 3}'])
def test_a_damaged_lock_is_nobodys(tmp_path, content):
  """Guards against a lock file that was cut by a full disk."""
  (tmp_path / "a.lock").write_text(content)
  with locks.held(tmp_path / "a.lock", "training", "it"):
    pass


@pytest.mark.parametrize("alive", [True, False])
def test_a_holder_elsewhere_is_believed_while_it_touches_its_file(tmp_path, monkeypatch, alive):
  """Guards jobs that come back on another machine: the lost machine's lock goes, a living one's stays."""
  monkeypatch.setattr(locks, "SILENT_SECONDS", 1.0)
  path = tmp_path / "a.lock"
  path.write_text(json.dumps(dataclasses.asdict(locks._me("training")) | {"host": "elsewhere"}))
  done = threading.Event()

  def touch():
    while not done.wait(0.1):
      os.utime(path)

  threading.Thread(target=touch, daemon=True).start() if alive else None
  try:
    with locks.held(path, "training", "it"):
      assert not alive
  except UserError as error:
    assert alive and "on elsewhere (training)" in str(error)
  done.set()


def test_a_held_lock_is_touched_and_its_folder_goes_when_nothing_came_of_it(tmp_path, monkeypatch):
  """Guards the sign of life, and against empty folders of refused runs."""
  monkeypatch.setattr(locks, "TOUCH_SECONDS", 0.05)
  path = tmp_path / "new" / "a.lock"
  with locks.held(path, "training", "it"):
    first, end = path.stat().st_mtime_ns, time.monotonic() + 10
    while path.stat().st_mtime_ns == first and time.monotonic() < end:
      time.sleep(0.05)
    assert path.stat().st_mtime_ns > first
  assert not path.parent.exists()
