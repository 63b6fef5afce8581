"""All programs of the project behind one command: `dfdetect train …` is `python -m dfdetect_jax.train …`."""

import importlib
import sys

from dfdetect_jax.errors import exit_on_user_error, unknown

# Sub-command -> (module with main(argv), what it does). In the order in which people need them.
PROGRAMS = {
  "demo": ("dfdetect_jax.demo", "see all of it work, on data that it makes itself"),
  "synthetic": ("data_pipelines.synthetic.__main__", "make the dataset that ships: rendered heads and four forgeries"),
  "build": ("data_pipelines.build", "videos to face-track shards"),
  "merge": ("data_pipelines.merge", "join the parts of a build that was split over machines"),
  "verify": ("data_pipelines.verify", "check finished shards, draw contact sheets"),
  "perturb": ("data_pipelines.perturb", "shards of distorted videos: seven distortions, five levels"),
  "build-beam": ("data_pipelines.beam", "the same build on an Apache Beam runner"),
  "configs": ("dfdetect_jax.show_configs", "list the run cards, their variants and fields"),
  "train": ("dfdetect_jax.train", "train a detector; goes on with a run that was stopped"),
  "evaluate": ("dfdetect_jax.evaluate", "score a split, or all test sets of a protocol"),
  "report": ("dfdetect_jax.evaluation.report", "figures, curves and tables of score files"),
  "predict": ("dfdetect_jax.predict", "judge videos"),
  "figures": ("dfdetect_jax.figures.__main__", "the papers' figures, and explanations, from runs, shards or videos"),
  "curves": ("dfdetect_jax.training.plot", "training curves of several runs"),
  "study": ("dfdetect_jax.study", "the papers' tables: plan, run, collect"),
  "convert": ("dfdetect_jax.interop.convert", "weights from PyTorch and others"),
  "export": ("dfdetect_jax.interop.export", "weights to others"),
  "jobs": ("launch.jobs", "job files for SLURM, GKE, TPU VMs, SkyPilot"),
  "launch-local": ("launch.local", "several processes on this machine"),
}


def main(argv: list[str] | None = None) -> int | None:
  """Runs the program that the first argument names; exit status as that program's."""
  arguments = sys.argv[1:] if argv is None else argv
  if not arguments or arguments[0] in ("-h", "--help", "help"):
    print("usage: dfdetect PROGRAM [options]      dfdetect PROGRAM --help\n")
    for name, (_, what) in PROGRAMS.items():
      print(f"  {name:13} {what}")
    return 0
  if arguments[0] not in PROGRAMS:
    print(f"dfdetect: error: {unknown('program', arguments[0], PROGRAMS)}", file=sys.stderr)
    return 2
  program, rest = arguments[0], arguments[1:]
  module = importlib.import_module(PROGRAMS[program][0])
  with exit_on_user_error(program):
    return module.main(["train", *rest] if program == "train" else rest)  # absl's flags want a name in front


if __name__ == "__main__":
  sys.exit(main())
