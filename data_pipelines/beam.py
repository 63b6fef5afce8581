"""The build on an Apache Beam runner, for clusters: `python -m data_pipelines.beam --source=NAME … --output=DIR -- …`.

The options are those of data_pipelines.build; what follows `--` goes to Beam (`--runner=…`, `--direct_num_workers=…`,
…). The workers must see the videos and the output folder under the same paths. A stopped job goes on like any other
build, with Beam or without.
"""

import argparse
import importlib.util
import os
import pathlib
import sys
import threading
from collections.abc import Iterator

from data_pipelines import build
from data_pipelines.building import finish
from data_pipelines.building.build import listing_of
from data_pipelines.building.listing import summary_of_listing
from data_pipelines.building.options import BuildOptions, settings_of
from data_pipelines.building.plan import Unit
from data_pipelines.building.pool import Pool, pin_to_one_cpu_thread
from data_pipelines.building.unit import Job
from dfdetect_jax.errors import UserError, exit_on_user_error
from dfdetect_jax.signals import EXIT_PREEMPTED


def main(argv: list[str] | None = None) -> int:
  """Parses the command line and builds; returns the exit status (1 if no video gave a track)."""
  argv = sys.argv[1:] if argv is None else argv
  end = argv.index("--") if "--" in argv else len(argv)
  parser = build.parser()
  parser.prog = "python -m data_pipelines.beam"
  parser.epilog = __doc__
  args = parser.parse_args(argv[:end])
  with exit_on_user_error("data_pipelines.beam"):
    if importlib.util.find_spec("apache_beam") is None:
      raise UserError("Apache Beam is not installed: pip install 'dfdetect_jax[beam]'.")
    if args.part or args.workers:
      raise UserError("--part and --workers divide a job by hand; Beam's own options after -- do it here.")
    _make_absolute(args)
    options = build.options_of(args)
    settings = settings_of(options)
    listing = listing_of(options, settings)
    if args.dry_run:
      print(summary_of_listing(listing))
      return 0
    return build.build(options, settings, listing, run=_on_beam(argv[end + 1 :])).status


def _make_absolute(args: argparse.Namespace) -> None:
  """Names every file and folder by its absolute path: workers run in other current folders."""
  for name in ("output", "root", "manifest", "detections", "detector_model", "landmarks_model", "reals"):
    given = getattr(args, name)
    if given and (name == "output" or pathlib.Path(given).exists()):
      setattr(args, name, type(given)(pathlib.Path(given).resolve()))


def _on_beam(runner: list[str]):
  """A `run` for `build.build`: one unit is one element of a pipeline of Beam's, whose own options these are."""
  import apache_beam
  from apache_beam.options.pipeline_options import PipelineOptions

  class BuildUnit(apache_beam.DoFn):
    """Builds a unit in a process of its own, so that a crash or a hang costs one video and not Beam's worker."""

    def __init__(self, job: Job, timeout: float):
      self._job, self._timeout = job, timeout

    def process(self, unit: Unit) -> Iterator[int]:
      if not finish.is_done(pathlib.Path(self._job.directory), unit):  # Beam may run an element twice
        for _ in Pool(self._job, 1, self._timeout).run([unit]):
          pass
      yield 1

  def run(job: Job, own: list[Unit], undone: list[Unit], options: BuildOptions) -> int:
    if undone:
      print(f"{len(undone)} of {len(own)} shards to build; Beam's runner shows the progress", file=sys.stderr)
      _watch_workers()
      with apache_beam.Pipeline(options=PipelineOptions(runner)) as pipeline:
        units = pipeline | "Units" >> apache_beam.Create(undone)
        units | "Spread" >> apache_beam.Reshuffle() | "Build" >> apache_beam.ParDo(BuildUnit(job, options.timeout))
    return sum(finish.records_of(pathlib.Path(job.directory), unit) for unit in undone)

  return run


def _watch_workers() -> None:
  """Ends the program where a worker process of Beam's local runner dies: Beam itself would wait for it for ever.

  What is built stays built, and the same command goes on. (Runners of clusters replace their workers.)
  """
  before = threading.excepthook

  def hook(args: threading.ExceptHookArgs) -> None:
    if args.thread is None or args.thread.name != "run_worker":
      before(args)
      return
    print(
      f"data_pipelines.beam: error: a worker of Beam's local runner died ({args.exc_value}). What is built stays; the "
      "same command goes on with the rest.",
      file=sys.stderr,
      flush=True,
    )
    os._exit(EXIT_PREEMPTED)  # Beam's own threads wait for the dead one

  threading.excepthook = hook


if __name__ == "__main__":
  pin_to_one_cpu_thread()
  sys.exit(main())
