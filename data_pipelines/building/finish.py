"""The last step of a build: the notes of all units become one dataset folder."""

import concurrent.futures
import contextlib
import dataclasses
import logging
import pathlib
import shutil
from collections.abc import Iterator

from data_pipelines.building import plan, retry, shards
from data_pipelines.building.plan import WORK_FOLDER, Unit
from data_pipelines.building.unit import UnitNote, note_path, shard_path
from dfdetect_jax import locks
from dfdetect_jax.errors import UserError, unwritable
from dfdetect_jax.files import DamagedFile, file_sha256, sealed
from dfdetect_jax.folders import write_json
from dfdetect_jax.schema import (
  DATASET_FILE,
  FAILURES_FILE,
  SCHEMA_VERSION,
  SPLITS,
  TRACKS_FILE,
  Failure,
  Track,
  write_failures,
  write_tracks,
)  # fmt: skip

_LOG = logging.getLogger(__name__)
_WHOLE = "build.lock"


@contextlib.contextmanager
def claimed(directory: pathlib.Path, part: str = "") -> Iterator[None]:
  """Holds an output folder, or a part I/N of the build in it, for one build.

  Parts of one folder are built at once; beside a build of the whole there is none.

  Raises:
    UserError: another build is at work on it, or the folder cannot be written.
  """
  number, _, count = part.partition("/")
  name = f"part-{number}-of-{count}.lock" if number.isdecimal() and count.isdecimal() else _WHOLE
  what = f"--output={directory}" + (f", part {part}," if part else "")
  work = directory / WORK_FOLDER
  with contextlib.ExitStack() as stack:
    try:
      stack.enter_context(locks.held(work / name, "a build", what))
      # Each takes its own before it looks for the other's, so that one of them sees the other whoever comes first.
      for other in work.glob("part-*.lock") if name == _WHOLE else [work / _WHOLE]:
        locks.refuse_held(other, what)
    except OSError as error:
      raise unwritable(f"--output={directory}", error) from error
    yield


def is_done(directory: pathlib.Path, unit: Unit, checksum: bool = False) -> bool:
  """Whether a unit's note and its shard, of the size that the note says, are there; what is damaged is not, and said.

  Args:
    directory: the output folder.
    unit: see `Unit`.
    checksum: read the whole shard too, as a build does that goes on.
  """
  note, shard = note_path(directory, unit), shard_path(directory, unit)
  if not (note.is_file() and shard.is_file()):
    return False
  try:
    built = UnitNote.read(note)
  except DamagedFile as error:
    _LOG.warning(str(error))
    return False
  if built.bytes != shard.stat().st_size or (checksum and file_sha256(shard) != built.sha256):
    _LOG.warning(f"{shard} is not what was built (size or checksum differ).")
    return False
  return True


def undone_of(directory: pathlib.Path, units: list[Unit]) -> list[Unit]:
  """The units that are still to be built; shards that are there are read against their checksums, in threads."""
  with concurrent.futures.ThreadPoolExecutor() as pool:  # hashing leaves Python's lock
    done = pool.map(lambda unit: is_done(directory, unit, checksum=True), units)
    return [unit for unit, there in zip(units, done, strict=True) if not there]


def records_of(directory: pathlib.Path, unit: Unit) -> int:
  """Number of frames in a finished unit."""
  return UnitNote.read(note_path(directory, unit)).records


def clear_partial(directory: pathlib.Path, units: list[Unit]) -> None:
  """Removes what killed workers left half-written of these units, and of no others: parts may share a folder."""
  with shards.writing(directory):
    for unit in units:
      for path in (shard_path(directory, unit), note_path(directory, unit)):
        for partial in path.parent.glob(f"{path.name}.*partial"):
          partial.unlink(missing_ok=True)


def clear_work(directory: pathlib.Path) -> None:
  """Removes the plan and the notes of a finished dataset."""
  shutil.rmtree(directory / WORK_FOLDER, ignore_errors=True)


def finish(directory: pathlib.Path) -> tuple[list[Track], list[Failure]]:
  """Writes the dataset's metadata, `dataset.json` last: with it the dataset is finished.

  Args:
    directory: the output folder with the plan, and the shards and notes of all its units.

  Returns:
    All tracks and all failures.

  Raises:
    UserError: a unit is missing.
  """
  planned = plan.read_plan(directory)
  choices = planned["choices"]
  units = [
    plan.Unit(split, n, planned["shards"][split]) for split in SPLITS for n in range(planned["shards"].get(split, 0))
  ]
  undone = [unit.name for unit in units if not is_done(directory, unit)]
  if undone:
    raise UserError(
      f"{directory} lacks {len(undone)} of {len(units)} shards ({', '.join(undone[:5])}{', …' if undone[5:] else ''}): "
      "build the missing parts, or run the same command again."
    )
  notes = {unit.name: UnitNote.read(note_path(directory, unit)) for unit in units}
  absent = planned.get("absent", {})
  failures = [
    Failure(path=path, reason=reason, **({**absent[path], "absent": True} if path in absent else {}))
    for path, reason in planned["missing"]
  ]
  tracks, files = [], []
  records: dict[str, list[int]] = {}
  for unit in units:
    note = notes[unit.name]
    before = sum(records.setdefault(unit.split, []))
    tracks += [dataclasses.replace(track, first=before + track.first) for track in note.tracks]
    failures += note.failures
    records[unit.split].append(note.records)
    name = shard_path(directory, unit).name
    files.append({"file": name, "records": note.records, "bytes": note.bytes, "sha256": note.sha256})
  splits = {
    split: {
      "videos": len({t.video_id for t in own}),
      "tracks": len(own),
      "frames": sum(t.frames for t in own),
      "real videos": len({t.video_id for t in own if not t.label}),
      "fake videos": len({t.video_id for t in own if t.label}),
    }
    for split in records
    for own in [[t for t in tracks if t.split == split]]
  }
  with shards.writing(directory):
    shards.write_tfds_metadata(directory, choices["size"], records)
    write_failures(directory, failures)
    write_tracks(directory, tracks)
  metadata = {
    "schema_version": SCHEMA_VERSION,
    **{name: choices[name] for name in ("source", "margin", "size", "align", "encoding")},
    "detector": choices["versions"]["detector"],
    "splits": splits,
    "failures": len(failures),
    "omitted": planned.get("omitted", {}),
    "notes": planned.get("notes", []),
    "choices": choices,
    "shards": files,
    "files": {name: file_sha256(directory / name) for name in (TRACKS_FILE, FAILURES_FILE)},
  }
  with shards.writing(directory):
    retry.write_stamps(directory, planned.get("stamps", {}))
    write_json(directory / DATASET_FILE, sealed(metadata))
  clear_work(directory)
  return tracks, failures
