"""How far the runs of a plan are and what they will take: from their own metrics, or from steps that were timed."""

import dataclasses
import json
import shlex
import statistics
from collections.abc import Sequence

from dfdetect_jax import methods
from dfdetect_jax.data.videos import select
from dfdetect_jax.errors import UserError
from dfdetect_jax.studies.definition import Study
from dfdetect_jax.studies.plan import Run
from dfdetect_jax.training.metrics_writer import METRICS_FILE
from dfdetect_jax.training.videos import steps_on


@dataclasses.dataclass(frozen=True)
class Speed:
  """How fast a training goes.

  Attributes:
    step: last one that was logged, 0 if none.
    seconds: of a step, None if it was never measured.
    devices: that took it.
    kind: of device, "" if unknown.
  """

  step: int = 0
  seconds: float | None = None
  devices: float = 1
  kind: str = ""


def speed_of(run: Run) -> Speed:
  """How far and how fast a run is, from its metrics file."""
  step, seconds, devices = 0, [], 1.0
  try:
    lines = (run.folder / METRICS_FILE).read_text(errors="replace").splitlines()
  except OSError:
    return Speed()
  for line in lines:
    try:
      values = json.loads(line)
      step = max(step, values["step"])
      if "speed/step_seconds" in values:
        devices = values["speed/clips_per_second"] / values["speed/clips_per_second_per_device"]
        seconds.append(float(values["speed/step_seconds"]))
    except (ValueError, KeyError, TypeError, ZeroDivisionError, RecursionError):
      continue  # half a line that a kill left
  return Speed(step, statistics.median(seconds) if seconds else None, devices)


def total_steps(run: Run) -> int | None:
  """Length of a run in steps; None where that takes data that are not there."""
  config = run.recipe.config
  if config.total_steps:
    return config.total_steps
  if run.data is None:
    return None
  spec = methods.build(config).clip_spec
  try:
    return steps_on(config, spec, select(run.data.tracks, run.recipe.videos, "train"))
  except UserError:
    return None


class Lengths:
  """Steps of each training, computed once for all seeds."""

  def __init__(self):
    self._known: dict[str, int | None] = {}

  def __call__(self, run: Run) -> int | None:
    """Length of the run in steps, None if unknown."""
    if run.recipe.name not in self._known:
      self._known[run.recipe.name] = total_steps(run)
    return self._known[run.recipe.name]


def describe(runs: Sequence[Run], studies: Sequence[Study], measured: dict[str, Speed], data_comes: str = "") -> str:
  """The plan in words: studies, runs with state and device-hours, commands, what is missing.

  Args:
    runs: see `make_plan`.
    studies: that they are for.
    measured: step times by `Recipe.speed`, where they were measured apart from runs.
    data_comes: said instead of what data are missing.
  """
  lengths, speeds = Lengths(), {run.name: speed_of(run) for run in runs}
  known = dict(measured)
  for run in runs:  # what runs themselves took is better than a trial
    if speeds[run.name].seconds:
      known[run.recipe.speed] = speeds[run.name]
  lines = [f"{study.name}: {study.title} ({study.reference})" for study in studies]
  trainings = {run.recipe.name: run for run in runs}
  seeds = len({run.seed for run in runs})
  states = [state_of(run, speeds[run.name].step, lengths(run)) for run in runs]
  counts = ", ".join(
    f"{n} {name}" for name in ("done", "partly", "to do", "no weights", "no data") if (n := _count(states, name))
  )
  lines += ["", f"{len(runs)} runs ({len(trainings)} trainings x {seeds} seed{'s' * (seeds > 1)}): {counts}", ""]
  width = max((len(run.name) for run in runs), default=0)
  lines.append(f"{'task':>4}  {'run':{width}}  {'steps':>8}  {'left':>10}  {'state':18}  cells")
  left_in_all, unknown = 0.0, 0
  for task, (run, state) in enumerate(zip(runs, states)):
    total, speed = lengths(run), known.get(run.recipe.speed)
    if run.trained:
      left, hours = "-", 0.0
    elif total is None or speed is None or speed.seconds is None:
      left, hours = "unknown", None
    else:
      hours = max(0, total - speeds[run.name].step) * speed.seconds * speed.devices / 3600
      left = f"{hours:.3g} dev-h"
    unknown += hours is None
    left_in_all += hours or 0.0
    cells = ", ".join(f"{study} {n}" for study, n in run.cells.items())
    lines.append(f"{task:4}  {run.name:{width}}  {total or 'unknown':>8}  {left:>10}  {state:18}  {cells}")
  lines += ["", _in_all(left_in_all, unknown, {s.kind for s in known.values() if s.kind})]
  lines += ["", "A training's command (run adds --workdir, --data and --config.seed, then scores the test folders):"]
  for run in trainings.values():
    shared = " — shared by " + " and ".join(run.cells) if len(run.cells) > 1 else ""
    command = shlex.join(["python", "-m", "dfdetect_jax.train", *run.recipe.flags(shown=True)])
    lines += [f"  {run.recipe.name}{shared}", f"    {command}"]
    for place, folder in run.tests.items():
      lines.append(f"    scores {place}: {folder.path}")
  missing = dict.fromkeys(text for run in runs for text in run.missing)
  if missing:
    lines += ["", "Missing (the cells that need it stay empty, the others are measured):"]
    lines += [data_comes] if data_comes else [f"  {text}" for text in missing]
  return "\n".join(lines)


def state_of(run: Run, step: int, total: int | None) -> str:
  """`done`, `partly …`, `to do`, `no weights` or `no data`."""
  if run.data is None and not run.trained:
    return "no data"
  if run.recipe.unweighted and not run.trained:
    return "no weights"
  if run.trained:
    scored = len(run.tests) - len(run.unscored)
    return "done" if not run.unscored else f"partly ({scored}/{len(run.tests)} scored)"
  return f"partly (step {step})" if step else "to do"


def _count(states: Sequence[str], name: str) -> int:
  return sum(state.startswith(name) for state in states)


def _in_all(hours: float, unknown: int, kinds: set[str]) -> str:
  text = f"Training left: {hours:.3g} device-hours"
  if kinds:
    text += f" (steps measured on {', '.join(sorted(kinds))})"
  if unknown:
    text += (
      f", and {unknown} runs of unknown length (--measure times a few steps; epochs are counted once data are there)"
    )
  return text + "."
