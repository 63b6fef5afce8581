"""Reads a finished dataset again and checks everything it says of itself: `python -m data_pipelines.verify DIR`."""

import argparse
import pathlib
import sys

from data_pipelines.building import verification
from dfdetect_jax.errors import exit_on_user_error
from dfdetect_jax.files import DamagedFile


def parser() -> argparse.ArgumentParser:
  """The command line."""
  p = argparse.ArgumentParser(
    prog="python -m data_pipelines.verify",
    description="Checks a dataset's shards, counts, tracks, pictures and splits, and draws a contact sheet per split "
    "and label. Exit status 0 = sound, 1 = problems found.",
    allow_abbrev=False,
  )
  p.add_argument("directory", type=pathlib.Path, help="the dataset folder")
  p.add_argument(
    "--sheets", type=pathlib.Path, metavar="DIR", help="folder of the contact sheets (default: none drawn)"
  )
  return p


def main(argv: list[str] | None = None) -> int:
  """Parses the command line and verifies; returns the exit status."""
  args = parser().parse_args(argv)
  with exit_on_user_error("data_pipelines.verify"):
    found = verification.read(args.directory)
    problems = [*found.problems, *verification.check(found)]
    if args.sheets:
      try:
        for path in verification.contact_sheets(args.directory, args.sheets, found):
          print(f"contact sheet: {path}")
      except DamagedFile as error:
        problems.append(f"no contact sheet can be drawn: {error}")
    for note in verification.shared_identities(found.tracks):
      print(f"note: {note}")
  for problem in problems:
    print(f"problem: {problem}")
  print(f"{args.directory}: {f'{len(problems)} problem(s)' if problems else 'sound'}")
  return 1 if problems else 0


if __name__ == "__main__":
  sys.exit(main())
