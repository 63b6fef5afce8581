"""The tables and figures of the papers as studies: what to run, running it, and the page of results.

  python -m dfdetect_jax.study list
  python -m dfdetect_jax.study plan dip_table7 --workdir=studies --data=shards --init=dip=weights/vit_b16
  python -m dfdetect_jax.study check dip_table7 --workdir=studies --devices=8 --memory=24
  python -m dfdetect_jax.study run dip_table7 --workdir=studies [--submit=slurm > job.sh]
  python -m dfdetect_jax.study collect dip_table7 --workdir=studies

  python -m dfdetect_jax.study run dip_table7 --demo --workdir=demo_studies

A cell of a table names what is trained (config, videos) and what is tested on. Equal trainings are one run, shared by
cells and studies. --data names dataset folders, or folders that hold them; which one is meant is seen by what lies in
them. The working folder keeps the options, so later commands need not repeat them. --demo needs no data: it makes
stand-ins, at reduced size; its figures are no claim. `COMMAND --help` says more.
"""

import argparse
import inspect
import pathlib
import sys

from dfdetect_jax.errors import exit_on_user_error
from dfdetect_jax.studies import commands

PROGRAM = "python -m dfdetect_jax.study"


def parser() -> argparse.ArgumentParser:
  """The command line."""
  raw = argparse.RawDescriptionHelpFormatter
  p = argparse.ArgumentParser(PROGRAM, description=__doc__, formatter_class=raw, allow_abbrev=False)
  sub = p.add_subparsers(dest="command", required=True, metavar="list|plan|check|run|collect")
  for name, function in commands.COMMANDS.items():
    doc = inspect.getdoc(function) or ""
    own = sub.add_parser(name, help=doc.splitlines()[0], description=doc, formatter_class=raw, allow_abbrev=False)
    own.set_defaults(function=function)
    if name != "list":
      _add_options(own)
    if name == "plan":
      own.add_argument("--measure", action="store_true", help="time a few steps of each config on the devices here")
    if name == "check":
      own.add_argument("--devices", type=int, default=1, metavar="N", help="that a training gets (default: 1)")
      own.add_argument("--memory", type=float, metavar="GIB", help="of each device; without it what is needed is told")
    if name == "run":
      own.add_argument("--task", type=int, metavar="I", help="make only the run that `plan` numbers so")
      own.add_argument("--submit", choices=("slurm", "kubernetes"), help="print an array job instead of running")
      own.add_argument("--gpus", type=int, default=1, metavar="N", help="of each task of the array (default: 1)")
      own.add_argument("--hours", type=int, default=24, metavar="N", help="time limit of a task (default: 24)")
      own.add_argument("--image", default="dfdetect_jax:latest", help="container image, see launch/Dockerfile")
    if name == "collect":
      own.add_argument("--output", type=pathlib.Path, metavar="DIR", help="of the pages (default: WORKDIR/pages)")
      own.add_argument("--strict", action="store_true", help="refuse figures whose runs saw different data or code")
  return p


def _add_options(p: argparse.ArgumentParser) -> None:
  """What plan, check, run and collect share; the working folder keeps it."""
  p.add_argument("names", nargs="+", metavar="NAME", help="studies, see `list`; `all` is all of them")
  p.add_argument("--workdir", default="studies", metavar="DIR", help="of all runs and pages (default: studies)")
  p.add_argument("--data", action="append", metavar="DIR", help="dataset folders or folders of them; may be repeated")
  p.add_argument("--seeds", metavar="A,B", help="of each training (default: 0,1,2; a demo: 0)")
  p.add_argument(
    "--init",
    action="append",
    default=[],
    metavar="NETWORK=DIR",
    help="weights that a network starts from (dip, dil, resnet50, …); may be repeated",
  )
  p.add_argument("--from-scratch", action="store_true", help="random weights where a paper's are not given")
  p.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="a config field of every training")
  p.add_argument("--steps", type=int, metavar="N", help="training steps (default: the configs'; a demo: 150)")
  p.add_argument("--leaks", choices=("drop", "keep"), help="test videos that a run has seen: left out (drop, default) "
      "or scored, and their cells marked as contaminated (keep)")  # fmt: skip
  demo = p.add_argument_group("demo")
  demo.add_argument("--demo", action="store_true", help="generated data, reduced size: no figure is a claim")
  demo.add_argument("--variant", choices=("small", "test"), help="size of the networks (default: small)")
  demo.add_argument("--identities", type=int, metavar="N", help="people in each generated set (default: 16)")
  demo.add_argument("--frames", type=int, metavar="N", help="of each generated video (default: 48)")


def main(argv: list[str] | None = None) -> int:
  """Parses arguments and does what they say; returns the exit status."""
  args = parser().parse_args(argv)
  with exit_on_user_error("study"):
    try:
      return args.function(args)
    except BrokenPipeError:  # of `list | head`
      return 0


if __name__ == "__main__":
  sys.exit(main())
