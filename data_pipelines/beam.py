"""The build on an Apache Beam runner, for clusters: `python -m data_pipelines.beam --source=NAME … --output=DIR`.

The options are those of data_pipelines.build; all others go to Beam (`--runner=…`, `--direct_num_workers=…`, …). The
workers must see the videos and the output folder under the same paths. A stopped job goes on like any other build.
"""

import argparse
import sys
from collections.abc import Iterator

from data_pipelines import build, finish
from data_pipelines.detectors import detector as detectors
from data_pipelines.plan import Unit
from data_pipelines.pool import pin_to_one_cpu_thread
from data_pipelines.unit import Job, build_unit
from dfdetect_jax.errors import UserError, exit_on_user_error

try:
  import apache_beam
  from apache_beam.options.pipeline_options import PipelineOptions
except ImportError:
  apache_beam = None


def main(argv: list[str] | None = None) -> int:
  """Parses the command line and builds; returns the exit status (1 if no video gave a track)."""
  parser = build.parser()
  parser.prog = "python -m data_pipelines.beam"
  parser.epilog = __doc__
  args, beam_options = parser.parse_known_args(argv)
  with exit_on_user_error("data_pipelines.beam"):
    if apache_beam is None:
      raise UserError("Apache Beam is not installed: pip install 'dfdetect_jax[beam]'.")
    if args.part:
      raise UserError("--part cuts a job for machines without a scheduler; Beam divides the work itself.")
    settings = build.settings_of(args)
    listing = build.listing_of(args, settings)
    if args.dry_run:
      print(build.summary_of_listing(listing))
      return 0
    if args.output is None:
      raise UserError("--output=DIR is missing: the folder to write the shards to.")

    def run_on_beam(job: Job, own: list[Unit], undone: list[Unit], args: argparse.Namespace) -> int:
      with apache_beam.Pipeline(options=PipelineOptions(beam_options)) as pipeline:
        units = pipeline | "Units" >> apache_beam.Create(undone)
        units | "Spread" >> apache_beam.Reshuffle() | "Build" >> apache_beam.ParDo(_build_function(job))
      return sum(finish.records_of(args.output, unit) for unit in undone)

    return build.build(args, settings, listing, run=run_on_beam)


def _build_function(job: Job) -> "apache_beam.DoFn":
  """Beam's wrapper of `build_unit`: one detector per worker, units that are done already are left alone."""

  class BuildUnit(apache_beam.DoFn):
    def setup(self):
      pin_to_one_cpu_thread()
      settings = job.settings
      self._detector = None if settings.cropped else detectors.create(settings.detector, settings.detector_model)

    def process(self, unit: Unit) -> Iterator[int]:
      if not finish.is_done(job.directory, unit):  # Beam may run an element twice
        build_unit(job, unit, self._detector)
      yield 1

  return BuildUnit()


if __name__ == "__main__":
  pin_to_one_cpu_thread()
  sys.exit(main())
