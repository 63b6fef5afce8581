"""Videos to face-track shards: `python -m data_pipelines.build --source=NAME … --output=DIR`.

From Python: `build(BuildOptions(source="manifest", manifest="videos.csv", output="shards"))`.
"""

import argparse
import dataclasses
import pathlib
import sys

from data_pipelines.building.build import Built, build, listing_of
from data_pipelines.building.listing import summary_of_listing
from data_pipelines.building.options import BuildOptions, settings_of
from data_pipelines.building.pool import pin_to_one_cpu_thread
from data_pipelines.faces.detectors import detector as detectors
from data_pipelines.sources import registry
from dfdetect_jax.errors import UserError, exit_on_user_error
from dfdetect_jax.folders import on_disk
from dfdetect_jax.schema import SPLITS

__all__ = ["BuildOptions", "Built", "build", "main"]

EXAMPLES = """examples:
  your own videos, listed in a CSV file (path,label,split[,video_id,manipulation,pair,identity]):
    python -m data_pipelines.build --source=manifest --manifest=videos.csv --output=shards
  a folder with real/ and fake/ in it, or train/real, train/fake, …:
    python -m data_pipelines.build --source=folder --root=videos --output=shards
  what a source finds, without decoding anything:
    python -m data_pipelines.build --source=faceforensics --root=FF++ --compression=c23 --dry-run
  FaceForensics++ as ST-ILIF uses it, on three machines that see the same disk:
    python -m data_pipelines.build --source=faceforensics --root=FF++ --compression=c23 --output=shards \\
        --max-frames=train=270,val=140,test=140 --part=1/3      (and 2/3, 3/3 on the others)
    python -m data_pipelines.merge shards

A build that was stopped goes on when its command is run again. A video without a usable face is a line of
DIR/failures.csv; it never stops the build.
"""


def parser() -> argparse.ArgumentParser:
  """The command line."""
  p = argparse.ArgumentParser(
    prog="python -m data_pipelines.build",
    description="Decodes videos, follows their faces, and writes the face crops as a TFDS dataset in ArrayRecord.",
    epilog=EXAMPLES,
    formatter_class=argparse.RawDescriptionHelpFormatter,
    allow_abbrev=False,
  )
  where = p.add_argument_group("what to read and where to write")
  where.add_argument("--source", required=True, help=f"layout of the videos: {', '.join(registry.NAMES)}, or a "
      "module of your own by its path (my_lab.layout)")  # fmt: skip
  where.add_argument("--manifest", default="", metavar="CSV", help="the list, for --source=manifest")
  where.add_argument("--root", type=pathlib.Path, metavar="DIR", help="the dataset's folder, for the other sources")
  where.add_argument("--output", type=pathlib.Path, metavar="DIR", help="folder of the shards")
  where.add_argument("--split", default="", metavar="A,B", help="only these splits (train, val, test)")
  where.add_argument("--compression", default="", metavar="A,B", help="only these compressions, e.g. c23")
  where.add_argument("--manipulations", default="", metavar="A,B", help="only these forgeries, and all real videos")
  where.add_argument("--reals", default="", metavar="DIR", help="FaceForensics++'s root, for deeper_forensics")
  where.add_argument(
    "--only", type=pathlib.Path, metavar="LIST", help="only the videos that a text file names, one a line"
  )
  where.add_argument(
    "--clean-reals", action="store_true", help="deeper_forensics: do not distort the reals of a distorted set alike"
  )
  where.add_argument(
    "--strict-people", action="store_true", help="Celeb-DF, DFDC-Preview: keep people of several splits apart"
  )
  where.add_argument("--draw", type=int, default=0, metavar="N", help="dfdc: N real videos of the training parts, "
      "with all forgeries of them, as test (ST-ILIF: 2000)")  # fmt: skip
  where.add_argument("--divide", default="", metavar="A,B,C", help="folder without split folders: shares of train, val "
      "and test, e.g. 0.8,0.1,0.1, drawn by file name (default: all is test)")  # fmt: skip
  where.add_argument("--seed", type=int, default=0, help="of --draw and --divide (default: 0)")
  where.add_argument("--dry-run", action="store_true", help="say what the source finds, and stop")

  faces = p.add_argument_group("faces")
  faces.add_argument("--detector", default="mtcnn", help=f"{', '.join(detectors.NAMES)} (default: mtcnn)")
  faces.add_argument(
    "--detector-model", default="", metavar="FILE", help="yunet: its .onnx file; dlib: upsamplings, 0-2"
  )
  faces.add_argument("--detections", default="", metavar="FILE", help="boxes for --detector=precomputed (CSV or JSON)")
  faces.add_argument("--landmarks", default="detector", metavar="WHOSE", help="kept with each frame, for self-made "
      "forgeries: the detector's five (mtcnn, yunet), or dlib68 (default: detector)")  # fmt: skip
  faces.add_argument("--landmarks-model", default="", metavar="FILE", help="dlib68: dlib's 68-point predictor")
  faces.add_argument("--target-boxes", action="store_true", help="a forgery takes its target video's face boxes")
  faces.add_argument("--max-tracks", type=int, default=1, metavar="N", help="people per video, 0 = all (default: 1)")
  faces.add_argument("--min-frames", type=int, default=16, metavar="N", help="shortest track kept (default: 16)")
  faces.add_argument(
    "--max-frames",
    default="0",
    metavar="N",
    help="first frames used: one number or train=270,val=140,test=140 (default: 0 = all)",
  )
  faces.add_argument("--key-frames", type=int, default=5, metavar="N", help="detect on every Nth frame (default: 5)")

  crops = p.add_argument_group("crops")
  crops.add_argument("--size", type=int, default=224, metavar="PIXELS", help="height and width (default: 224)")
  crops.add_argument("--margin", type=float, default=1.3, help="crop's side in face boxes (default: 1.3)")
  crops.add_argument("--align", nargs="?", const=True, default=False, choices=("ftcn",), help="turn and scale each "
      "track upright by its five landmarks; =ftcn as FTCN's own weights expect it (ignores --margin)")  # fmt: skip
  crops.add_argument("--encoding", default="png", help="png, webp (lossless, smallest, slow) or jpeg:95 (default: png)")

  work = p.add_argument_group("work")
  work.add_argument("--workers", type=int, default=0, metavar="N", help="processes (default: one per CPU core)")
  work.add_argument("--part", default="", metavar="I/N", help="build part I of N; data_pipelines.merge joins the parts")
  work.add_argument(
    "--timeout", type=float, default=300.0, metavar="SECONDS", help="a video without progress for so long is broken"
  )
  work.add_argument("--retry", default="", metavar="WHAT", help="of what was begun before, build again what failed, "
      "what changed, or all of that")  # fmt: skip
  work.add_argument("--duplicates", default="refuse", metavar="WHAT", help="files of one content under two labels or "
      "in two splits: refuse, drop or keep (default: refuse)")  # fmt: skip
  return p


def main(argv: list[str] | None = None) -> int:
  """Parses the command line and builds; returns the exit status (1 if no video gave a track)."""
  args = parser().parse_args(argv)
  with exit_on_user_error("data_pipelines.build"):
    options = options_of(args)
    if options.output:
      on_disk(options.output)
    settings = settings_of(options)
    listing = listing_of(options, settings)
    if args.dry_run:
      print(summary_of_listing(listing))
      return 0
    return build(options, settings, listing).status


def options_of(args: argparse.Namespace) -> BuildOptions:
  """The command line as options of the build."""
  names = {field.name for field in dataclasses.fields(BuildOptions)}
  given = {name: value for name, value in vars(args).items() if name in names}
  words = lambda text: tuple(text.split(",")) if text else ()  # noqa: E731
  first, by_split = _first_frames(args.max_frames)
  return BuildOptions(
    **given
    | {
      "splits": words(args.split) or SPLITS,
      "compressions": words(args.compression),
      "manipulations": words(args.manipulations),
      "divide": _shares(args.divide),
      "max_frames": first,
      "max_frames_by_split": tuple(by_split.items()),
    }
  )


def _shares(text: str) -> tuple[float, ...]:
  """Reads the shares of train, val and test."""
  if not text:
    return ()
  try:
    shares = tuple(float(part) for part in text.split(","))
  except ValueError:
    shares = ()
  if len(shares) != 3 or min(shares) < 0 or not 0.999 <= sum(shares) <= 1.001:
    raise UserError(f"--divide={text}: it is the shares of train, val and test, which sum to 1, e.g. 0.8,0.1,0.1.")
  return shares


def _first_frames(text: str) -> tuple[int, dict[str, int]]:
  """Reads `N` or `train=N,val=N,test=N`."""
  if text.isdecimal():
    return int(text), {}
  by_split = {}
  for item in text.split(","):
    split, _, number = item.partition("=")
    if split not in SPLITS or not number.isdecimal():
      raise UserError(f"--max-frames={text}: it is one number or train=N,val=N,test=N.")
    by_split[split] = int(number)
  return 0, by_split


if __name__ == "__main__":
  pin_to_one_cpu_thread()  # the accelerator is not for this; workers inherit it
  sys.exit(main())
