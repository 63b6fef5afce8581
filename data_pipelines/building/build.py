"""A build as a whole: what the source finds, what is not built yet, and the dataset that comes of it."""

import collections
import dataclasses
import os
import pathlib
import re
import sys
import time
from collections.abc import Callable, Sequence

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
from data_pipelines.building.options import BuildOptions, settings_of
from data_pipelines.building.plan import Settings, Unit
from data_pipelines.building.pool import Pool
from data_pipelines.building.unit import Job, versions
from data_pipelines.faces.detectors import detector as detectors
from data_pipelines.sources import Listing, Video, registry
from data_pipelines.sources.lists import Wanted
from dfdetect_jax.errors import UserError, unknown
from dfdetect_jax.folders import on_disk
from dfdetect_jax.schema import (
  DATASET_FILE,
  FAILURES_FILE,
  SPLITS,
  TRACKS_FILE,
  Failure,
  Track,
  read_metadata,
  read_tracks,
)


@dataclasses.dataclass(frozen=True)
class Built:
  """What a build left behind.

  Attributes:
    directory: the dataset's folder.
    tracks: all face tracks of the dataset; None where only a part was built.
    failures: videos without a track, of this call.
  """

  directory: pathlib.Path
  tracks: list[Track] | None
  failures: Sequence[Failure] = ()

  @property
  def status(self) -> int:
    """Exit status of the program: 1 if no video gave a track."""
    return 1 if self.tracks == [] else 0


def listing_of(options: BuildOptions, settings: Settings) -> Listing:
  """What the source finds, of the wanted splits and compressions."""
  for split in options.splits:
    if split not in SPLITS:
      raise unknown("split", split, SPLITS, "--split: ")
  if options.root is not None and not options.root.is_dir():
    raise UserError(f"--root={options.root}: no such folder.")
  asked = registry.SourceOptions(
    manifest=options.manifest,
    compression=options.compressions,
    manipulations=options.manipulations,
    reals=options.reals,
    clean_reals=options.clean_reals,
    strict_people=options.strict_people,
    draw=options.draw,
    divide=options.divide,
    seed=options.seed,
  )
  listing = registry.load(settings.source).list_videos(options.root, asked)
  if not (options.draw or options.strict_people or options.manipulations):
    listing.notes.extend(short_of_published(listing, list(options.splits)))

  def wanted(video: Video) -> bool:
    return (
      video.split in options.splits
      and (not options.compressions or not video.compression or video.compression in options.compressions)
      and (not options.manipulations or not video.label or video.manipulation in options.manipulations)
    )

  listing = restricted(writable(listing), wanted)
  if options.only:
    listing = only_named(listing, Wanted(options.only), options.stored_root)
  twice = [name for name, n in collections.Counter(video.video_id for video in listing.videos).items() if n > 1]
  if twice:
    raise UserError(f"the source '{settings.source}' gives the id '{twice[0]}' to several videos.")
  return listing


def run_here(job: Job, own: list[Unit], undone: list[Unit], options: BuildOptions) -> int:
  """Builds units with worker processes of this machine, under a progress bar.

  Args:
    job: what every worker knows.
    own: the units asked for; `undone` are those of them that are not built yet.
    options: with `workers` and `timeout`.

  Returns:
    Number of frames written.
  """
  cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
  frames = failures = 0
  videos, left = (sum(len(unit.videos) for unit in units) for units in (own, undone))
  if left < videos:
    print(f"going on: {videos - left} of {videos} videos are done", file=sys.stderr)
  with tqdm(total=videos, initial=videos - left, unit="video", smoothing=0.1, disable=not undone) as bar:
    for news in Pool(job, options.workers or cores, options.timeout).run(undone):
      frames += news.frames
      if news.unit is not None:
        assert news.note is not None, "a unit is finished with its note"
        failures += len(news.note.failures)
        bar.update(len(news.unit.videos))
      rate = frames / max(bar.format_dict["elapsed"], 1e-3)
      bar.set_postfix_str(f"{rate:.0f} frames/s, {failures} failed", refresh=False)
  return frames


def build(
  options: BuildOptions,
  settings: Settings | None = None,
  listing: Listing | None = None,
  tracks_folder: str = "",
  run: Callable[[Job, list[Unit], list[Unit], BuildOptions], int] = run_here,
) -> Built:
  """Builds what is not built yet, and finishes the dataset unless only a part was asked for.

  Args:
    options: what to read and where to write.
    settings: see `settings_of`, which gives them if None.
    listing: the videos; what `listing_of` finds if None.
    tracks_folder: where face tracks are kept for further builds of the same videos, "" = nowhere.
    run: what builds the units, like `run_here`.

  Raises:
    UserError: something given is wrong, or another build is at work in the output folder.
  """
  if options.output is None:
    raise UserError("--output=DIR is missing: the folder to write the shards to.")
  output = on_disk(options.output)
  settings = settings or settings_of(options)
  listing = listing or listing_of(options, settings)
  with finish.claimed(output, options.part):
    return _build(output, options, settings, listing, tracks_folder, run)


def _build(
  output: pathlib.Path, options: BuildOptions, settings: Settings, listing: Listing, tracks_folder: str, run: Callable
) -> Built:
  """`build` in an output folder where nobody else builds the same part."""
  if not listing.videos:
    raise UserError(f"the source '{settings.source}' finds no video:\n{summary_of_listing(listing)}")
  root = options.stored_root
  # Made here as well as in every worker: its mistakes are the user's and shall stop the build before it starts.
  detector = None if settings.cropped else detectors.create(settings.detector, settings.detector_model)
  detector_version = "none (the source's own crops)" if detector is None else detector.version
  listing = duplicates.resolve(listing, options.duplicates, root)
  if not settings.distortion:  # of 35 distorted sets nobody wants it 35 times
    _tell(listing)
  units = plan.units_of(listing.videos)
  choices = plan.described(settings, listing, root, versions() | {"detector": detector_version})
  record = plan.listing_record(listing, root, retry.stamps_of(listing.videos, root))
  if plan.begin(output, choices, units, record):
    retry.prepare(output, units, part_of(units, options.part), record, root, options.retry)
  if (output / finish.DATASET_FILE).is_file():
    finish.clear_work(output)  # a kill between the last file and this clearing leaves it
    print(f"{output} is finished already, with the same choices.")
    return Built(output, read_tracks(output))
  own = part_of(units, options.part)
  finish.clear_partial(output, own)
  undone = finish.undone_of(output, own)
  job = Job(str(output), settings, root, {video.video_id: video.path for video in listing.videos}, tracks_folder)
  started = time.monotonic()
  try:
    frames = run(job, own, undone, options)
  finally:
    finish.clear_partial(output, own)
  seconds = time.monotonic() - started
  if frames:
    print(f"{frames} face frames in {seconds:.0f} s: {frames / seconds:.1f} frames/s", file=sys.stderr)
  if options.part:
    print(f"part {options.part} is built; when all are, join them: python -m data_pipelines.merge {output}")
    return Built(output, None)
  tracks, failures = finish.finish(output)
  print(summary_of_build(output, tracks, failures))
  return Built(output, tracks, failures)


def _tell(listing: Listing) -> None:
  """Says before the work what may make the user stop it."""
  for note in listing.notes:
    print(f"note: {note}", file=sys.stderr)
  if listing.lacking:
    count = len(listing.lacking)
    print(
      f"{count} missing or left out of {count + len(listing.videos)} (--dry-run names them by reason)", file=sys.stderr
    )


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
  lines += decoding_notes(tracks)
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


def decoding_notes(tracks: list[Track], most: int = 8) -> list[str]:
  """What was left out of, repeated in or done to videos when they were decoded: a line for each kind, numbers aside."""
  notes = {track.video_id: track.notes.split("; ") for track in tracks if track.notes}
  if not notes:
    return []
  kinds = collections.Counter(re.sub(r"[\d.]*\d", "N", note) for own in notes.values() for note in own)
  lines = [f"{len(notes)} videos with a note ('notes' of {TRACKS_FILE} has each, with its numbers):"]
  return lines + [f"  {count} × {kind}" for kind, count in kinds.most_common(most)]
