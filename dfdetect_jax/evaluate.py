"""Scores every video of a split, or of all test sets of a protocol, with a trained detector.

  python -m dfdetect_jax.evaluate --workdir=runs/dip --data=shards/ffpp_c23 --split=test --output=runs/dip/ffpp_test
  python -m dfdetect_jax.evaluate --workdir=runs/dip --protocol=cross-dataset-c23 --data=shards
  python -m dfdetect_jax.evaluate --protocol=list

Writes OUTPUT/scores.csv (one row per video: label, score, clip scores, or why it could not be scored),
OUTPUT/provenance.json (where they come from) and OUTPUT/metrics.json (video-level AUC, accuracy, EER, AP and more,
overall and by manipulation, dataset, compression). With a protocol the first two lie in a folder for each dataset
folder, and metrics.json is by test set. Everything in metrics.json can be computed again from the scores alone:
python -m dfdetect_jax.evaluation.report.

Videos that the run was trained on or selected by, or whose file or footage it was, are refused: see --leaks.
"""

import argparse
import dataclasses
import functools

import jax

from dfdetect_jax.data.catalogue import Catalogue
from dfdetect_jax.data.videos import VideoSet
from dfdetect_jax.datasets import title_of
from dfdetect_jax.devices import processes
from dfdetect_jax.errors import UserError, did_you_mean, exit_on_user_error
from dfdetect_jax.evaluation import metrics, scoring
from dfdetect_jax.evaluation.document import to_markdown
from dfdetect_jax.evaluation.evaluator import make_predictor
from dfdetect_jax.evaluation.protocols import Protocol, check_training, describe_protocols, get_protocol
from dfdetect_jax.evaluation.report import figures_table, threshold_from
from dfdetect_jax.evaluation.scores import VideoScore, read_scores
from dfdetect_jax.evaluation.statistics import bootstrap_intervals
from dfdetect_jax.folders import as_folder
from dfdetect_jax.runs.restore import restore_run
from dfdetect_jax.runs.trained_videos import LEAKS, trained_videos


def main(argv: list[str] | None = None) -> None:
  """Parses arguments and evaluates; see the module's docstring."""
  args = _parser().parse_args(argv)
  with exit_on_user_error("evaluate"):
    if args.protocol == "list":
      print(describe_protocols())
      return
    _check(args)
    protocol = _protocol(args) if args.protocol else None
    processes.initialize(args.coordinator, args.num_processes, args.process_id, args.join_timeout)
    warnings: list[str] = []

    def say(text: str) -> None:
      if text.startswith(scoring.WARNING):  # a figure is worth no more than what was told beside it: files hold it too
        warnings.append(text.removeprefix(scoring.WARNING))
      if jax.process_index() == 0:
        print(text, flush=True)

    workdir = as_folder(args.workdir)
    run = restore_run(args.workdir, args.step, args.weights)
    score = functools.partial(
      scoring.score_folder, run, make_predictor(run.method, run.mesh), workdir,
      leaks=args.leaks, batch_size=args.batch_size, over_tracks=args.tracks, say=say,
    )  # fmt: skip
    about = {"workdir": args.workdir, "step": run.step, "method": run.config.method, "weights": run.weights}
    if protocol is None:
      [data] = args.data
      output = as_folder(args.output or workdir / f"{args.split}_{as_folder(data).name}")
      scores, told = score(as_folder(data), args.split, output)
      if jax.process_index() == 0:
        summary = _summary(scores, scores, args) | scoring.listed(told, scores)
        scoring.write_metrics(
          output, summary | {"warnings": warnings, "run": about | {"data": data, "split": args.split}}
        )
        scoring.keep_with_run(workdir, run, args.split, str(data), scores, summary, say)
        print(scoring.readable(summary, run.step, output))
      return
    output = as_folder(args.output or workdir / args.protocol)
    stand_in = _stand_in(args)
    for name, other in stand_in.items():
      say(f"{scoring.WARNING}{other} stands in for {name}: no figure below is one of {title_of(name)}.")
    for warning in check_training(protocol, trained_videos(workdir, run.config), workdir):
      say(f"{scoring.WARNING}{warning}")
    notes = tuple(warnings)
    folders = scoring.folders_of(protocol, Catalogue(args.data))
    names = scoring.folder_names(list(folders))
    summaries = {}
    for folder, sets in folders.items():
      scores, told = score(folder, "test", output / names[folder], videos=sets, notes=notes)
      if jax.process_index() == 0:
        for videos in sets:
          of_set = [s for s in scores if videos.holds(s)]
          summary = _summary(of_set, scores, args) | scoring.listed(told, of_set, videos)
          scoring.keep_with_run(workdir, run, "test", _row_name(videos, stand_in), scores, summary, say)
          summaries[videos.name] = summary | {"scores": f"{names[folder]}/scores.csv"}
    if jax.process_index() == 0:
      ordered = {videos.name: summaries[videos.name] for videos in protocol.test}
      about |= {"data": args.data, "split": "test"}
      content = {"protocol": protocol.name, "stand_in": stand_in, "warnings": warnings}
      scoring.write_metrics(output, content | {"sets": ordered, "run": about})
      rows = [(_row_name(videos, stand_in), ordered[videos.name]["overall"]["video"]) for videos in protocol.test]
      print(to_markdown(figures_table(rows, with_threshold=bool(args.val))))
      reference = "" if stand_in else f"; {protocol.reference}"
      print(f"(video level, 95 % intervals{reference}) Scores and figures are in {output}.")


def _parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(
    "python -m dfdetect_jax.evaluate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  add = parser.add_argument
  add("--workdir", help="folder of the trained run")
  add("--data", action="append", default=[], metavar="DIR", help="dataset folder made by data_pipelines.build; for a "
      "protocol any number of them, or of folders that hold some")  # fmt: skip
  add("--split", default="test", choices=("train", "val", "test"), help="default: test")
  add("--protocol", metavar="NAME", help="score the test sets of a protocol; 'list' shows them")
  add("--sets", metavar="A,B", help="only these test sets of the protocol")
  add(
    "--stand-in", action="append", default=[], metavar="NAME=OTHER", help="take dataset OTHER for the protocol's NAME"
  )
  add("--output", help="folder for what is written (default: WORKDIR/SPLIT_DATASET or WORKDIR/PROTOCOL)")
  add("--leaks", default="refuse", choices=LEAKS, help="videos that the run has seen: stop (refuse, default), leave "
      "them out (drop), or score them and mark the figures as contaminated (keep)")  # fmt: skip
  add("--step", default="best", help="best (by validation; default), latest, or a kept step")
  add("--weights", choices=("teacher", "student"), help="default: what the config says")
  add("--tracks", choices=("max", "mean"), help="combines several faces (default: what the config says)")
  add("--failed", default="half", choices=metrics.FAILED_POLICIES, help="videos that cannot be scored count as 0.5 "
      "(half, default) or are left out (exclude); they are listed")  # fmt: skip
  add("--val", metavar="CSV", help="scores of the validation split: chooses the threshold of a second accuracy")
  add("--batch-size", type=int, help="clips per forward pass (default: the config's)")
  processes.add_arguments(parser)
  return parser


def _check(args: argparse.Namespace) -> None:
  """Refuses options that do not go together."""
  if not args.workdir:
    raise UserError("--workdir is missing: the folder of the trained run.")
  if not args.data:
    raise UserError("--data is missing: a dataset folder that data_pipelines.build made.")
  if not args.protocol and (len(args.data) > 1 or args.sets or args.stand_in):
    raise UserError("several --data, --sets and --stand-in are for a protocol: give --protocol=NAME (or 'list').")
  if args.protocol and args.split != "test":
    raise UserError(
      f"--split={args.split}: a protocol reports on test sets. Without --protocol any split can be scored."
    )


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
      raise UserError(
        f"--stand-in: protocol '{protocol.name}' uses no dataset '{name}'; it uses: {', '.join(used)}."
        + did_you_mean(name, used)
      )
  protocol = protocol.on(stand_in)
  names = [videos.name for videos in protocol.test]
  wanted = args.sets.split(",") if args.sets else names
  for name in wanted:
    if name not in names:
      raise UserError(
        f"--sets: protocol '{protocol.name}' has no set '{name}'; it has: {', '.join(names)}."
        + did_you_mean(name, names)
      )
  return dataclasses.replace(protocol, test=tuple(videos for videos in protocol.test if videos.name in wanted))


def _row_name(videos: VideoSet, stand_in: dict[str, str]) -> str:
  """A set's name, with what was scored in its place."""
  return f"{videos.name} (stand-in: {videos.dataset})" if videos.dataset in stand_in.values() else videos.name


def _summary(scores: list[VideoScore], all_scores: list[VideoScore], args: argparse.Namespace) -> dict:
  threshold = threshold_from(read_scores(args.val), all_scores, args.val) if args.val else None
  return metrics.summarise(scores, args.failed, threshold, bootstrap_intervals)


if __name__ == "__main__":
  main()
