"""Provenance of runs: whole, appended to by each session, and never a reason to fail for want of git."""

import dataclasses
import json
import os
import pathlib
import shutil
import subprocess

import pytest

from dfdetect_jax import schema
from dfdetect_jax.errors import UserError
from dfdetect_jax.runs import provenance
from dfdetect_jax.runs.config import override
from dfdetect_jax.training import loop
from dfdetect_jax.training.preemption import Preempted


def git(folder, *arguments):
  """Runs git without the user's settings."""
  identity = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
  subprocess.run(["git", "-C", folder, *identity, *arguments], check=True, capture_output=True)


@pytest.fixture
def package(tmp_path, monkeypatch):
  """A package under git, and an installed copy of it that lies in the same work tree, ignored."""
  if shutil.which("git") is None:
    pytest.skip("no git here")
  for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):  # set where the tests run in a hook
    monkeypatch.delenv(name, raising=False)
  monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
  monkeypatch.setenv("LC_ALL", "C")
  for folder in (tmp_path / "repo/package", tmp_path / "repo/.venv/package"):
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("x = 1\n")
  (tmp_path / "repo/.gitignore").write_text(".venv/\n__pycache__/\n")
  git(tmp_path / "repo", "init", "-q")
  git(tmp_path / "repo", "add", "-A")
  git(tmp_path / "repo", "commit", "-qm", "first")
  return tmp_path / "repo/package"


@pytest.mark.slow
def test_each_session_is_recorded(toy_config, tmp_path):
  """Guards the record of a run that goes on: an entry a session, nothing of the earlier ones lost, times added up."""
  for steps in (5, 8):
    loop.train_and_evaluate(override(toy_config, {"total_steps": steps, "eval_every": 0}), tmp_path)
  content = json.loads((tmp_path / "provenance.json").read_text())
  first, second = content["sessions"]
  assert [(s["first_step"], s["last_step"]) for s in (first, second)] == [(0, 5), (5, 8)]
  assert first["started"] <= first["ended"] <= second["started"] <= second["ended"]
  assert content["wall_seconds"] == pytest.approx(first["wall_seconds"] + second["wall_seconds"], abs=2e-3)
  assert (content["method"], content["seed"], content["step"]) == ("toy_method", 0, 8)
  assert content["config"] == json.loads((tmp_path / "config.json").read_text())
  assert second["devices"]["count"] == 8 and second["devices"]["processes"] == 1
  assert {"jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain", "numpy"} <= second["packages"].keys()
  assert second["data"] == provenance.data_fingerprint(toy_config.data)
  assert second["code"]["sha256"] == provenance.code_version()["sha256"]
  assert not list(tmp_path.glob("*.partial"))


@pytest.mark.slow
def test_a_session_that_does_not_end_leaves_its_last_checkpoint(toy_config, tmp_path, monkeypatch):
  """Guards the record of a killed run: it is written at each checkpoint, not only at the end."""
  seen = []
  reached = provenance.Session.reached

  def spy(self, step, ended=False):
    reached(self, step, ended)
    seen.append(json.loads((tmp_path / "provenance.json").read_text())["sessions"][-1])

  monkeypatch.setattr(provenance.Session, "reached", spy)
  loop.train_and_evaluate(override(toy_config, {"total_steps": 12, "eval_every": 0}), tmp_path)
  assert [(s["last_step"], s["ended"] is None) for s in seen] == [(5, True), (10, True), (12, True), (12, False)]


def test_a_damaged_file_is_told_and_not_overwritten(toy_config, tmp_path):
  """Guards against throwing away what earlier sessions wrote because it cannot be read."""
  (tmp_path / "provenance.json").write_text('{"format": 1, "sess')
  with pytest.raises(UserError, match="provenance.json cannot be read .* remove it to go on"):
    loop.train_and_evaluate(toy_config, tmp_path)
  assert (tmp_path / "provenance.json").read_text() == '{"format": 1, "sess'


def test_code_is_named_by_commit(package):
  """Guards commit and dirty flag: files of the package that git does not know count, results beside it do not."""
  clean = provenance.code_version(package)
  assert len(clean["commit"]) == 40 and clean["dirty"] is False
  (package.parent / "runs").mkdir()
  (package.parent / "runs/metrics.jsonl").write_text("{}")
  assert provenance.code_version(package) == clean
  (package / "new.py").write_text("")
  changed = provenance.code_version(package)
  assert changed["dirty"] is True and changed["commit"] == clean["commit"] and changed["sha256"] != clean["sha256"]


def test_an_installed_copy_is_not_the_commit_around_it(package):
  """Guards against the commit of whatever work tree a virtual environment happens to lie in."""
  installed = provenance.code_version(package.parent / ".venv/package")
  assert installed == {"sha256": provenance.code_version(package)["sha256"], "commit": None, "dirty": None}


def test_a_checkout_of_another_user_is_not_asked(package, tmp_path, monkeypatch):
  """Guards against another user's repository: unknown, until the user's own configuration names it."""
  expected = provenance.code_version(package)
  assert expected["commit"]
  monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
  refused = subprocess.run(["git", "-C", package, "status"], capture_output=True, text=True)
  assert "dubious ownership" in refused.stderr
  assert provenance.code_version(package) == expected | {"commit": None, "dirty": None}
  (tmp_path / "gitconfig").write_text(f"[safe]\n\tdirectory = {package.parent}\n")
  monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
  assert provenance.code_version(package) == expected


def test_no_command_of_the_repository_runs(package, tmp_path):
  """Guards against filters, hooks and monitors of a repository: none is started, a change is told all the same."""
  ran = tmp_path / "ran"
  script = tmp_path / "script"
  script.write_text(f"#!/bin/sh\necho x >> {ran}\ncat\n")
  script.chmod(0o755)
  (package.parent / ".gitattributes").write_text("*.py filter=evil diff=evil\n")
  for name in ("filter.evil.clean", "filter.evil.smudge", "filter.evil.process", "core.fsmonitor", "core.pager",
               "diff.evil.textconv", "core.sshCommand", "diff.external"):  # fmt: skip
    git(package.parent, "config", name, str(script))
  for hook in ("post-index-change", "fsmonitor-watchman"):
    (package.parent / ".git/hooks").mkdir(exist_ok=True)
    shutil.copy(script, package.parent / ".git/hooks" / hook)
  ran.unlink(missing_ok=True)
  assert provenance.code_version(package)["dirty"] is False
  (package / "__init__.py").write_text("x = 2\n")
  assert provenance.code_version(package)["dirty"] is True
  assert not ran.exists()


def test_no_git_is_no_error(package, tmp_path, monkeypatch):
  """Guards machines without git: the commit is unknown, the sources still have their checksum."""
  expected = provenance.code_version(package)["sha256"]
  monkeypatch.setenv("PATH", str(tmp_path))
  assert provenance.code_version(package) == {"sha256": expected, "commit": None, "dirty": None}


def test_the_fingerprint_is_of_the_shards_content(toy_dataset, tmp_path):
  """Guards shards that differ in a checksum or a track from passing as the same; their place does not matter."""
  shutil.copytree(toy_dataset, tmp_path / "copy")
  one, copy = provenance.data_fingerprint(toy_dataset), provenance.data_fingerprint(tmp_path / "copy")
  assert one["sha256"] == copy["sha256"] and copy["path"] == str(tmp_path / "copy")
  tracks = schema.read_tracks(tmp_path / "copy")
  schema.write_tracks(tmp_path / "copy", [dataclasses.replace(tracks[0], split="val"), *tracks[1:]])
  assert provenance.data_fingerprint(tmp_path / "copy")["sha256"] != one["sha256"]
  with pytest.raises(UserError, match="is not a finished face-track dataset"):
    provenance.data_fingerprint(tmp_path)


def test_a_run_that_is_told_to_stop_ends_its_session(toy_config, tmp_path, monkeypatch):
  """Guards preemption: the session has its end and its last step."""
  monkeypatch.setattr(loop.StopSignal, "requested", lambda self, step: step == 3)
  with pytest.raises(Preempted):
    loop.train_and_evaluate(override(toy_config, {"eval_every": 0}), tmp_path)
  [session] = json.loads(pathlib.Path(tmp_path / "provenance.json").read_text())["sessions"]
  assert session["last_step"] == 3 and session["ended"]
