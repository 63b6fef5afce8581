"""Judges videos with a trained detector: how likely each is forged, and where.

  python -m dfdetect_jax.predict --workdir=runs/dip video.mp4 [more.mp4 …] [--json=verdict.json] [--plot=DIR]

Faces are found, followed and cut out the way they were for training. Every face track is cut into the method's test
clips; its score is the mean of their probabilities, the video's is the highest (or mean) of its tracks.

Exit status, for scripts: 0 all videos judged real, 10 at least one judged fake, 3 none fake but at least one undecided
or not judged, 2 the call itself is wrong.
"""

import argparse
import pathlib
import sys

import tqdm

from dfdetect_jax.errors import UserError, exit_on_user_error
from dfdetect_jax.folders import on_disk, write_json
from dfdetect_jax.prediction.clips import Dense
from dfdetect_jax.prediction.judge import judge, prepare
from dfdetect_jax.prediction.names import output_name
from dfdetect_jax.prediction.progress import Told
from dfdetect_jax.prediction.readable import readable

REAL, FAKE, NOT_JUDGED = 0, 10, 3


def main(argv: list[str] | None = None) -> None:
  """Parses arguments and judges; see the module's docstring."""
  parser = argparse.ArgumentParser(
    "python -m dfdetect_jax.predict", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument("videos", nargs="+", metavar="VIDEO", help="video files")
  parser.add_argument("--workdir", required=True, help="folder of the trained run")
  parser.add_argument("--json", help="write everything, clip by clip, to this file")
  parser.add_argument("--plot", help="folder for a picture per video: its faces and the probability over time")
  parser.add_argument("--threshold", type=float, help="fake above this score (default: as validated)")
  parser.add_argument("--step", default="best", help="best (by validation; default), latest, or a kept step")
  parser.add_argument("--weights", choices=("teacher", "student"), help="default: what the config says")
  parser.add_argument("--tracks", choices=("max", "mean"), help="combines several faces (default: as configured)")
  parser.add_argument("--detector", help="face detector (default: the one of the training data)")
  parser.add_argument("--detector-model", default="", metavar="FILE", help="its model, where it needs one")
  parser.add_argument("--max-tracks", type=int, default=0, help="look at so many longest face tracks (default: all)")
  parser.add_argument("--stride", type=int, default=0, metavar="N", help="also score a clip every N frames")
  parser.add_argument("--clips", type=int, default=0, metavar="N", help="also score N clips over each face track")
  args = parser.parse_args(argv)
  with exit_on_user_error("predict"):
    with_ = prepare(
      args.workdir, args.step, args.weights, threshold=args.threshold, over_tracks=args.tracks, detector=args.detector,
      detector_model=args.detector_model, max_tracks=args.max_tracks, dense=Dense(args.stride, args.clips),
    )  # fmt: skip
    results = []
    if args.plot:
      on_disk(args.plot).mkdir(parents=True, exist_ok=True)
    for path in args.videos:
      results.append(judge(with_, path, Told()))
      tqdm.tqdm.write(readable(results[-1]))
      if args.plot and results[-1].status == "ok":
        from dfdetect_jax.prediction.timeline import draw_timeline  # matplotlib is slow to import

        drawn = on_disk(args.plot) / f"{output_name(path)}.png"
        draw_timeline(results[-1], drawn)
        tqdm.tqdm.write(f"  drawn in {drawn}")
    if args.json:
      about = {"workdir": str(args.workdir), "step": with_.run.step, "weights": with_.run.weights}
      try:
        write_json(pathlib.Path(args.json), about | {"videos": [result.to_json() for result in results]})
      except OSError as error:
        raise UserError(f"{args.json} cannot be written ({error.strerror}): choose another --json.") from error
  verdicts = {result.verdict for result in results}
  sys.exit(FAKE if "fake" in verdicts else REAL if verdicts == {"real"} else NOT_JUDGED)


if __name__ == "__main__":
  main()
