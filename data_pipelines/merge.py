"""Joins the parts of a build: `python -m data_pipelines.merge OUTPUT [PART_FOLDER …]`."""

import argparse
import pathlib
import shutil
import sys

from data_pipelines.building import finish, plan, shards
from data_pipelines.building.build import summary_of_build
from data_pipelines.building.unit import UnitNote, note_path, shard_path
from dfdetect_jax.errors import UserError, exit_on_user_error
from dfdetect_jax.files import file_sha256
from dfdetect_jax.folders import whole
from dfdetect_jax.schema import DATASET_FILE


def parser() -> argparse.ArgumentParser:
  """The command line."""
  p = argparse.ArgumentParser(
    prog="python -m data_pipelines.merge",
    description="Joins what data_pipelines.build --part=I/N made into one dataset, and checks that nothing is missing.",
    allow_abbrev=False,
  )
  p.add_argument("output", type=pathlib.Path, help="folder of the whole dataset")
  p.add_argument("parts", type=pathlib.Path, nargs="*", help="folders of parts that were built elsewhere")
  return p


def main(argv: list[str] | None = None) -> int:
  """Parses the command line and merges; returns the exit status (1 if no video gave a track)."""
  args = parser().parse_args(argv)
  with exit_on_user_error("data_pipelines.merge"):
    if (args.output / DATASET_FILE).is_file():
      raise UserError(f"{args.output} is a finished dataset already.")
    with finish.claimed(args.output):
      for part in args.parts:
        adopt(args.output, part)
      tracks, failures = finish.finish(args.output)
    print(summary_of_build(args.output, tracks, failures))
    return 0 if tracks else 1


def adopt(output: pathlib.Path, part: pathlib.Path) -> None:
  """Copies a part's finished shards to the output folder.

  Raises:
    UserError: not a part, a part of another build, or a shard that differs from its checksum.
  """
  planned = plan.read_plan(part)
  if plan.stored_choices(output) is None:
    plan.write_plan(output, planned)
  stored = plan.stored_choices(output)
  assert stored is not None, "written just now, if not before"
  plan.compare(output, stored, planned["choices"])
  for split, count in planned["shards"].items():
    for unit in (plan.Unit(split, n, count) for n in range(count)):
      if finish.is_done(output, unit) or not finish.is_done(part, unit):
        continue
      note, target = UnitNote.read(note_path(part, unit)), shard_path(output, unit)
      with shards.writing(output), whole(target) as partial:
        shutil.copyfile(shard_path(part, unit), partial)
        if file_sha256(partial) != note.sha256:
          raise UserError(f"{shard_path(part, unit)} is damaged: its checksum is not the one noted when it was built.")
      note.write(note_path(output, unit))


if __name__ == "__main__":
  sys.exit(main())
