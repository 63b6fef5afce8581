"""Videos to face-track shards: `python -m data_pipelines.build --source=NAME … --output=DIR`."""

import argparse
import collections
import os
import pathlib
import sys
import time
from collections.abc import Callable

from tqdm import tqdm

from data_pipelines.building import duplicates, finish, plan, retry
from data_pipelines.building.listing import (
  by_reason,
  only_named,
  restricted,
  short_of_published,
  summary_of_listing,
  writable,
)
from data_pipelines.building.plan import Settings, Unit
from data_pipelines.building.pool import Pool, pin_to_one_cpu_thread
from data_pipelines.building.unit import Job, versions
from data_pipelines.faces.detectors import detector as detectors
from data_pipelines.faces.face_tracks import FaceOptions
from data_pipelines.sources import Listing, Video, registry
from data_pipelines.sources.lists import Wanted
from data_pipelines.video import encoding
from dfdetect_jax.errors import UserError, did_you_mean, exit_on_user_error
from dfdetect_jax.folders import on_disk
from dfdetect_jax.schema import DATASET_FILE, FAILURES_FILE, SPLITS, Failure, Track, read_metadata

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
    if args.output:
      on_disk(args.output)
    settings = settings_of(args)
    listing = listing_of(args, settings)
    if args.dry_run:
      print(summary_of_listing(listing))
      return 0
    if args.output is None:
      raise UserError("--output=DIR is missing: the folder to write the shards to.")
    return build(args, settings, listing)


def settings_of(args: argparse.Namespace) -> Settings:
  """The choices of the command line, checked."""
  for name, least in (("size", 16), ("margin", 1.0), ("key_frames", 1), ("min_frames", 1), ("max_tracks", 0)):
    if getattr(args, name) < least:
      raise UserError(f"--{name.replace('_', '-')}={getattr(args, name)} is too small: at least {least}.")
  if args.detector not in detectors.NAMES:
    raise UserError(f"--detector={args.detector}: it is one of {', '.join(detectors.NAMES)}.")
  if args.detections and args.detector != "precomputed":
    raise UserError("--detections goes with --detector=precomputed.")
  for name, known in (("retry", retry.POLICIES), ("duplicates", duplicates.POLICIES)):
    if (given := getattr(args, name)) not in known:
      raise UserError(f"--{name}={given}: it is one of {', '.join(filter(None, known))}.{did_you_mean(given, known)}")
  first_frames, by_split = _first_frames(args.max_frames)
  return Settings(
    source=args.source,
    detector=args.detector,
    detector_model=args.detections or args.detector_model,
    faces=FaceOptions(
      align=args.align,
      size=args.size,
      margin=args.margin,
      every=args.key_frames,
      max_frames=first_frames,
      max_tracks=args.max_tracks,
      min_frames=args.min_frames,
    ),
    encoding=encoding.parse(args.encoding),
    max_frames=by_split,
    target_boxes=args.target_boxes,
    cropped=getattr(registry.load(args.source), "CROPPED", False),
  )


def listing_of(args: argparse.Namespace, settings: Settings) -> Listing:
  """What the source finds, of the wanted splits and compressions."""
  splits = args.split.split(",") if args.split else list(SPLITS)
  unknown = [split for split in splits if split not in SPLITS]
  if unknown:
    raise UserError(f"--split={args.split}: there is no split '{unknown[0]}'; splits are {', '.join(SPLITS)}.")
  if args.root is not None and not args.root.is_dir():
    raise UserError(f"--root={args.root}: no such folder.")
  compression = tuple(args.compression.split(",")) if args.compression else ()
  options = registry.SourceOptions(
    manifest=args.manifest,
    compression=compression,
    manipulations=tuple(args.manipulations.split(",")) if args.manipulations else (),
    reals=args.reals,
    clean_reals=args.clean_reals,
    strict_people=args.strict_people,
    draw=args.draw,
    divide=_shares(args.divide),
    seed=args.seed,
  )
  listing = registry.load(settings.source).list_videos(args.root, options)
  if not (options.draw or options.strict_people or options.manipulations):
    listing.notes.extend(short_of_published(listing, splits))

  def wanted(video: Video) -> bool:
    return (
      video.split in splits
      and (not compression or not video.compression or video.compression in compression)
      and (not options.manipulations or not video.label or video.manipulation in options.manipulations)
    )

  listing = restricted(writable(listing), wanted)
  if args.only:
    listing = only_named(listing, Wanted(args.only), source_root(args))
  twice = [name for name, n in collections.Counter(video.video_id for video in listing.videos).items() if n > 1]
  if twice:
    raise UserError(f"the source '{settings.source}' gives the id '{twice[0]}' to several videos.")
  return listing


def source_root(args: argparse.Namespace) -> str:
  """The folder that stored paths are relative to."""
  return str(args.root or (pathlib.Path(args.manifest).parent if args.manifest else ""))


def run_here(job: Job, own: list[Unit], undone: list[Unit], args: argparse.Namespace) -> int:
  """Builds units with worker processes of this machine, under a progress bar.

  Args:
    job: what every worker knows.
    own: the units asked for; `undone` are those of them that are not built yet.
    args: the command line, with `workers` and `timeout`.

  Returns:
    Number of frames written.
  """
  cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
  frames = failures = 0
  videos, left = (sum(len(unit.videos) for unit in units) for units in (own, undone))
  if left < videos:
    print(f"going on: {videos - left} of {videos} videos are done", file=sys.stderr)
  with tqdm(total=videos, initial=videos - left, unit="video", smoothing=0.1, disable=not undone) as bar:
    for news in Pool(job, args.workers or cores, args.timeout).run(undone):
      frames += news.frames
      if news.unit is not None:
        failures += len(news.note.failures)
        bar.update(len(news.unit.videos))
      rate = frames / max(bar.format_dict["elapsed"], 1e-3)
      bar.set_postfix_str(f"{rate:.0f} frames/s, {failures} failed", refresh=False)
  return frames


def build(
  args: argparse.Namespace,
  settings: Settings,
  listing: Listing,
  tracks_folder: str = "",
  run: Callable[[Job, list[Unit], list[Unit], argparse.Namespace], int] = run_here,
) -> int:
  """Builds what is not built yet, and finishes the dataset unless only a part was asked for.

  Args:
    args: the command line.
    settings: see `settings_of`.
    listing: the videos.
    tracks_folder: where face tracks are kept for further builds of the same videos, "" = nowhere.
    run: what builds the units, like `run_here`.

  Returns:
    Exit status: 1 if no video gave a track.

  Raises:
    UserError: something given is wrong, or another build is at work in the output folder.
  """
  with finish.claimed(args.output, args.part):
    return _build(args, settings, listing, tracks_folder, run)


def _build(args: argparse.Namespace, settings: Settings, listing: Listing, tracks_folder: str, run: Callable) -> int:
  """`build` in an output folder where nobody else builds the same part."""
  if not listing.videos:
    raise UserError(f"the source '{settings.source}' finds no video:\n{summary_of_listing(listing)}")
  root = source_root(args)
  # Made here as well as in every worker: its mistakes are the user's and shall stop the build before it starts.
  detector = None if settings.cropped else detectors.create(settings.detector, settings.detector_model)
  detector_version = "none (the source's own crops)" if detector is None else detector.version
  listing = duplicates.settle(listing, args.duplicates, root)
  units = plan.units_of(listing.videos)
  choices = plan.described(settings, listing, root, versions() | {"detector": detector_version})
  told = plan.told_of(listing, root, retry.stamps_of(listing.videos, root))
  if plan.begin(args.output, choices, units, told):
    retry.prepare(args.output, units, part_of(units, args.part), told, root, args.retry)
  if (args.output / finish.DATASET_FILE).is_file():
    finish.clear_work(args.output)  # a kill between the last file and this clearing leaves it
    print(f"{args.output} is finished already, with the same choices.")
    return 0
  own = part_of(units, args.part)
  finish.clear_partial(args.output, own)
  undone = finish.undone_of(args.output, own)
  job = Job(str(args.output), settings, root, {video.video_id: video.path for video in listing.videos}, tracks_folder)
  started = time.monotonic()
  try:
    frames = run(job, own, undone, args)
  finally:
    finish.clear_partial(args.output, own)
  seconds = time.monotonic() - started
  if frames:
    print(f"{frames} face frames in {seconds:.0f} s: {frames / seconds:.1f} frames/s", file=sys.stderr)
  if args.part:
    print(f"part {args.part} is built; when all are, join them: python -m data_pipelines.merge {args.output}")
    return 0
  tracks, failures = finish.finish(args.output)
  print(summary_of_build(args.output, tracks, failures))
  return 0 if tracks else 1


def part_of(units: list[Unit], part: str) -> list[Unit]:
  """The units of part I/N, every Nth one.

  Raises:
    UserError: not of the form I/N with 1 ≤ I ≤ N.
  """
  if not part:
    return units
  number, _, count = part.partition("/")
  if not (number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
    raise UserError(f"--part={part}: it is I/N, e.g. 1/4 for the first of four parts.")
  return units[int(number) - 1 :: int(count)]


def summary_of_build(directory: pathlib.Path, tracks: list[Track], failures: list[Failure]) -> str:
  """What was built and what was not, in a few lines."""
  lines = []
  for split in SPLITS:
    own = [track for track in tracks if track.split == split]
    if own:
      videos = collections.Counter({track.video_id: track.label for track in own}.values())
      frames = sum(track.frames for track in own)
      lines.append(f"{split:6} {videos[0]} real and {videos[1]} fake videos, {len(own)} tracks, {frames} frames")
  # What the source has no video of (no such file) or leaves out has no id; all else is a video that was looked at.
  failed = [failure for failure in failures if failure.video_id and not failure.absent]
  reasons = collections.Counter(failure.reason.split(":")[0].split("(")[0].strip() for failure in failed)
  lines.append(f"{len(failed)} without a track" + (":" if failed else ""))
  lines += [f"  {count} × {reason}" for reason, count in reasons.most_common(8)]
  if lacking := [(failure.path, failure.reason) for failure in failures if not failure.video_id or failure.absent]:
    lines += [f"{len(lacking)} missing or left out by the source:", *by_reason(lacking)]
  if failures:
    lines.append(f"each of them is a line of {directory / FAILURES_FILE}")
  about = read_metadata(directory) if (directory / DATASET_FILE).is_file() else {}
  if omitted := about.get("omitted", {}):
    lines.append(f"{sum(omitted.values())} that lay in the source's folders were not taken (--dry-run names them):")
    lines += [f"  {count} × {reason}" for reason, count in sorted(omitted.items(), key=lambda item: -item[1])]
  lines += [f"note: {note}" for note in about.get("notes", ())]
  return "\n".join(lines)


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
