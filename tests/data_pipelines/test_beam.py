"""The build on an Apache Beam runner; skipped where Beam is not installed."""

import hashlib
import importlib.util
import pathlib
import subprocess
import sys

import pytest

from data_pipelines import beam, build

ROOT = pathlib.Path(__file__).parents[2]


def contents(directory):
  return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in directory.rglob("*") if p.is_file()}


@pytest.mark.skipif(importlib.util.find_spec("apache_beam") is None, reason="needs Apache Beam (extra: beam)")
@pytest.mark.parametrize("mode", ["in_memory", "multi_processing"])
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
