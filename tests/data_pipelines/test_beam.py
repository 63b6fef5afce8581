"""The build on Beam's local runner; skipped where Beam is not installed."""

import hashlib
import importlib.util

import pytest

from data_pipelines import beam, build


def contents(directory):
  return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in directory.rglob("*") if p.is_file()}


@pytest.mark.skipif(importlib.util.find_spec("apache_beam") is None, reason="needs Apache Beam (extra: beam)")
@pytest.mark.filterwarnings("default")  # Beam's own
def test_beam_builds_the_same_bytes(tmp_path, dataset):
  """Guards the cluster road: Beam's local runner and the plain build give the same dataset, byte for byte."""
  arguments = dataset(4, [("empty.mp4", b"")])
  assert build.main([*arguments, f"--output={tmp_path / 'plain'}", "--workers=1"]) == 0
  assert beam.main([*arguments, f"--output={tmp_path / 'beam'}", "--runner=DirectRunner"]) == 0
  assert contents(tmp_path / "beam") == contents(tmp_path / "plain")


def test_without_beam_it_says_what_to_install(tmp_path, dataset, capsys, monkeypatch):
  """Guards against an ImportError's traceback for whoever lacks the extra."""
  monkeypatch.setattr(beam, "apache_beam", None)
  with pytest.raises(SystemExit) as error:
    beam.main([*dataset(1), f"--output={tmp_path / 'out'}"])
  assert error.value.code == 2
  assert "pip install 'dfdetect_jax[beam]'" in capsys.readouterr().err
