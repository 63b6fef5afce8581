"""Reads a finished dataset again and checks everything it says of itself."""

import collections
import contextlib
import dataclasses
import pathlib
from collections.abc import Iterable, Iterator

import cv2
import numpy as np
from array_record.python import array_record_module
from google.protobuf.message import DecodeError
from tensorflow_datasets.proto import tf_example_pb2
from tqdm import tqdm

from data_pipelines.video import encoding
from dfdetect_jax.datasets import shares_people
from dfdetect_jax.errors import unwritable
from dfdetect_jax.files import DamagedFile, file_sha256
from dfdetect_jax.folders import write_whole
from dfdetect_jax.schema import (
  FRAME_FEATURES,
  LANDMARKS,
  READABLE_VERSIONS,
  SPLITS,
  TRACKS_FILE,
  Track,
  read_metadata,
  read_tracks,
  track_lines,
)

SHEET_TRACKS, SHEET_FRAMES, SHEET_SIDE = 24, 8, 96  # rows, pictures per row, pixels of a picture
MOST_TOLD = 10  # frames of a shard that are told one by one
MOST_RECORDS = 10**8  # of a split, where dataset.json does not tell


@dataclasses.dataclass(frozen=True)
class Found:
  """What can be read of a dataset, and what cannot."""

  directory: pathlib.Path
  metadata: dict
  tracks: list[Track]
  problems: list[str]

  @property
  def size(self) -> int | None:
    """Side of the stored pictures, None where `dataset.json` does not tell."""
    size = self.metadata.get("size")
    return size if isinstance(size, int) else None

  def shards(self, split: str) -> list[dict]:
    """What is told of a split's shards, in order; of a damaged `dataset.json` only their names."""
    listed = self.metadata.get("shards")
    if listed is None:
      listed = [{"file": path.name} for path in self.directory.glob(f"*-{split}.array_record-*-of-*")]
    return sorted((shard for shard in listed if f"-{split}." in shard["file"]), key=lambda shard: shard["file"])


def read(directory: pathlib.Path) -> Found:
  """Reads `dataset.json` and the lines of `tracks.jsonl` as far as they can be read.

  Raises:
    UserError: not a finished dataset of a schema that this program knows.
  """
  problems, tracks = [], []
  try:
    metadata = read_metadata(directory)
    if metadata["schema_version"] not in READABLE_VERSIONS:
      read_tracks(directory)  # says so
  except DamagedFile as error:
    metadata = {}
    problems.append(str(error))
  try:
    lines = list(track_lines(directory / TRACKS_FILE))
  except DamagedFile as error:
    lines = []
    problems.append(str(error))
  for line in lines:
    if isinstance(line, Track):
      tracks.append(line)
    else:
      problems.append(str(line))
  return Found(directory, metadata, tracks, problems)


def problems_of(directory: pathlib.Path) -> Iterator[str]:
  """Everything that is wrong with a dataset, one sentence each; what is damaged keeps nothing else from being checked.

  Raises:
    UserError: not a finished dataset of this schema.
  """
  found = read(directory)
  yield from found.problems
  yield from check(found)


def check(found: Found) -> Iterator[str]:
  """What of a dataset that could be read contradicts itself, a sentence each."""
  directory, metadata = found.directory, found.metadata
  yield from _damaged_shards(found)
  for name, sha256 in metadata.get("files", {}).items():
    if not (directory / name).is_file():
      yield f"{name} is missing"
    elif _sum(directory / name) != sha256:
      yield f"{name} is damaged: its checksum differs"
  yield from _leaks(found.tracks)
  for split in SPLITS:
    own, shards = [track for track in found.tracks if track.split == split], found.shards(split)
    counted = [shard.get("records") for shard in shards]
    expected = sum(track.frames for track in own)
    if (total := _total(counted)) is not None and total != expected:
      yield f"split {split}: the shards hold {total} frames, the tracks tell of {expected}"
    if shards:
      yield from _wrong_frames(found, shards, own)


def _damaged_shards(found: Found) -> Iterator[str]:
  for shard in tqdm(found.metadata.get("shards", ()), desc="checksums", unit="shard", disable=None):
    path = found.directory / shard["file"]
    if not path.is_file():
      yield f"{path.name} is missing"
    elif _sum(path) != shard.get("sha256"):
      yield f"{path.name} is damaged: its checksum differs"


def _sum(path: pathlib.Path) -> str:
  try:
    return file_sha256(path)
  except OSError as error:
    return f"cannot be read: {error.strerror}"  # equals no checksum


def _leaks(tracks: list[Track]) -> Iterator[str]:
  """Videos and originals in several splits; originals not where the dataset's authors share them (Celeb-DF)."""
  for what, own in (("video_id", tracks), ("pair", [track for track in tracks if not shares_people(track.dataset)])):
    for value, splits in _in_several_splits((getattr(track, what), track.split) for track in own):
      yield f"{what} '{value}' is in several splits: {splits}"


def shared_identities(tracks: list[Track]) -> Iterator[str]:
  """Persons who appear in several splits: a choice of the dataset's authors, but one to know of."""
  named = ((person, track.split) for track in tracks for person in track.identity.split("+"))
  for person, splits in _in_several_splits(named):
    yield f"identity '{person}' is in several splits: {splits}"


def _in_several_splits(named: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
  found = collections.defaultdict(set)
  for name, split in named:
    found[name].add(split)
  return [(name, ", ".join(sorted(splits))) for name, splits in sorted(found.items()) if name and len(splits) > 1]


def _total(counted: list) -> int | None:
  """Of the shards' counts, None where one is not told."""
  return sum(counted) if all(isinstance(n, int) for n in counted) else None


def _wrong_frames(found: Found, shards: list[dict], tracks: list[Track]) -> Iterator[str]:
  """Compares each record with the track that tells of it, by its place: a hole spoils nothing behind it."""
  counted = [shard.get("records") for shard in shards]
  total = _total(counted)
  most = MOST_RECORDS if total is None else total
  owner: dict[int, tuple[Track, int]] = {}
  for track in tracks:
    if track.first + track.frames > most:
      yield f"{track.video_id}: its frames, from record {track.first} on, lie beyond the {most} records of its split"
      continue
    places = range(track.first, track.first + track.frames)
    twice = sum(place in owner for place in places)
    if twice:
      yield f"{track.video_id}: {twice} of its frames, from record {track.first} on, belong to another track as well"
    owner |= {place: (track, k) for k, place in enumerate(places)}
  start = 0
  with tqdm(total=len(owner), desc="frames", unit="frame", disable=None) as bar:
    for shard, stated in zip(shards, counted):
      wrong: list[str] = []
      problems: list[str] = []
      strays = records = 0
      for record in _records(found.directory / shard["file"], problems):
        bar.update()
        place, records = start + records, records + 1
        if place not in owner:
          strays += 1
        elif record is not None:
          track, k = owner[place]
          wrong += [f"{track.video_id}, frame {k}: {what}" for what in _wrong(record, track, k, found.size)]
      yield from problems
      if isinstance(stated, int) and stated != records and not problems and (found.directory / shard["file"]).is_file():
        yield f"{shard['file']} holds {records} records, dataset.json tells of {stated}"
      if strays:
        yield f"{shard['file']}: no track tells of {strays} of its records"
      yield from wrong[:MOST_TOLD]
      if wrong[MOST_TOLD:]:
        yield f"{shard['file']}: {len(wrong) - MOST_TOLD} more of this kind"
      start += stated if isinstance(stated, int) else records


def _wrong(record: bytes, track: Track, k: int, size: int | None) -> Iterator[str]:
  """What is wrong with one record as frame k of a track."""
  try:
    features = _features(record)
    shape = encoding.decode(features["image"]).shape
    points = tf_example_pb2.Example.FromString(record).features.feature[LANDMARKS].float_list.value
  except (ValueError, cv2.error, DecodeError) as error:
    yield " ".join(str(error).split())
    return
  expected = (track.video_id.encode(), track.track, track.first_frame + k, track.label)
  stored = tuple(features[name] for name in FRAME_FEATURES[1:])
  if stored != expected:
    yield f"the record says {stored}, the track {expected}"
  if len(points) != 2 * track.landmarks or not np.isfinite(points).all():
    yield f"{len(points)} numbers for {track.landmarks} landmarks, or one is not finite"
  size = track.size if size is None else size
  if shape != (size, size, 3):
    yield f"the picture is {shape[1]}x{shape[0]}, not {size}x{size}"


def _records(path: pathlib.Path, problems: list[str]) -> Iterator[bytes | None]:
  """Yields a shard's records, None for one that cannot be read; what is to be said of them is added to `problems`."""
  if not path.is_file():
    return  # said before
  try:
    reader = array_record_module.ArrayRecordReader(str(path))
    if not reader.ok():
      raise ValueError("no ArrayRecord file")
    count = reader.num_records()
  except Exception as error:  # of ArrayRecord, of several kinds
    problems.append(f"{path.name} cannot be read, so that its frames are not checked: {_first_line(error)}")
    return
  lost, why = 0, ""
  for start in range(0, count, 64):
    block = range(start, min(start + 64, count))
    try:
      records = reader.read(block.start, block.stop)
    except Exception:  # one of them: the others are fetched one by one
      records = []
      for number in block:
        try:
          records += reader.read([number])
        except Exception as error:
          records.append(None)
          lost, why = lost + 1, _first_line(error)
    yield from records
  if lost:
    problems.append(f"{path.name}: {lost} of its {count} records cannot be read: {why}")
  with contextlib.suppress(Exception):
    reader.close()


def _first_line(error: Exception) -> str:
  return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def _features(record: bytes) -> dict:
  stored = tf_example_pb2.Example.FromString(record).features.feature
  features = {}
  for name in FRAME_FEATURES:
    if name not in stored:
      raise ValueError(f"the record has no {name}")
    values = stored[name].bytes_list.value or stored[name].int64_list.value
    features[name] = values[0] if values else 0
  return features


def contact_sheets(directory: pathlib.Path, target: pathlib.Path, found: Found | None = None) -> list[pathlib.Path]:
  """Draws one PNG per split and label: a row per track, frames from its first to its last.

  Returns:
    The files.
  """
  found = read(directory) if found is None else found
  written = []
  for split in SPLITS:
    shards = found.shards(split)
    if not all(isinstance(shard.get("records"), int) for shard in shards):
      raise DamagedFile("dataset.json does not tell how many records the shards hold")
    ends = np.cumsum([shard["records"] for shard in shards])
    for label, name in enumerate(("real", "fake")):
      own = [track for track in found.tracks if track.split == split and track.label == label]
      if not own:
        continue
      chosen = [own[i] for i in np.unique(np.linspace(0, len(own) - 1, SHEET_TRACKS).astype(int))]
      rows = []
      for track in chosen:
        wanted = track.first + np.linspace(0, track.frames - 1, SHEET_FRAMES).astype(int)
        rows.append(np.concatenate([_picture(directory, shards, ends, int(i)) for i in wanted], axis=1))
      path = target / f"{split}-{name}.png"
      try:
        target.mkdir(parents=True, exist_ok=True)
        write_whole(path, encoding.Encoding("png").encode(np.concatenate(rows)))
      except OSError as error:
        raise unwritable(f"--sheets={target}", error) from error
      written.append(path)
  return written


def _picture(directory: pathlib.Path, shards: list[dict], ends: np.ndarray, record: int) -> np.ndarray:
  """One stored picture, reduced; a grey one where it cannot be read."""
  n = int(np.searchsorted(ends, record, side="right"))
  try:
    reader = array_record_module.ArrayRecordReader(str(directory / shards[n]["file"]))
    image = encoding.decode(_features(reader.read([record - int(ends[n]) + shards[n]["records"]])[0])["image"])
    reader.close()
  except Exception:  # of ArrayRecord, protobuf or OpenCV: told as a problem
    image = np.full((SHEET_SIDE, SHEET_SIDE, 3), 128, np.uint8)
  return cv2.resize(image, (SHEET_SIDE, SHEET_SIDE), interpolation=cv2.INTER_AREA)
