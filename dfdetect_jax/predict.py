"""Judges videos with a trained detector: how likely each is forged, and where.

  python -m dfdetect_jax.predict --workdir=runs/dip video.mp4 --report=verdict.html
  python -m dfdetect_jax.predict --workdir=runs/dip videos/ more.mp4 --list=others.txt --report=verdicts --csv=all.csv

Faces are found, followed and cut out the way they were for training. Every face track is cut into the method's test
clips; its score is the mean of theirs, the video's the highest (or mean) of its tracks, those left out that are short
beside the others. What is above the threshold that was chosen on validation (dfdetect_jax.evaluate --split=val) is
fake; within a band around it, where validation videos of both kinds lie, nothing is decided.

Long faces: the method's own clips may see little of them. --stride or --clips scores more, which shows when, and
decides nothing. With --report or --overlay they are scored without being asked for, up to 48 a face.

Everything is written after each video. Several videos with --report: call it again, and it goes on where it stopped.

Exit status, for scripts: 0 all videos judged real, 10 at least one judged fake, 3 none fake but at least one undecided
or not judged, 2 the call itself is wrong, 130 stopped by Ctrl-C (what is done is kept).
"""

import argparse
import sys

from dfdetect_jax.errors import exit_on_user_error


def main(argv: list[str] | None = None) -> None:
  """Parses arguments and judges; see the module's docstring."""
  parser = argparse.ArgumentParser(
    "python -m dfdetect_jax.predict", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  add = parser.add_argument
  add("videos", nargs="*", metavar="VIDEO", help="video files, or folders of them")
  add("--list", action="append", default=[], metavar="FILE", help="text file with a path on each line; - is stdin")
  add("--workdir", required=True, help="folder of the trained run")
  add("--report", default="", metavar="F.html", help="page to look at; of several videos an index, with a page of each "
      "in a folder beside it")  # fmt: skip
  add("--json", default="", metavar="F", help="everything, clip by clip, with face boxes and crops")
  add("--csv", default="", metavar="F", help="a row for each clip, and a folder F_faces of the faces' crops")
  add("--plot", default="", metavar="DIR", help="a picture of each video: its faces and their scores over time")
  add("--overlay", default="", metavar="F.mp4", help="the video with boxes and scores in it, sound kept; of several "
      "videos a folder")  # fmt: skip
  add("--heat", action=argparse.BooleanOptionalAction, default=True, help="draw on the page where the model looks")
  add("--stride", type=int, default=0, metavar="N", help="also score a clip every N frames")
  add("--clips", type=int, default=0, metavar="N", help="also score N clips spread over each face track")
  add("--threshold", type=float, metavar="P", help="fake above this score, no undecided band (default: as validated)")
  add("--tracks", choices=("max", "mean"), help="combines several faces (default: as configured)")
  add("--shortest", type=int, metavar="N", help="judge faces of N or more frames that are shorter than a clip, back "
      "and forth (default: as configured)")  # fmt: skip
  add("--max-tracks", type=int, default=0, metavar="N", help="look at the N longest face tracks (default: all)")
  add("--step", default="best", help="best (by validation; default), latest, or a kept step")
  add("--weights", choices=("teacher", "student"), help="default: what the config says")
  add("--detector", help="face detector (default: the one of the training data)")
  add("--detector-model", default="", metavar="FILE", help="its model, where it needs one")
  args = parser.parse_args(argv)
  with exit_on_user_error("predict"):
    from dfdetect_jax.devices.compiled import keep_compiled  # --help need not wait for jax
    from dfdetect_jax.figures.heat import HeatMaps
    from dfdetect_jax.prediction.program import run_program

    keep_compiled()
    sys.exit(run_program(args, HeatMaps))


if __name__ == "__main__":
  main()
