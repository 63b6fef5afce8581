"""A build killed at any moment, again and again, ends with the bytes of one that nobody disturbed."""

import os
import pathlib
import random
import re
import signal
import subprocess
import sys
import time

import pytest
from helpers.folders import contents

ROOT = pathlib.Path(__file__).parents[3]
KILLS = 20


def start(*arguments: str) -> subprocess.Popen:
  """The program in a process group of its own, its workers with it."""
  program = [sys.executable, "-m", "data_pipelines.build", *arguments]
  return subprocess.Popen(
    program, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
  )


def state(directory: pathlib.Path) -> set[tuple[str, int]]:
  """Names and times of files but locks and probes; another state means that the build has done something."""
  files = (path for path in directory.rglob("*") if path.is_file() and not re.search("lock|probe", path.name))
  return {(path.name, path.stat().st_mtime_ns) for path in files}


def wait_for_work(process: subprocess.Popen, output: pathlib.Path, before: set) -> None:
  """Returns when the build first changes its folder, or ends."""
  while process.poll() is None:
    try:
      if state(output) != before:
        return
    except FileNotFoundError:  # renamed while we looked
      return
    time.sleep(0.005)


@pytest.mark.slow
def test_a_build_killed_twenty_times_at_random_gives_the_same_bytes(tmp_path, dataset):
  """Guards resumption at every moment: while it starts, within a shard, between shards, while it finishes.

  Every fourth kill comes while the program starts, the others a moment after the first change in its folder: of a new
  build that is its plan, of a resumed one a shard, of the last of all the finish. A build that ends before it is
  killed is compared and another one begun, until twenty have been killed.
  """
  arguments = [*dataset(6, [("empty.mp4", b""), ("text.mp4", b"no video" * 100)]), "--workers=2"]
  assert start(*arguments, f"--output={tmp_path / 'whole'}").wait(timeout=120) == 0
  expected = contents(tmp_path / "whole")
  rng = random.Random(0)
  kills = folders = killed_at_work = 0
  while kills < KILLS:
    output = tmp_path / f"killed{folders}"
    before = state(output)
    process = start(*arguments, f"--output={output}")
    starting = kills % 4 == 0
    if not starting:
      wait_for_work(process, output, before)
    try:
      assert process.wait(timeout=rng.uniform(0, 0.5 if starting else 0.1)) == 0
    except subprocess.TimeoutExpired:
      killed_at_work += any(output.glob("*.array_record*"))
      os.killpg(process.pid, signal.SIGKILL)
      process.wait()
      kills += 1
    else:
      assert contents(output) == expected
      folders += 1
  assert killed_at_work >= 5  # not all of them before the work began
  assert start(*arguments, f"--output={output}").wait(timeout=120) == 0
  assert contents(output) == expected
