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

from dfdetect_jax.devices.arguments import add_arguments
from dfdetect_jax.errors import UserError, exit_on_user_error
from dfdetect_jax.evaluation.metrics import FAILED_POLICIES
from dfdetect_jax.runs.trained_videos import LEAKS


def main(argv: list[str] | None = None) -> None:
  """Parses arguments and evaluates; see the module's docstring."""
  args = _parser().parse_args(argv)
  with exit_on_user_error("evaluate"):
    if args.protocol == "list":
      from dfdetect_jax.evaluation.protocols import describe_protocols

      print(describe_protocols())
      return
    _check(args)
    from dfdetect_jax.evaluation.program import run_program  # --help and mistakes need not wait for jax

    run_program(args)


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
  add("--shortest", type=int, metavar="N", help="judge tracks of N or more frames that are shorter than a clip, back "
      "and forth (default: as configured)")  # fmt: skip
  add("--failed", default="half", choices=FAILED_POLICIES, help="videos that cannot be scored count as 0.5 "
      "(half, default) or are left out (exclude); they are listed")  # fmt: skip
  add("--val", metavar="CSV", help="scores of the validation split: chooses the threshold of a second accuracy")
  add("--batch-size", type=int, help="clips per forward pass (default: the config's)")
  add_arguments(parser)
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


if __name__ == "__main__":
  main()
