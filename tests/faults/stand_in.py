"""Stands for the programs that others start: works a little in a folder, stops when told to, goes on, ends.

  python tests/faults/stand_in.py -m PROGRAM FLAG …

What it leaves is a function of its command alone: a file of lines in the folder that its --output or --workdir names,
and what those that start it look for.
"""

import os
import pathlib
import shutil
import sys
import time

from dfdetect_jax.errors import exit_on_user_error
from dfdetect_jax.folders import write_whole

STEPS = 4


def main(program: str, *words: str) -> None:
  options = dict(word.removeprefix("--").partition("=")[::2] for word in words if word.startswith("--"))
  folder = pathlib.Path(options.get("output") or options.get("report") or options["workdir"])
  folder = folder / options.get("process_id", "")
  folder.mkdir(parents=True, exist_ok=True)
  parent = os.getppid()
  name = folder / f"{program.rpartition('.')[2]}.lines"
  lines = name.read_text().splitlines() if name.exists() else []
  for step in range(len(lines) + 1, STEPS + 1):
    time.sleep(0.05)
    while os.getppid() != parent:  # a training that goes on for ever though nobody waits for it
      time.sleep(0.05)
    lines.append(f"step {step}/{STEPS} of {program}")
    write_whole(name, "\n".join(lines) + "\n")
    print(lines[-1], flush=True)
  if program.endswith("synthetic"):
    for path in ("original_sequences/youtube/c23/videos/001.mp4",
                 "manipulated_sequences/Deepfakes/c23/videos/001_002.mp4"):  # fmt: skip
      (folder / path).parent.mkdir(parents=True, exist_ok=True)
      (folder / path).touch()
  if program.endswith("build") and "STUDY_DATA" in os.environ:
    compression = options.get("compression", "c23")
    shutil.copytree(f"{os.environ['STUDY_DATA']}/{compression}", folder, dirs_exist_ok=True)
  if program.endswith("evaluate"):
    write_whole(folder / "scores.csv", "")


if __name__ == "__main__":
  with exit_on_user_error(sys.argv[2]):
    main(*sys.argv[2:])
