"""Folders in buckets: what works on a path of etils as on one of pathlib, and what is refused."""

import csv
import importlib.util
import io
import json
import os
import pathlib
import subprocess
import sys

import jax
import numpy as np
import pytest
from etils import epath

from data_pipelines import build
from dfdetect_jax import evaluate, folders, study
from dfdetect_jax.errors import UserError
from dfdetect_jax.evaluation.scores import failed_video, read_scores, write_scores
from dfdetect_jax.folders import as_absolute, as_folder, on_disk
from dfdetect_jax.runs.restore import restore_run
from dfdetect_jax.schema import read_failures, read_metadata, read_tracks
from dfdetect_jax.training import loop


def test_what_a_path_becomes(monkeypatch):
  """Guards that a local path stays pathlib's, and that a bucket is never taken for a local folder `gs:`."""
  assert as_folder("runs/dip") == pathlib.Path("runs/dip") and as_folder(pathlib.Path("a")) == pathlib.Path("a")
  monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
  with pytest.raises(UserError, match=r"gs://bucket/run: buckets need gcsfs.*pip install 'dfdetect_jax\[gcs\]'"):
    as_folder("gs://bucket/run")
  monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
  monkeypatch.setattr(folders, "_reach", lambda bucket: None)
  bucket = as_folder("gs://bucket/run")
  assert str(as_absolute("gs://bucket/run")) == "gs://bucket/run" and as_absolute("run") == pathlib.Path.cwd() / "run"
  assert isinstance(bucket, epath.Path) and str(bucket / "config.json") == "gs://bucket/run/config.json"


@pytest.mark.parametrize("address", ["s3://bucket/run", "https://host/run"])
def test_other_addresses_are_refused(address, toy_dataset, capsys):
  """Guards against a run that is silently written to a local folder named `s3:`."""
  with pytest.raises(UserError, match=r"Mount the bucket as a folder"):
    as_folder(address)
  with pytest.raises(SystemExit):
    evaluate.main([f"--workdir={address}", f"--data={toy_dataset}"])
  assert "Mount the bucket" in capsys.readouterr().err
  assert not pathlib.Path(address.partition("/")[0]).exists()


def test_programs_that_write_to_disks_only(tmp_path, monkeypatch, capsys):
  """Guards against shards and studies that land in a local folder named `gs:`."""
  monkeypatch.chdir(tmp_path)
  assert on_disk("runs/gs") == pathlib.Path("runs/gs") and on_disk("/a:/b") == pathlib.Path("/a:/b")
  for program, flags in (
    (build, ["--source=folder", f"--root={tmp_path}", "--output=gs://bucket/shards"]),
    (study, ["run", "dip_table7", "--workdir=gs://bucket/studies", f"--data={tmp_path}"]),
  ):
    with pytest.raises(SystemExit):
      program.main(flags)
    assert "gcloud storage cp" in capsys.readouterr().err
  assert not list(tmp_path.glob("gs*"))


@pytest.mark.slow  # trains four times
def test_a_run_on_a_path_of_etils(toy_config, toy_dataset, tmp_path):
  """Guards the one way that buckets go: everything that a run reads and writes by path works on etils' paths too, which
  know fewer operations (nothing is appended to, no folder is moved by shutil). Here they lead to a local disk.
  """
  with jax.numpy_dtype_promotion("standard"):
    for steps in (10, 20):  # the second goes on
      toy_config.total_steps = steps
      state = loop.train_and_evaluate(toy_config, epath.Path(tmp_path / "remote"))
    local = loop.train_and_evaluate(toy_config, tmp_path / "local")
    jax.tree.map(np.testing.assert_array_equal, state, local)
    for file in (tmp_path / "remote" / "checkpoints" / "20" / "params").rglob("*"):
      if file.is_file():
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    again = loop.train_and_evaluate(toy_config, epath.Path(tmp_path / "remote"))  # sets step 20 aside
  jax.tree.map(np.testing.assert_array_equal, again, local)
  assert (tmp_path / "remote" / "damaged_checkpoints" / "20").is_dir()
  files = [(tmp_path / name / "metrics.jsonl").read_text().splitlines() for name in ("remote", "local")]
  remote, alone = ([{k: v for k, v in json.loads(line).items() if "speed" not in k} for line in f] for f in files)
  assert remote == alone
  assert restore_run(epath.Path(tmp_path / "remote"), "latest").step == 20

  data = epath.Path(toy_dataset)
  assert read_tracks(data) == read_tracks(toy_dataset) and read_metadata(data) == read_metadata(toy_dataset)
  assert read_failures(data, "test") == read_failures(toy_dataset, "test") != []


def test_scores_on_a_path_of_etils(tmp_path):
  """Guards score files in a bucket, rows with line breaks and quotes included."""
  scores = [failed_video('a,"b"', 1, "two\nlines"), failed_video("c", 0, "no face")]
  write_scores(epath.Path(tmp_path / "scores.csv"), scores)
  assert read_scores(epath.Path(tmp_path / "scores.csv")) == read_scores(tmp_path / "scores.csv") == scores
  assert len(list(csv.reader(io.StringIO((tmp_path / "scores.csv").read_text())))) == 3


def test_a_file_is_whole_or_absent(tmp_path):
  """Guards what is written under another name first: an exception leaves nothing and what was there, names of 255
  bytes have room, a folder comes whole too."""
  path = tmp_path / ("ü" * 125 + ".json")
  folders.write_whole(path, "before")
  with pytest.raises(KeyboardInterrupt), folders.whole(path) as partial:
    partial.write_text("half")
    raise KeyboardInterrupt
  with pytest.raises(ValueError), folders.whole(tmp_path / "folder") as partial:
    partial.mkdir()
    (partial / "a").touch()
    raise ValueError
  assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [(path.name, "before")]
  with folders.whole(tmp_path / "folder") as partial:
    partial.mkdir()
    (partial / "a").touch()
  assert (tmp_path / "folder/a").exists()


def test_what_killed_writers_left_is_swept(tmp_path):
  """Guards against half files that stay for ever, and against taking those of a writer that is at work."""
  dead = subprocess.Popen([sys.executable, "-c", ""])
  dead.wait()
  for name in (f"a.{dead.pid}.partial", f"a.{os.getpid()}.partial", f"b.{dead.pid}.partial", "a.x.partial", "a"):
    (tmp_path / name).touch()
  folders.sweep_partial(tmp_path, "a")
  assert not (tmp_path / f"a.{dead.pid}.partial").exists() and len(list(tmp_path.iterdir())) == 4
  folders.sweep_partial(tmp_path)
  assert {path.name for path in tmp_path.iterdir()} == {f"a.{os.getpid()}.partial", "a.x.partial", "a"}
