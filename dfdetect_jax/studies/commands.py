"""What each command of dfdetect_jax.study does."""

import argparse
import sys
from collections.abc import Sequence

from dfdetect_jax.data.catalogue import Catalogue
from dfdetect_jax.errors import UserError
from dfdetect_jax.studies import demo, registry
from dfdetect_jax.studies import settings as choices
from dfdetect_jax.studies.definition import Study
from dfdetect_jax.studies.plan import Run, make_plan
from dfdetect_jax.studies.settings import Settings


def list_studies(args: argparse.Namespace) -> int:
  """Shows all studies: name, what the paper shows, cells to measure and quoted, trainings.

  A training is a config and the videos trained on; each is run once per seed. Figures that the paper quotes of other
  methods are printed in the page as context.
  """
  lines = [("study", "cells", "quoted", "trainings", "title")]
  for study in registry.STUDIES.values():
    measured = [cell for cell in study.cells if cell.parts]
    trainings = {training for cell in measured for training, _ in cell.parts}
    counts = (len(measured), len(study.cells) - len(measured), len(trainings))
    lines.append((study.name, *map(str, counts), f"{study.title} ({study.reference})"))
  for name, cells, quoted, runs, title in lines:
    print(f"{name:16} {cells:>5} {quoted:>6} {runs:>9}  {title}")
  return 0


def plan(args: argparse.Namespace) -> int:
  """Shows the runs that studies need: state, steps, device-hours left, commands, missing data. Runs nothing.

  Device-hours come from the step times that runs of this working folder have logged, or from --measure, which times a
  few steps of each real config on a made-up batch on the devices of this machine; both are "unknown" before.
  """
  studies, settings = _studies(args.names), choices.load(args)
  runs = _runs(studies, settings)
  from dfdetect_jax.studies import forecast, step_times  # jax takes a while

  if args.measure:
    speeds = step_times.measure([run.recipe for run in runs if not run.trained], settings.workdir)
  else:
    speeds = step_times.read(settings.workdir)
  print(forecast.describe(runs, studies, speeds, "  (`run --demo` makes the stand-ins)" if settings.demo else ""))
  _refuse_random(runs)
  return 0


def check(args: argparse.Namespace) -> int:
  """Says whether studies can reproduce their tables here, before the first step.

  For every training and every test: the sets found and their videos per split against the counts that the authors
  publish, weights given, whole and mapped onto every variant, leaks, memory per device, time. No device is used: memory
  is added up from shapes, for --devices of --memory GiB each.

  Exit status: 0 ready, 3 something is missing (all of it is listed), 2 something given is wrong.
  """
  if args.devices < 1:
    raise UserError(f"--devices={args.devices} must be at least 1.")
  studies, settings = _studies(args.names), choices.load(args)
  found = _checked(_runs(studies, settings), settings, args.devices, args.memory)
  print(found)
  from dfdetect_jax.studies import check as checking

  return checking.NOT_READY if found.missing else checking.READY


def run(args: argparse.Namespace) -> int:
  """Makes what is not done: trains each run in a process of its own, then scores its test folders.

  Run it again after an interruption: finished runs are left alone, a begun one goes on from its checkpoint. A run that
  fails is reported with the end of its log (WORKDIR/trainings/…/log.txt) and the others go on. --submit prints an array
  job, one task a run, to be read and handed to the scheduler.

  Exit status: 0 done, 1 a run failed, 2 something given is wrong, 75 told to stop (start me again).
  """
  studies, settings = _studies(args.names), choices.load(args)
  if settings.demo and not args.submit:
    settings.save()
    sets = {v for s in studies for c in s.cells for recipe, test in settings.parts(c) for v in (recipe.videos, test)}
    demo.make(sorted(sets, key=str), settings.workdir / "demo", settings.identities, settings.frames)
  runs = _runs(studies, settings)
  if args.submit:
    _refuse_random(runs)
    from dfdetect_jax.studies.submit import submission

    print(submission(args.submit, args.names, settings, runs, args.gpus, args.hours, args.image), end="")
    return 0
  if not any(run.data or run.trained for run in runs):
    raise UserError(f"there is nothing that can be run: {runs[0].missing[0]}")
  if args.task is not None:
    if not 0 <= args.task < len(runs):
      raise UserError(f"--task={args.task}: the plan has the runs 0 to {len(runs) - 1}.")
    runs = runs[args.task : args.task + 1]
  if not settings.demo:
    found = _checked([run for run in runs if not run.done], settings, devices=0, gib=None)
    print(found, flush=True)
    if found.fatal:
      raise UserError(f"this cannot start: {' '.join(found.fatal)}")
  settings.save()
  from dfdetect_jax.studies.runner import execute

  return execute(runs, leaks=settings.leaks)


def collect(args: argparse.Namespace) -> int:
  """Gathers whatever is finished into NAME.html (one self-contained page), NAME.md and NAME.csv.

  A cell shows the measured mean over seeds, its 95 % interval, spread, the printed figure and the difference; cells
  without a finished run say "not run". Nothing is run, and no data are read but score files.
  """
  studies, settings = _studies(args.names), choices.load(args)
  from dfdetect_jax.studies import collect as collecting
  from dfdetect_jax.studies import page, strict

  output = args.output or settings.workdir / "pages"
  for study in studies:
    figures = collecting.collect(study, settings)
    if args.strict:
      strict.check_same_origin(figures)
    own = [figure for figure in figures if figure.cell.parts]
    html, *_ = page.write(study, figures, settings, output)
    print(f"{study.name}: {sum(f.mean is not None for f in own)} of {len(own)} cells measured: {html}")
  return 0


COMMANDS = {"list": list_studies, "plan": plan, "check": check, "run": run, "collect": collect}


def _checked(runs: Sequence[Run], settings: Settings, devices: int, gib: float | None):
  """The check, without a device: those here are for the trainings, each of which is a process of its own."""
  import jax

  jax.config.update("jax_platforms", "cpu")
  from dfdetect_jax.studies import check as checking
  from dfdetect_jax.studies import step_times

  return checking.check(runs, devices, gib, step_times.read(settings.workdir), published=not settings.demo)


def _refuse_random(runs: Sequence[Run]) -> None:
  """Refuses runs whose papers start from weights that are not given."""
  if unweighted := dict.fromkeys(run.recipe.unweighted for run in runs if run.recipe.unweighted and not run.trained):
    raise UserError(" ".join(unweighted))


def _studies(names: Sequence[str]) -> list[Study]:
  if list(names) == ["all"]:
    return list(registry.STUDIES.values())
  return [registry.get_study(name) for name in dict.fromkeys(names)]


def _runs(studies: Sequence[Study], settings: Settings) -> list[Run]:
  """The plan, with the data folders that there are."""
  if settings.demo:
    shards = settings.workdir / "demo" / "shards"
    found = any(shards.glob("*/dataset.json")) if shards.is_dir() else False
    return make_plan(studies, settings, Catalogue([shards]) if found else None)
  if not settings.data:
    print(
      "No data folder is given: --data=DIR names dataset folders made by data_pipelines.build, or folders that hold "
      "them (or --demo makes stand-ins).", file=sys.stderr,
    )  # fmt: skip
  return make_plan(studies, settings, Catalogue(settings.data) if settings.data else None)
