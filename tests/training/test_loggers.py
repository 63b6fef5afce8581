"""Loggers behind the metrics writer, on stand-ins of their packages that write down how they are called."""

import json

import pytest

from dfdetect_jax.errors import UserError
from dfdetect_jax.runs.config import override
from dfdetect_jax.training import loop
from dfdetect_jax.training.metrics_writer import MetricsWriter

# Each package as it is called by its documentation; a `broken` file in the current folder makes it fail.
NOTE = """
import json, os
def note(*call):
  if os.path.exists("broken_" + call[0]): raise ConnectionError("no network")
  with open("calls.jsonl", "a") as file: file.write(json.dumps(call) + "\\n")
"""
PACKAGES = {
  "wandb": NOTE + """
class Session:
  def define_metric(self, name, step_metric): note("define", name, step_metric)
  def log(self, scalars): note("log", scalars)
  def finish(self): note("close")
def init(project, id, name, resume, dir, config):
  note("init", project, id, name, resume, config)
  return Session()
""",
  "mlflow": NOTE + """
import types
def set_experiment(name): note("experiment", name)
def start_run(run_id, run_name):
  note("init", run_id, run_name)
  return types.SimpleNamespace(info=types.SimpleNamespace(run_id=run_id or "r1"))
def log_params(config): note("params", config)
def log_metrics(scalars, step): note("log", scalars, step)
def end_run(): note("close")
""",
  "trackio": NOTE + """
def init(project, name, resume, config): note("init", project, name, resume, config)
def log(scalars, step): note("log", scalars, step)
def finish(): note("close")
""",
}  # fmt: skip


@pytest.fixture(params=PACKAGES)
def package(request, tmp_path, monkeypatch):
  """Name of an importable stand-in; what it is called with is in `calls.jsonl` of the current folder."""
  (tmp_path / "site").mkdir()
  (tmp_path / "site" / f"{request.param}.py").write_text(PACKAGES[request.param])
  monkeypatch.syspath_prepend(tmp_path / "site")
  monkeypatch.chdir(tmp_path)
  yield request.param
  monkeypatch.delitem(__import__("sys").modules, request.param, raising=False)


def calls(tmp_path):
  """The calls so far, which are forgotten then."""
  found = [json.loads(line) for line in (tmp_path / "calls.jsonl").read_text().splitlines()]
  (tmp_path / "calls.jsonl").unlink()
  return found


def train(tmp_path, package, step, scalars):
  writer = MetricsWriter(tmp_path / "run", step, config={"loggers": (package,), "model": {"width": 8}})
  writer.write(step + 1, scalars)
  writer.close()


def test_a_run_is_the_same_run_there_when_it_goes_on(package, tmp_path):
  """Guards names, settings and steps of each service: one run of it per workdir, however often it is started."""
  (tmp_path / "run").mkdir()
  train(tmp_path, package, 0, {"train/loss": 1.5})
  first = {call[0]: call[1:] for call in calls(tmp_path)}
  train(tmp_path, package, 1, {"train/loss": 0.5})
  second = {call[0]: call[1:] for call in calls(tmp_path)}
  settings = {"loggers": [package], "model.width": 8}
  named = json.loads((tmp_path / "run" / "loggers.json").read_text())[package]
  if package == "wandb":
    assert first["init"] == ["dfdetect_jax", named, "run", "allow", settings] and second["init"] == first["init"]
    assert first["define"] == ["*", "step"]
    assert (first["log"], second["log"]) == ([{"step": 1, "train/loss": 1.5}], [{"step": 2, "train/loss": 0.5}])
  elif package == "mlflow":
    assert first["experiment"] == ["dfdetect_jax"] and first["params"] == [settings] and "params" not in second
    assert first["init"] == [None, "run"] and second["init"] == [named, "run"] == ["r1", "run"]
    assert (first["log"], second["log"]) == ([{"train/loss": 1.5}, 1], [{"train/loss": 0.5}, 2])
  else:
    assert first["init"] == second["init"] == ["dfdetect_jax", named, "allow", settings]
    assert (first["log"], second["log"]) == ([{"train/loss": 1.5}, 1], [{"train/loss": 0.5}, 2])
  assert "close" in first and "close" in second
  lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
  assert [json.loads(line) for line in lines] == [{"step": 1, "train/loss": 1.5}, {"step": 2, "train/loss": 0.5}]


def test_a_logger_that_fails_costs_no_run(package, tmp_path, caplog):
  """Guards training against a service: one that cannot begin stops it with a sentence, one that fails later is told
  once and left out; the files hold every line."""
  (tmp_path / "run").mkdir()
  (tmp_path / "broken_init").touch()
  with pytest.raises(UserError, match=rf"config.loggers: {package} cannot begin \(no network\)"):
    train(tmp_path, package, 0, {"a": 1.0})
  (tmp_path / "broken_init").rename(tmp_path / "broken_log")
  writer = MetricsWriter(tmp_path / "run", 0, config={"loggers": (package,)})
  for step in (1, 2):
    writer.write(step, {"a": 1.0})
  writer.close()
  assert caplog.text.count(f"{package} takes no metrics any more (no network)") == 1
  assert len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) == 2
  (tmp_path / "broken_log").rename(tmp_path / "broken_close")
  train(tmp_path, package, 2, {"a": 1.0})
  assert f"{package} could not be closed (no network)" in caplog.text


def test_a_package_that_is_not_there_is_told_before_anything(toy_config, tmp_path, monkeypatch):
  """Guards the extra's name, and a mistyped logger; the workdir is not begun."""
  monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
  for name, words in (
    ("wandb", r"wandb is not installed: pip install 'dfdetect_jax\[wandb\]'"),
    ("wandbb", "there is no logger 'wandbb'. Did you mean 'wandb'"),
  ):
    with pytest.raises(UserError, match=words):
      loop.train_and_evaluate(override(toy_config, {"loggers": (name,)}), tmp_path / "run")
  assert not (tmp_path / "run").exists()
