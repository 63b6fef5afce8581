"""Scores every video of a split with a trained detector.

  python -m dfdetect_jax.evaluate --workdir=runs/dip --data=shards/ffpp_c23 --split=test --output=runs/dip/ffpp_test

Writes OUTPUT/scores.csv (one row per video: label, score, clip scores, or why it could not be scored) and
OUTPUT/metrics.json (video-level AUC, accuracy, EER, AP and more, overall and by manipulation, dataset, compression).
Everything in metrics.json can be computed again from scores.csv alone: python -m dfdetect_jax.evaluation.report.
"""

import argparse
import json
import pathlib

import jax

from dfdetect_jax.errors import UserError, exit_on_user_error
from dfdetect_jax.evaluation import metrics
from dfdetect_jax.evaluation.evaluator import make_predictor, score_split
from dfdetect_jax.evaluation.report import threshold_from
from dfdetect_jax.evaluation.scores import read_scores, write_scores
from dfdetect_jax.evaluation.statistics import bootstrap_intervals
from dfdetect_jax.training import distributed
from dfdetect_jax.training.restore import restore_run


def main(argv: list[str] | None = None) -> None:
  """Parses arguments and evaluates; see the module's docstring."""
  parser = argparse.ArgumentParser(
    "python -m dfdetect_jax.evaluate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument("--workdir", required=True, help="folder of the trained run")
  parser.add_argument("--data", required=True, help="dataset folder made by data_pipelines.build")
  parser.add_argument("--split", default="test", choices=("train", "val", "test"), help="default: test")
  parser.add_argument("--output", help="folder for scores.csv and metrics.json (default: WORKDIR/SPLIT_DATASET)")
  parser.add_argument("--step", default="best", help="best (by validation; default), latest, or a kept step")
  parser.add_argument("--weights", choices=("teacher", "student"), help="default: what the config says")
  parser.add_argument(
    "--tracks", choices=("max", "mean"), help="combines several faces (default: what the config says)"
  )
  failed = "videos that cannot be scored count as 0.5 (half, default) or are left out (exclude); they are listed"
  parser.add_argument("--failed", default="half", choices=("half", "exclude"), help=failed)
  parser.add_argument(
    "--val", metavar="CSV", help="scores of the validation split: chooses the threshold of a second accuracy"
  )
  parser.add_argument("--batch-size", type=int, help="clips per forward pass (default: the config's)")
  distributed.add_arguments(parser)
  args = parser.parse_args(argv)
  with exit_on_user_error("evaluate"):
    distributed.initialize(args.coordinator, args.num_processes, args.process_id)
    run = restore_run(args.workdir, args.step, args.weights)
    output = pathlib.Path(args.output or pathlib.Path(args.workdir) / f"{args.split}_{pathlib.Path(args.data).name}")
    scores = score_split(
      make_predictor(run.method, run.mesh), run.variables, run.method, args.data, args.split, mesh=run.mesh,
      batch_size=args.batch_size or run.config.eval_batch_size, over_tracks=args.tracks or run.config.tracks,
      workers=run.config.workers, prefetch=run.config.prefetch, progress=jax.process_index() == 0,
    )  # fmt: skip
    if jax.process_index():
      return  # every process knows all scores; one writes them
    threshold = threshold_from(read_scores(args.val), scores, args.val) if args.val else None
    summary = metrics.summarise(scores, args.failed, threshold, bootstrap_intervals)
    summary["run"] = {
      "workdir": str(args.workdir), "step": run.step, "method": run.config.method, "weights": run.weights,
      "data": str(args.data), "split": args.split,
    }  # fmt: skip
    try:
      output.mkdir(parents=True, exist_ok=True)
      write_scores(output / "scores.csv", scores)
      (output / "metrics.json").write_text(json.dumps(summary, indent=2) + "\n")
    except OSError as error:
      raise UserError(f"{output} cannot be written ({error.strerror}): choose another --output.") from error
    print(_readable(summary, output))


def _readable(summary: dict, output: pathlib.Path) -> str:
  """The figures a person looks for first."""
  video = summary["overall"]["video"]
  lines = [f"{video['n']} videos ({video['real']} real, {video['fake']} fake), step {summary['run']['step']}"]
  for name in metrics.METRICS:
    if video.get(name) is None:
      lines.append(f"  {name:18} {video['undefined'].get(name, 'undefined')}")
    else:
      interval = video["intervals"].get(name)
      spread = f"  [{interval[0]:.4f}, {interval[1]:.4f}]" if interval else ""
      lines.append(f"  {name:18} {video[name]:.4f}{spread}")
  lines.append("  (95 % intervals: bootstrap over identities where known, else videos)")
  failed = summary["failed"]
  if failed["count"]:
    lines.append(f"{failed['count']} videos could not be scored (policy: {failed['policy']}):")
    lines += [f"  {v['video_id']}: {v['reason']}" for v in failed["videos"]]
  return "\n".join([*lines, f"Scores and figures are in {output}."])


if __name__ == "__main__":
  main()
