"""`python -m dfdetect_jax.evaluate` behind its command line: a split, or the test sets of a protocol."""

import argparse
import dataclasses
import functools
import logging

import jax

from dfdetect_jax.data.catalogue import Catalogue
from dfdetect_jax.data.videos import VideoSet
from dfdetect_jax.datasets import title_of
from dfdetect_jax.devices import processes
from dfdetect_jax.devices.compiled import keep_compiled
from dfdetect_jax.errors import UserError, unknown
from dfdetect_jax.evaluation import metrics, scoring
from dfdetect_jax.evaluation.calibration import read_reliability
from dfdetect_jax.evaluation.document import to_markdown
from dfdetect_jax.evaluation.evaluator import make_predictor
from dfdetect_jax.evaluation.protocols import Protocol, check_training, get_protocol
from dfdetect_jax.evaluation.report import figures_table, threshold_from
from dfdetect_jax.evaluation.scores import VideoScore, read_scores
from dfdetect_jax.evaluation.statistics import bootstrap_intervals
from dfdetect_jax.evaluation.summary import Figures, Summary, to_json
from dfdetect_jax.folders import as_folder
from dfdetect_jax.runs.restore import restore_run
from dfdetect_jax.runs.trained_videos import trained_videos
from dfdetect_jax.runs.workdir import agree_on_work

# What differs between the processes of one job, or may: where the same things lie.
_OF_A_PROCESS = ("coordinator", "num_processes", "process_id", "join_timeout", "workdir", "data", "output", "val")

_LOG = logging.getLogger(__name__)


def run_program(args: argparse.Namespace) -> None:
  """Scores what the arguments ask for.

  Args:
    args: of `dfdetect_jax.evaluate`.

  Raises:
    UserError: something that was given is wrong.
  """
  protocol = _protocol(args) if args.protocol else None
  keep_compiled()
  processes.initialize(args.coordinator, args.num_processes, args.process_id, args.join_timeout)
  warnings: list[str] = []

  def warn(text: str) -> None:
    warnings.append(text)  # a figure is worth no more than what was told beside it: files hold it too
    if jax.process_index() == 0:
      _LOG.warning(text)

  workdir = as_folder(args.workdir)
  run = restore_run(args.workdir, args.step, args.weights).down_to(args.shortest)
  spec = run.method.clip_spec
  if spec.least < spec.frames:
    warn(f"tracks of {spec.least} to {spec.frames - 1} frames, shorter than a clip, are scored too, back and forth.")
  validation = read_reliability(workdir, run.step, run.weights).validation
  if validation and validation.self_made:
    warn(f"step {run.step} and its threshold were {validation.decision().origin}.")
  score = functools.partial(
    scoring.score_folder, run, make_predictor(run.method, run.mesh), workdir,
    leaks=args.leaks, batch_size=args.batch_size, over_tracks=args.tracks, warn=warn,
  )  # fmt: skip
  asked = {name: value for name, value in vars(args).items() if name not in _OF_A_PROCESS}
  facts = {
    "the options": "\n".join(f"{name}={value!r}" for name, value in sorted(asked.items())),
    "the weights": f"{run.weights} of step {run.step}",
  }
  about = {"workdir": args.workdir, "step": run.step, "method": run.config.method, "weights": run.weights}
  if protocol is None:
    [data] = args.data
    output = as_folder(args.output or workdir / f"{args.split}_{as_folder(data).name}")
    agree_on_work(run.config, [data], facts)
    scores, circumstances = score(as_folder(data), args.split, output, notes=tuple(warnings))
    if jax.process_index() == 0:
      summary, listed = _summary(scores, scores, args), scoring.listed(circumstances, scores)
      about |= {"data": data, "split": args.split}
      scoring.write_metrics(output, to_json(summary) | listed | {"warnings": warnings, "run": about})
      video, seen = summary.overall.video, listed["contaminated"]
      scoring.keep_with_run(workdir, run, args.split, str(data), scores, video, seen, warn)
      print(scoring.readable(summary, run.step, output))
    return
  output = as_folder(args.output or workdir / args.protocol)
  stand_in = _stand_in(args)
  for name, other in stand_in.items():
    warn(f"{other} stands in for {name}: no figure below is one of {title_of(name)}.")
  for warning in check_training(protocol, trained_videos(workdir, run.config), workdir):
    warn(warning)
  notes = tuple(warnings)
  folders = scoring.folders_of(protocol, Catalogue(args.data))
  agree_on_work(run.config, list(folders), facts)
  names = scoring.folder_names(list(folders))
  summaries: dict[str, tuple[Figures, dict]] = {}  # by set: at video level, and as the file holds them
  for folder, sets in folders.items():
    scores, circumstances = score(folder, "test", output / names[folder], videos=sets, notes=notes)
    if jax.process_index() == 0:
      for videos in sets:
        of_set = [s for s in scores if videos.holds(s)]
        summary, listed = _summary(of_set, scores, args), scoring.listed(circumstances, of_set, videos)
        video, seen = summary.overall.video, listed["contaminated"]
        scoring.keep_with_run(workdir, run, "test", _row_name(videos, stand_in), scores, video, seen, warn)
        held = to_json(summary) | listed | {"scores": f"{names[folder]}/scores.csv"}
        summaries[videos.name] = video, held
  if jax.process_index() == 0:
    ordered = {videos.name: summaries[videos.name][1] for videos in protocol.test}
    about |= {"data": args.data, "split": "test"}
    content = {"protocol": protocol.name, "stand_in": stand_in, "warnings": warnings}
    scoring.write_metrics(output, content | {"sets": ordered, "run": about})
    rows = [(_row_name(videos, stand_in), summaries[videos.name][0]) for videos in protocol.test]
    print(to_markdown(figures_table(rows, with_threshold=bool(args.val))))
    reference = "" if stand_in else f"; {protocol.reference}"
    print(f"(video level, 95 % intervals{reference}) Scores and figures are in {output}.")


def _stand_in(args: argparse.Namespace) -> dict[str, str]:
  """The datasets that others stand in for: name -> other."""
  pairs = [pair.partition("=") for pair in args.stand_in]
  if any(not (name and other) for name, _, other in pairs):
    raise UserError(f"--stand-in={args.stand_in[0]} must be NAME=OTHER, for example faceforensics=synthetic")
  return {name: other for name, _, other in pairs}


def _protocol(args: argparse.Namespace) -> Protocol:
  """The protocol that was asked for, with its stand-ins and only the sets wanted."""
  protocol, stand_in = get_protocol(args.protocol), _stand_in(args)
  used = sorted({videos.dataset for videos in (protocol.train, *protocol.test)})
  for name in stand_in:
    if name not in used:
      raise unknown("dataset", name, used, f"--stand-in: in protocol '{protocol.name}' ")
  protocol = protocol.on(stand_in)
  names = [videos.name for videos in protocol.test]
  wanted = args.sets.split(",") if args.sets else names
  for name in wanted:
    if name not in names:
      raise unknown("set", name, names, f"--sets: in protocol '{protocol.name}' ")
  return dataclasses.replace(protocol, test=tuple(videos for videos in protocol.test if videos.name in wanted))


def _row_name(videos: VideoSet, stand_in: dict[str, str]) -> str:
  """A set's name, with what was scored in its place."""
  return f"{videos.name} (stand-in: {videos.dataset})" if videos.dataset in stand_in.values() else videos.name


def _summary(scores: list[VideoScore], all_scores: list[VideoScore], args: argparse.Namespace) -> Summary:
  threshold = threshold_from(read_scores(args.val), all_scores, args.val) if args.val else None
  return metrics.summarise(scores, args.failed, threshold, bootstrap_intervals)
