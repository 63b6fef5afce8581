"""The build on an Apache Beam runner; skipped where Beam is not installed."""

import importlib.util
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest
from helpers.folders import contents

from data_pipelines import beam, build

ROOT = pathlib.Path(__file__).parents[2]


@pytest.mark.skipif(importlib.util.find_spec("apache_beam") is None, reason="needs Apache Beam (extra: beam)")
@pytest.mark.parametrize("mode", ["in_memory", pytest.param("multi_processing", marks=pytest.mark.slow)])
def test_beam_builds_the_same_bytes(tmp_path, dataset, mode):
  """Guards the cluster road: Beam's local runner and the plain build give the same dataset, byte for byte.

  Half of it is built without Beam before: a build may change its engine.
  """
  arguments = dataset(4, [("empty.mp4", b"")])
  output = f"--output={tmp_path / 'beam'}"
  assert build.main([*arguments, f"--output={tmp_path / 'plain'}", "--workers=1"]) == 0
  assert build.main([*arguments, output, "--workers=1", "--part=1/2"]) == 0
  runner = ["--runner=DirectRunner", f"--direct_running_mode={mode}", "--direct_num_workers=2"]
  program = [sys.executable, "-m", "data_pipelines.beam"]  # a program of its own: Beam leaves threads and warnings
  result = subprocess.run([*program, *arguments, output, "--", *runner], cwd=ROOT, capture_output=True, timeout=300)
  assert result.returncode == 0, result.stderr.decode()
  assert contents(tmp_path / "beam") == contents(tmp_path / "plain")


def workers_of(pid):
  """Process ids of Beam's workers below a process."""
  parents, found = {}, []
  for folder in pathlib.Path("/proc").glob("[0-9]*"):
    try:
      parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
      if b"sdk_worker_main" in (words := (folder / "cmdline").read_bytes()) and not words.startswith(b"/bin/sh"):
        found.append(int(folder.name))
    except OSError:
      continue  # it has ended

  def below(process):
    return process == pid or (process in parents and below(parents[process]))

  return [process for process in found if below(process)]


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("apache_beam") is None, reason="needs Apache Beam (extra: beam)")
def test_a_killed_worker_costs_no_video(tmp_path, dataset):
  """Guards against Beam's local runner, which waits for a dead worker for ever: the program says so and leaves with 75,
  and the same command goes on to the same bytes."""
  arguments = dataset(6)
  assert build.main([*arguments, f"--output={tmp_path / 'plain'}", "--workers=1"]) == 0
  runner = ["--runner=DirectRunner", "--direct_running_mode=multi_processing", "--direct_num_workers=2"]
  command = [sys.executable, "-m", "data_pipelines.beam", *arguments, f"--output={tmp_path / 'beam'}", "--", *runner]
  deadline = time.monotonic() + 240
  with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
    while not list((tmp_path / "beam").rglob("*array_record*")) and process.poll() is None:
      assert time.monotonic() < deadline
      time.sleep(0.02)
    os.kill(workers_of(process.pid)[0], signal.SIGKILL)
    told = process.stderr.read()
  assert process.returncode == 75 and "a worker of Beam's local runner died" in told
  subprocess.run(command, cwd=ROOT, capture_output=True, timeout=240, check=True)
  assert contents(tmp_path / "beam") == contents(tmp_path / "plain")


def test_options_are_checked_before_beam_gets_its_own(tmp_path, dataset, capsys):
  """Guards against a misspelt option that would go to Beam, which ignores what it does not know."""
  arguments = dataset(0)
  for extra in ("--compresion=c23", "--runner=DirectRunner"):
    with pytest.raises(SystemExit) as error:
      beam.main([*arguments, f"--output={tmp_path / 'out'}", extra])
    assert error.value.code == 2
    assert f"unrecognized arguments: {extra}" in capsys.readouterr().err


def test_without_beam_it_says_what_to_install(tmp_path, dataset, capsys, monkeypatch):
  """Guards against an ImportError's traceback for whoever lacks the extra."""
  monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
  with pytest.raises(SystemExit) as error:
    beam.main([*dataset(1), f"--output={tmp_path / 'out'}"])
  assert error.value.code == 2
  assert "pip install 'dfdetect_jax[beam]'" in capsys.readouterr().err
