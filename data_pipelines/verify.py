"""Reads a finished dataset again and checks everything it says of itself: `python -m data_pipelines.verify DIR`."""

import argparse
import collections
import pathlib
import sys
from collections.abc import Iterable, Iterator

import cv2
import numpy as np
from array_record.python import array_record_module
from tensorflow_datasets.proto import tf_example_pb2
from tqdm import tqdm

from data_pipelines.building.shards import file_sha256
from data_pipelines.video import encoding
from dfdetect_jax.datasets import shares_people
from dfdetect_jax.errors import UserError, exit_on_user_error
from dfdetect_jax.schema import FRAME_FEATURES, LANDMARKS, SPLITS, Track, read_metadata, read_tracks

SHEET_TRACKS, SHEET_FRAMES, SHEET_SIDE = 24, 8, 96  # rows, pictures per row, pixels of a picture


def parser() -> argparse.ArgumentParser:
  """The command line."""
  p = argparse.ArgumentParser(
    prog="python -m data_pipelines.verify",
    description="Checks a dataset's shards, counts, tracks, pictures and splits, and draws a contact sheet per split "
    "and label. Exit status 0 = sound, 1 = problems found.",
    allow_abbrev=False,
  )
  p.add_argument("directory", type=pathlib.Path, help="the dataset folder")
  p.add_argument(
    "--sheets", type=pathlib.Path, metavar="DIR", help="folder of the contact sheets (default: none drawn)"
  )
  return p


def main(argv: list[str] | None = None) -> int:
  """Parses the command line and verifies; returns the exit status."""
  args = parser().parse_args(argv)
  with exit_on_user_error("data_pipelines.verify"):
    problems = list(problems_of(args.directory))
    if args.sheets:
      for path in contact_sheets(args.directory, args.sheets):
        print(f"contact sheet: {path}")
    for note in shared_identities(read_tracks(args.directory)):
      print(f"note: {note}")
  for problem in problems:
    print(f"problem: {problem}")
  print(f"{args.directory}: {f'{len(problems)} problem(s)' if problems else 'sound'}")
  return 1 if problems else 0


def problems_of(directory: pathlib.Path) -> Iterator[str]:
  """Everything that is wrong with a dataset, one sentence each.

  Raises:
    UserError: not a finished dataset of this schema.
  """
  metadata = read_metadata(directory)
  tracks = read_tracks(directory, checksum=False)  # what it says is compared with the records themselves
  yield from _damaged_shards(directory, metadata)
  for name, sha256 in metadata.get("files", {}).items():
    if not (directory / name).is_file():
      yield f"{name} is missing"
    elif file_sha256(directory / name) != sha256:
      yield f"{name} is damaged: its checksum differs"
  yield from _leaks(tracks)
  for split in SPLITS:
    own = [track for track in tracks if track.split == split]
    shards = [shard for shard in metadata["shards"] if f"-{split}." in shard["file"]]
    counted = sum(shard["records"] for shard in shards)
    told = sum(track.frames for track in own)
    if counted != told:
      yield f"split {split}: the shards hold {counted} frames, the tracks tell of {told}"
    elif all((directory / shard["file"]).is_file() for shard in shards):
      yield from _wrong_frames(directory, shards, own, metadata["size"])


def _damaged_shards(directory: pathlib.Path, metadata: dict) -> Iterator[str]:
  for shard in tqdm(metadata["shards"], desc="checksums", unit="shard"):
    path = directory / shard["file"]
    if not path.is_file():
      yield f"{path.name} is missing"
    elif file_sha256(path) != shard["sha256"]:
      yield f"{path.name} is damaged: its checksum differs"


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


def _wrong_frames(directory: pathlib.Path, shards: list[dict], tracks: list[Track], size: int) -> Iterator[str]:
  expected = ((track, k) for track in sorted(tracks, key=lambda t: t.first) for k in range(track.frames))
  records = _records(directory, shards)
  position = 0
  for track, k in tqdm(expected, total=sum(t.frames for t in tracks), desc="frames", unit="frame"):
    if k == 0 and track.first != position:
      yield f"{track.video_id}: its frames should start at record {position}, not {track.first}"
    position += 1
    try:
      record = next(records, None)
    except Exception as error:  # of the reader; what lies behind the damage cannot be reached
      told = str(error).splitlines()[0]
      yield f"split {track.split}: the records from {track.video_id}, frame {k}, on cannot be read ({told})"
      return
    if record is None:
      yield f"split {track.split}: the shards end before {track.video_id}, frame {k}"
      return
    try:
      features = _features(record)
      shape = encoding.decode(features["image"]).shape
    except ValueError as error:
      yield f"{track.video_id}, frame {k}: {error}"
      continue
    told = (track.video_id.encode(), track.track, track.first_frame + k, track.label)
    stored = tuple(features[name] for name in FRAME_FEATURES[1:])
    if stored != told:
      yield f"{track.video_id}, frame {k}: the record says {stored}, the track {told}"
    points = tf_example_pb2.Example.FromString(record).features.feature[LANDMARKS].float_list.value
    if len(points) != 2 * track.landmarks or not np.isfinite(points).all():
      yield f"{track.video_id}, frame {k}: {len(points)} numbers for {track.landmarks} landmarks, or one is not finite"
    if shape != (size, size, 3):
      yield f"{track.video_id}, frame {k}: the picture is {shape[1]}x{shape[0]}, not {size}x{size}"


def _records(directory: pathlib.Path, shards: list[dict]) -> Iterator[bytes]:
  for shard in sorted(shards, key=lambda s: s["file"]):
    reader = array_record_module.ArrayRecordReader(str(directory / shard["file"]))
    if not reader.ok():
      raise ValueError(f"{shard['file']} is no ArrayRecord file")
    for start in range(0, reader.num_records(), 64):
      yield from reader.read(start, min(start + 64, reader.num_records()))
    reader.close()


def _features(record: bytes) -> dict:
  stored = tf_example_pb2.Example.FromString(record).features.feature
  features = {}
  for name in FRAME_FEATURES:
    if name not in stored:
      raise ValueError(f"the record has no {name}")
    values = stored[name].bytes_list.value or stored[name].int64_list.value
    features[name] = values[0] if values else 0
  return features


def contact_sheets(directory: pathlib.Path, target: pathlib.Path) -> list[pathlib.Path]:
  """Draws one PNG per split and label: a row per track, frames from its first to its last.

  Returns:
    The files.
  """
  metadata, tracks = read_metadata(directory), read_tracks(directory)
  try:
    target.mkdir(parents=True, exist_ok=True)
  except OSError as error:
    raise UserError(f"--sheets={target} cannot be written: {error.strerror}.") from error
  written = []
  for split in SPLITS:
    shards = sorted((s for s in metadata["shards"] if f"-{split}." in s["file"]), key=lambda s: s["file"])
    ends = np.cumsum([shard["records"] for shard in shards])
    for label, name in enumerate(("real", "fake")):
      own = [track for track in tracks if track.split == split and track.label == label]
      if not own:
        continue
      chosen = [own[i] for i in np.unique(np.linspace(0, len(own) - 1, SHEET_TRACKS).astype(int))]
      rows = []
      for track in chosen:
        wanted = track.first + np.linspace(0, track.frames - 1, SHEET_FRAMES).astype(int)
        rows.append(np.concatenate([_picture(directory, shards, ends, int(i)) for i in wanted], axis=1))
      path = target / f"{split}-{name}.png"
      cv2.imwrite(str(path), cv2.cvtColor(np.concatenate(rows), cv2.COLOR_RGB2BGR))
      written.append(path)
  return written


def _picture(directory: pathlib.Path, shards: list[dict], ends: np.ndarray, record: int) -> np.ndarray:
  n = int(np.searchsorted(ends, record, side="right"))
  reader = array_record_module.ArrayRecordReader(str(directory / shards[n]["file"]))
  image = encoding.decode(_features(reader.read([record - int(ends[n]) + shards[n]["records"]])[0])["image"])
  reader.close()
  return cv2.resize(image, (SHEET_SIDE, SHEET_SIDE), interpolation=cv2.INTER_AREA)


if __name__ == "__main__":
  sys.exit(main())
