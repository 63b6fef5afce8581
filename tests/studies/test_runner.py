"""Making the runs of a plan: what is done is left alone, what fails or stops is told, nothing is done twice at once."""

import dataclasses
import fcntl
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from dfdetect_jax.errors import UserError
from dfdetect_jax.studies import runner
from dfdetect_jax.studies.plan import FINISHED_FILE, make_plan

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Stands for both programs: notes its call, and does what a file beside the runs says.
STAND_IN = """
import json, os, pathlib, signal, sys, time
options = dict(word.removeprefix("--").split("=", 1) for word in sys.argv[2:])
calls = pathlib.Path(__file__).with_name("calls")
with calls.open("a") as file:
  file.write(json.dumps([sys.argv[1], options, sorted(v for v in os.environ if v == "JOB_COMPLETION_INDEX")]) + "\\n")
print("step 3/4  loss 0.1", flush=True)
if sys.argv[1] == "train" and options.get("config.model.width") == "24":
  mood = pathlib.Path(__file__).with_name("mood")
  what = mood.read_text() if mood.exists() else ""
  if what == "sleep":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(75))
    pathlib.Path(__file__).with_name("ready").touch()
    time.sleep(120)
  if what:
    print("the reason", file=sys.stderr)
    sys.exit(int(what))
if sys.argv[1] == "evaluate":
  output = pathlib.Path(options["output"])
  output.mkdir(parents=True)
  (output / "scores.csv").write_text("")
"""


@pytest.fixture
def world(tmp_path, toy_study, settings, catalogue):
  """Runs of the toy study, the command of the stand-in programs, and a function that gives their calls."""
  import json

  script = tmp_path / "stand_in.py"
  script.write_text(STAND_IN)

  def calls():
    path = tmp_path / "calls"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

  return make_plan([toy_study], settings, catalogue), lambda name: [sys.executable, str(script), name], calls


def test_runs_are_made_once(world, toy_dataset, capsys, monkeypatch):
  """Guards the order, the commands and that a second call finds nothing to do."""
  monkeypatch.setenv("JOB_COMPLETION_INDEX", "3")  # a task of an array is no process of a job
  runs, program, calls = world
  assert runner.execute(runs, program) == 0
  assert [call[0] for call in calls()] == ["train", "evaluate"] * 4 and not any(call[2] for call in calls())
  train, evaluate = calls()[2][1], calls()[3][1]
  assert train["workdir"] == evaluate["workdir"] == str(runs[1].folder)
  assert (train["config.model.width"], train["config.seed"], train["data"]) == ("24", "0", str(toy_dataset))
  assert evaluate["output"] == str(runs[1].folder / "scores/clean/toy-c23") and evaluate["leaks"] == "drop"
  assert all(run.done for run in runs) and "step 3/4" in (runs[0].folder / runner.LOG_FILE).read_text()
  assert f"[4/4] {runs[3].name}: done in 0:00:0" in capsys.readouterr().out
  assert runner.execute(runs, program) == 0 and len(calls()) == 8
  assert capsys.readouterr().out.count(": done\n") == 4


def test_a_training_that_is_there_is_only_scored(world):
  """Guards work that is done: a finished training is not started again."""
  runs, program, calls = world
  runs[0].folder.mkdir(parents=True)
  (runs[0].folder / FINISHED_FILE).write_text("{}")
  assert runner.execute(runs[:1], program, leaks="keep") == 0
  assert [call[0] for call in calls()] == ["evaluate"] and calls()[0][1]["leaks"] == "keep"


def test_a_training_that_vanishes_is_a_failure(world, capsys, monkeypatch):
  """Guards a run without data whose finished training is gone when its turn comes: told as failed, no traceback."""
  runs, program, calls = world
  run = dataclasses.replace(runs[0], data=None, missing=("no folder holds it.",))
  run.folder.mkdir(parents=True)
  (run.folder / FINISHED_FILE).write_text("{}")
  locked = runner._locked

  def gone(folder):
    (folder / FINISHED_FILE).unlink()
    return locked(folder)

  monkeypatch.setattr(runner, "_locked", gone)
  assert runner.execute([run], program) == 1 and not calls()
  assert f"{run.name}: FAILED, no data: no folder holds it." in capsys.readouterr().out


def test_what_happens_to_seen_videos_is_a_choice_of_the_working_folder(tmp_path):
  """Guards --leaks: later commands need not say it again, and cells of one table are not of two kinds."""
  from dfdetect_jax import study
  from dfdetect_jax.studies import settings as choices

  def given(*options):
    return choices.load(study.parser().parse_args(["plan", "dip_table2", f"--workdir={tmp_path}", *options]))

  assert given().leaks == "drop"
  given("--leaks=keep").save()
  assert given().leaks == "keep"
  with pytest.raises(UserError, match="was begun with --leaks keep, now it is drop"):
    given("--leaks=drop")


def test_a_failure_stops_nothing_else(world, tmp_path, capsys):
  """Guards the report of a failed run: its status, its last words, its log; the others go on, and it is tried again."""
  runs, program, calls = world
  (tmp_path / "mood").write_text("2")
  assert runner.execute(runs, program) == 1
  assert [run.done for run in runs] == [True, False, True, False]
  told = capsys.readouterr().out
  assert f"{runs[1].name}: FAILED, status 2: " in told and "the reason" in told and "log.txt" in told
  assert f"2 of 4 runs failed: {runs[1].name}, {runs[3].name}" in told
  (tmp_path / "mood").unlink()
  assert runner.execute(runs, program) == 0 and all(run.done for run in runs)


def test_a_preempted_training_ends_the_command(world, tmp_path):
  """Guards arrays: status 75 of a training becomes that of the task, which is then started again."""
  runs, program, calls = world
  (tmp_path / "mood").write_text("75")
  with pytest.raises(SystemExit) as stop:
    runner.execute(runs, program)
  assert stop.value.code == 75 and [run.trained for run in runs] == [True, False, False, False]


def test_sigterm_is_passed_on(world, tmp_path):
  """Guards preemption: SIGTERM to the study reaches the training, and the study leaves with 75."""
  runs, program, _ = world
  (tmp_path / "mood").write_text("sleep")
  code = f"""
import pathlib, sys
from dfdetect_jax.evaluation.protocols import VideoSet
from dfdetect_jax.studies import runner
from dfdetect_jax.studies.plan import Run
from dfdetect_jax.studies.settings import Settings
from dfdetect_jax.studies.definition import Training
from dfdetect_jax.data.catalogue import DatasetFolder
recipe = Settings(pathlib.Path({str(tmp_path)!r})).recipe(
  Training({str(ROOT / "tests/toy_method.py")!r}, VideoSet("x", "toy"), (("model.width", 24),)))
run = Run(recipe, 0, pathlib.Path({str(tmp_path / "run")!r}), DatasetFolder(pathlib.Path("d")), {{}}, {{}}, ())
sys.exit(runner.execute([run], lambda name: [sys.executable, {program("x")[1]!r}, name]))
"""
  process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT)
  deadline = time.monotonic() + 300
  while not (tmp_path / "ready").exists() and process.poll() is None and time.monotonic() < deadline:
    time.sleep(0.05)
  process.send_signal(signal.SIGTERM)
  assert process.wait(timeout=120) == 75


def test_two_commands_do_not_work_on_one_run(world, capsys):
  """Guards studies that share a training: while another process holds the run, it is left to that one."""
  runs, program, calls = world
  runs[0].folder.mkdir(parents=True)
  with (runs[0].folder / "lock").open("w") as file:
    fcntl.flock(file, fcntl.LOCK_EX)
    assert runner.execute(runs[:1], program) == 0
  assert not calls() and "another process is at work on it" in capsys.readouterr().out
