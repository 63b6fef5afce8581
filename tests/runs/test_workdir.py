"""A run's folder: other data, a shorter length, a second training or a place that cannot be written are said first."""

import shutil

import pytest

from dfdetect_jax import locks
from dfdetect_jax.errors import UserError
from dfdetect_jax.runs import run_config, workdir
from dfdetect_jax.runs.config import override
from dfdetect_jax.runs.provenance import Session, read_json
from dfdetect_jax.training import loop


@pytest.fixture
def begun(toy_config, tmp_path):
  """A run's papers, without its steps."""
  folder = tmp_path / "run"
  folder.mkdir()
  run_config.save_config(folder, toy_config)
  Session(folder, toy_config, 0)
  return folder


def test_other_shards_need_a_switch(begun, toy_config, toy_dataset, tmp_path):
  """Guards against going on with shards that are cut otherwise: what prediction reads would change without a word."""
  workdir.check(begun, toy_config, False)
  moved, other = tmp_path / "moved", tmp_path / "other"
  shutil.copytree(toy_dataset, moved)
  workdir.check(begun, override(toy_config, {"data": str(moved)}), False)  # the same shards in another place
  shutil.copytree(toy_dataset, other)
  lines = (other / "tracks.jsonl").read_text().splitlines(keepends=True)
  (other / "tracks.jsonl").write_text("".join(lines[:-1]))
  config = override(toy_config, {"data": str(other)})
  with pytest.raises(UserError, match=r"trained on other shards: .* --other-data to go on with these"):
    workdir.check(begun, config, False)
  workdir.check(begun, config, True)
  Session(begun, config, 5)
  first, second = read_json(begun / "provenance.json")["sessions"]
  assert first["data"]["sha256"] != second["data"]["sha256"]


def test_papers_do_not_tell_of_a_shorter_run(begun, toy_config):
  """Guards 20 steps, then 40, then the first command again: config.json would say 20 beside a checkpoint of 40."""
  longer = override(toy_config, {"total_steps": 40})
  workdir.write_papers(begun, longer, 20, 40)
  with pytest.raises(UserError, match=r"holds a run of 40 steps; .* --config.total_steps=40 or more"):
    workdir.write_papers(begun, override(toy_config, {"total_steps": 20}), 40, 20)
  assert run_config.read_config(begun).total_steps == 40


def test_a_second_training_in_a_workdir_is_refused(toy_config, tmp_path, monkeypatch):
  """Guards the lock of a workdir: told before anything else is done, and nothing is written."""
  monkeypatch.setattr(locks, "SILENT_SECONDS", 0.2)
  with locks.held(tmp_path / "run" / workdir.LOCK_FILE, "training", "it"):
    with pytest.raises(UserError, match=r"the workdir .*run is in use: process \d+ on"):
      loop.train_and_evaluate(toy_config, tmp_path / "run")
  assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["", "checkpoints", "best"])
def test_a_place_that_cannot_be_written_is_said_at_once(toy_config, tmp_path, name):
  """Guards against minutes of hanging in the first save: a file stands where a folder must be."""
  run = tmp_path / "run"
  if name:
    run.mkdir()
  (run / name if name else run).write_text("in the way")
  with pytest.raises(UserError, match=r"cannot be written.* another --workdir"):
    loop.train_and_evaluate(toy_config, run)


def test_a_workdir_that_is_not_shared_is_told(toy_config, tmp_path, monkeypatch):
  """Guards against a job that hangs at its end: process 1 does not see what process 0 writes."""
  seen = []
  monkeypatch.setattr(workdir, "SHARED_SECONDS", 0)
  monkeypatch.setattr(workdir.jax, "process_count", lambda: 2)
  monkeypatch.setattr(workdir.processes, "agree_on", lambda facts: None)
  monkeypatch.setattr(workdir.processes, "gather", lambda value: seen.append(value) or [1, value])
  with pytest.raises(UserError, match="process 1 of the job does not see the workdir"):
    workdir.agree(tmp_path, toy_config, 20)
  (tmp_path / workdir.LOCK_FILE).touch()
  workdir.agree(tmp_path, toy_config, 20)
  assert seen == [0, 1]
