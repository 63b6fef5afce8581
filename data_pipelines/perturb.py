"""Distorted copies of a dataset's shards: `python -m data_pipelines.perturb --source=NAME … --output=DIR`."""

import argparse
import dataclasses
import hashlib
import json
import pathlib
import sys

from data_pipelines import build
from data_pipelines.building import plan
from data_pipelines.building.build import listing_of
from data_pipelines.building.listing import summary_of_listing
from data_pipelines.building.options import settings_of
from data_pipelines.building.pool import pin_to_one_cpu_thread
from data_pipelines.video.distortions import DISTORTIONS, LEVELS, folder
from dfdetect_jax.errors import UserError, exit_on_user_error, unknown, unwritable
from dfdetect_jax.folders import on_disk

SEVEN = [name for name in DISTORTIONS if name != "frame_dropping"]
EPILOG = """distortions and their parameters at levels 1 to 5:
{table}

Every frame is distorted as a whole, then cropped along the face track of the clean video, whatever the label. Each
cell becomes a dataset folder of its own, DIR/<distortion>-<level>, that dfdetect_jax.evaluate reads like any other; the
faces are found once for all cells and kept in DIR/tracks. data_pipelines/perturb.md shows all cells of one face.

examples:
  the 35 cells of DIP Fig. 6 for the test videos:
    python -m data_pipelines.perturb --source=faceforensics --root=FF++ --compression=c23 --output=perturbed
  the four sets of DIP Table VIII (FFhf, FFnoise, FFcolor, FFta):
    python -m data_pipelines.perturb --source=faceforensics --root=FF++ --compression=c23 --output=perturbed \\
        --distortion=blur,gaussian_noise,saturation,frame_dropping --level=3
"""


def parser() -> argparse.ArgumentParser:
  """The command line: that of data_pipelines.build, with the distortions."""
  p = build.parser()
  p.prog = "python -m data_pipelines.perturb"
  p.description = "Builds face-track shards of distorted videos, with the face tracks of the clean ones."
  p.epilog = EPILOG.format(table="\n".join(f"  {n:15} {' '.join(map(str, v))}" for n, v in DISTORTIONS.items()))
  group = p.add_argument_group("distortions")
  group.add_argument("--distortion", default=",".join(SEVEN), metavar="A,B", help="which (default: the seven)")
  group.add_argument("--level", default="1,2,3,4,5", metavar="1,2", help="how strong, 1 to 5 (default: all)")
  p.set_defaults(split="test")
  return p


def cells_of(names: str, levels: str) -> list[tuple[str, int]]:
  """The cells (distortion, level) that two comma-separated lists ask for.

  Raises:
    UserError: a distortion or level that does not exist.
  """
  for name in names.split(","):
    if name not in DISTORTIONS:
      raise unknown("distortion", name, DISTORTIONS, f"--distortion={names}: ")
  for level in levels.split(","):
    if level not in map(str, LEVELS):
      raise unknown("level", level, LEVELS, f"--level={levels}: ")
  return [(name, int(level)) for name in names.split(",") for level in levels.split(",")]


def main(argv: list[str] | None = None) -> int:
  """Parses the command line and builds cell after cell; returns the exit status (1 if a cell has no track)."""
  args = parser().parse_args(argv)
  with exit_on_user_error("data_pipelines.perturb"):
    options = build.options_of(args)
    if options.output:
      on_disk(options.output)
    cells = cells_of(args.distortion, args.level)
    settings = settings_of(options)
    if settings.cropped:
      raise UserError(
        f"--source={args.source} holds face crops: distortions are defined on full frames, which it does not have."
      )
    listing = listing_of(options, settings)
    if any(video.distortion for video in listing.videos):
      raise UserError(
        f"--manipulations={args.manipulations}: these videos are distorted already, and what is distorted twice is no "
        "cell of the table. data_pipelines.build makes this set with its reals distorted alike."
      )
    if args.dry_run:
      print(summary_of_listing(listing))
      print("cells: " + ", ".join(folder(*cell) for cell in cells))
      return 0
    if args.output is None:
      raise UserError("--output=DIR is missing: the folder to write the distorted sets to.")
    tracks = _tracks_folder(args.output, settings)
    status = 0
    for number, cell in enumerate(cells, 1):
      name = folder(*cell)
      print(f"[{number}/{len(cells)}] {name}", file=sys.stderr)
      own = dataclasses.replace(options, output=args.output / name)
      status |= build.build(own, dataclasses.replace(settings, distortion=name), listing, str(tracks)).status
    return status


def _tracks_folder(output: pathlib.Path, settings: plan.Settings) -> pathlib.Path:
  """Folder of the clean videos' face tracks, another one for other choices that shape them."""
  choices = [settings.detector, settings.detector_model, settings.target_boxes, settings.max_frames]
  text = json.dumps([*choices, dataclasses.asdict(settings.faces)])
  path = output / "tracks" / hashlib.sha256(text.encode()).hexdigest()[:16]
  try:
    path.mkdir(parents=True, exist_ok=True)
  except OSError as error:
    raise unwritable(f"--output={output}", error) from error
  return path


if __name__ == "__main__":
  pin_to_one_cpu_thread()  # the accelerator is not for this; workers inherit it
  sys.exit(main())
