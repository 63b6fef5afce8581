"""What a build that is begun or finished must do again: failed videos on request, and files that are others by now.

A plan remembers size and time of every file, and so does the finished dataset (`source_files.json`, which nothing but
this reads: a copy of the videos with other times gives the same shards).
"""

import dataclasses
import logging
import os
import pathlib
import sys
from collections.abc import Sequence

from data_pipelines.building import plan
from data_pipelines.building.plan import Unit
from data_pipelines.building.unit import UnitNote, note_path, shard_path
from data_pipelines.faces import cropped
from data_pipelines.sources import Video
from data_pipelines.video.decode import BrokenVideo
from dfdetect_jax.errors import UserError
from dfdetect_jax.files import DamagedFile, file_sha256, read_json
from dfdetect_jax.folders import write_json
from dfdetect_jax.schema import DATASET_FILE, SPLITS, read_failures, read_metadata, read_tracks

_LOG = logging.getLogger(__name__)

STAMPS_FILE = "source_files.json"
POLICIES = ("", "failed", "changed", "all")
Stamps = dict[str, list[int]]


def stamps_of(videos: Sequence[Video], root: str) -> Stamps:
  """Size and time of last change, in ns, of every file, by its path below the root; folders have none."""
  found: Stamps = {}
  for video in videos:
    where = plan.relative_path(video.path, root)
    if where not in found and os.path.isfile(video.path):
      status = os.stat(video.path)
      found[where] = [status.st_size, status.st_mtime_ns]
  return found


def prepare(directory: pathlib.Path, units: list[Unit], own: list[Unit], listing: dict, root: str, policy: str) -> None:
  """Makes the output folder of a plan that was begun before ready for what is to be built again.

  An unfinished build builds changed files again by itself. A finished dataset is opened again only where it is asked
  for, because runs may have been trained on it; without that, what could be built again is said.

  Args:
    directory: the output folder.
    units: all units of the plan; `own` are those of this machine's part, which alone are built again.
    listing: what goes into the plan beside the choices, see `plan.listing_record`.
    root: of the source.
    policy: of `POLICIES`: "" builds nothing of a finished dataset again.

  Raises:
    UserError: the shards of a finished dataset cannot be used.
  """
  finished = (directory / DATASET_FILE).is_file()
  if finished:
    path = directory / STAMPS_FILE
    before = read_json(path, "remove it; replaced files are then not noticed") if path.is_file() else {}
    failed = {f.video_id for split in SPLITS for f in read_failures(directory, split) if f.video_id and not f.absent}
    sums = {track.video_id: track.sha256 for track in read_tracks(directory)}
  else:
    before = plan.read_plan(directory).get("stamps", {})
    notes = _notes(directory, own)
    failed = {failure.video_id for note in notes.values() for failure in note.failures}
    sums = {track.video_id: track.sha256 for note in notes.values() for track in note.tracks}
  now = listing["stamps"]
  suspect = {path for path in before.keys() & now.keys() if before[path] != now[path]}
  videos = [video for unit in own for video in unit.videos]
  changed = {v.video_id for v in videos if plan.relative_path(v.path, root) in suspect and _differs(v, sums)}
  again = (failed if policy in ("failed", "all") else set()) | (changed if policy in ("changed", "all") else set())
  if not finished:
    again |= changed & (failed | sums.keys())
  redo = [unit for unit in own if any(video.video_id in again for video in unit.videos)]
  if redo:
    print(
      f"{len(again)} videos are built again ({_some(again)}), with the others of their {len(redo)} shards",
      file=sys.stderr,
    )
    if finished:
      _reopen(directory, units, redo, listing)
    for unit in redo:
      note_path(directory, unit).unlink(missing_ok=True)
    if not finished:
      plan.write_plan(directory, plan.read_plan(directory) | listing)
  elif finished:
    for which, flag, told_as in ((changed, "changed", "files are others by now"), (failed, "failed", "videos failed")):
      if which:
        _LOG.warning(f"{len(which)} {told_as} ({_some(which)}); --retry={flag} builds them again.")


def _some(names: set[str]) -> str:
  return ", ".join(sorted(names)[:3]) + (", …" if len(names) > 3 else "")


def _differs(video: Video, sums: dict[str, str]) -> bool:
  """Whether a file whose size or time is another has another content than what was built of it."""
  if not sums.get(video.video_id):
    return True  # it failed, or was not built yet
  try:
    of_part = cropped.sequence_sha256(video.path, video.inside) if video.inside else file_sha256(video.path)
  except (BrokenVideo, OSError):
    return True
  return of_part != sums[video.video_id]


def _notes(directory: pathlib.Path, units: list[Unit]) -> dict[str, UnitNote]:
  """The notes of the units that are built, by their names."""
  found = {}
  for unit in units:
    if note_path(directory, unit).is_file():
      try:
        found[unit.name] = UnitNote.read(note_path(directory, unit))
      except DamagedFile:
        pass  # it is told of, and built again, where units are looked through
  return found


def _reopen(directory: pathlib.Path, units: list[Unit], redo: list[Unit], listing: dict) -> None:
  """Turns a finished dataset into a build that lacks some shards, by writing the notes of the others anew."""
  metadata, tracks = read_metadata(directory), read_tracks(directory)
  failures = [f for split in SPLITS for f in read_failures(directory, split) if f.video_id and not f.absent]
  stored = {shard["file"]: shard for shard in metadata["shards"]}
  lacking = [shard_path(directory, unit).name for unit in units if shard_path(directory, unit).name not in stored]
  if lacking:
    raise UserError(
      f"{directory}: {DATASET_FILE} does not know the shard {lacking[0]}: remove the folder and build again."
    )
  plan.write_plan(
    directory, {"choices": metadata["choices"], "shards": {unit.split: unit.shards for unit in units}} | listing
  )
  before = dict.fromkeys(SPLITS, 0)
  for unit in units:
    path = shard_path(directory, unit)
    shard, ids = stored[path.name], {video.video_id for video in unit.videos}
    own = [dataclasses.replace(t, first=t.first - before[unit.split]) for t in tracks if t.video_id in ids]
    before[unit.split] += shard["records"]
    if unit not in redo:
      size = path.stat().st_size if path.is_file() else 0
      of_unit = [failure for failure in failures if failure.video_id in ids]
      UnitNote(shard["records"], size, shard["sha256"], own, of_unit).write(note_path(directory, unit))
  (directory / DATASET_FILE).unlink()  # from here on it is an unfinished build


def write_stamps(directory: pathlib.Path, stamps: Stamps) -> None:
  """Keeps size and time of the files with the finished dataset."""
  write_json(directory / STAMPS_FILE, stamps)
