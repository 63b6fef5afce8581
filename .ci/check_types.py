"""mypy over both packages: no error in the strict rooms, elsewhere so many at most; a number that only falls.

  python .ci/check_types.py [--all]

`--all` lists the errors elsewhere too. It takes half a minute at first, and seconds from then on.
"""

import argparse
import pathlib
import subprocess
import sys
from collections.abc import Sequence

ROOT = pathlib.Path(__file__).parent.parent
PACKAGES = ("dfdetect_jax", "data_pipelines")
STRICT = (
  "dfdetect_jax/methods/",
  "dfdetect_jax/layers/",
  "dfdetect_jax/augment/",
  "dfdetect_jax/training/",
  "dfdetect_jax/runs/",
  "data_pipelines/faces/",
  "data_pipelines/video/",
)
ELSEWHERE = 29  # errors that are left in the other rooms: lower it when some are mended, never raise it


def errors() -> list[str]:
  """mypy's errors, one line each, sorted by place.

  Raises:
    SystemExit: mypy itself failed.
  """
  command = [sys.executable, "-m", "mypy", "--no-pretty", "--hide-error-context", "--no-color-output"]
  for package in PACKAGES:
    command += ["-p", package]
  done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
  if done.returncode not in (0, 1):  # 1: there are errors
    raise SystemExit(f"mypy failed:\n{done.stdout}{done.stderr}")
  return sorted(line for line in done.stdout.splitlines() if ": error: " in line)


def judge(found: Sequence[str], most: int = ELSEWHERE) -> tuple[bool, str]:
  """Whether these errors may stand, and what to say of them.

  Args:
    found: lines of mypy, paths from the repository's root.
    most: errors that there may be outside of the strict rooms.
  """
  strict = [line for line in found if line.startswith(STRICT)]
  count = len(found) - len(strict)
  said = [*strict, f"type errors in the strict rooms: {len(strict)}; elsewhere: {count} (at most {most})."]
  if count > most:
    said.append(f"{count - most} are new: see which with --all, and mend them.")
  elif count < most:
    said.append(f"{most - count} are mended: please write ELSEWHERE = {count} in {pathlib.Path(__file__).name}.")
  return not strict and count <= most, "\n".join(said)


def main() -> None:
  """Runs mypy and exits with 1 if there are errors that may not be."""
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("--all", action="store_true", help="list the errors outside of the strict rooms too")
  options = parser.parse_args()
  found = errors()
  if options.all:
    print(*(line for line in found if not line.startswith(STRICT)), sep="\n")
  right, text = judge(found)
  print(text)
  sys.exit(not right)


if __name__ == "__main__":
  main()
