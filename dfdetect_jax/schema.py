"""What data_pipelines writes and dfdetect_jax reads: the one file that both sides share.

A dataset folder (`DIR` of `data_pipelines.build --output=DIR`) holds

- a TFDS dataset in ArrayRecord (`group_size:1`), one **record per frame** of a face track, so that reading T
  consecutive frames costs T frames; `tfds.builder_from_directory(DIR).as_data_source(split)` reads it, features
  `FRAME_FEATURES`;
- `tracks.jsonl`, one line per face track (`Track`): where its frames lie and everything known about its video;
- `failures.csv` (`Failure`): the videos that gave no track;
- `dataset.json`: schema version, source, detector, margin, encoding and every other choice of the build.

Frames of one track are consecutive records of one split, in time order: frame k of a track is record `first + k`.
"""

import csv
import dataclasses
import hashlib
import io
import json
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

from dfdetect_jax.errors import UserError
from dfdetect_jax.files import DamagedFile, damaged, make, parse_json, read_bytes, read_json, read_rows
from dfdetect_jax.folders import as_folder, write_whole

# 2 added landmarks; version 1 is still read, its tracks have none.
SCHEMA_VERSION = 2
READABLE_VERSIONS = (1, 2)
TRACKS_FILE = "tracks.jsonl"
FAILURES_FILE = "failures.csv"
DATASET_FILE = "dataset.json"
SPLITS = ("train", "val", "test")
REBUILD = "copy it from where it is whole, or remove the folder and build the shards again"

# Features of one record. `image` is the encoded face crop (PNG, WebP or JPEG bytes), square, RGB.
FRAME_FEATURES = ("image", "video_id", "track", "frame_index", "label")
# And since version 2, float32 `[P, 2]` x, y of the face's P landmarks in units of the crop's side, from its upper left
# corner; P is `Track.landmarks`. They may lie beyond the crop.
LANDMARKS = "landmarks"


@dataclasses.dataclass(frozen=True, kw_only=True)
class VideoInfo:
  """What is known of a video, the same in every list that names it: sources, tracks, failures, runs, score files.

  Attributes:
    video_id: unique over the dataset, `dataset/manipulation/compression/name`; never a bare folder or file name.
    label: 1 = fake, 0 = real, None = unknown.
    split: train, val or test.
    dataset, manipulation, compression: as the dataset's authors name them; manipulation is "original" for real videos.
    pair: key shared by a real video and the forgeries made of it, "" if unknown.
    identity: person shown ("a+b" for several), "" if unknown.
    path: the file as the user gave it, relative to the source's root.
    sha256: checksum of the file, "" if unknown.
  """

  video_id: str
  label: int | None = None
  split: str = ""
  dataset: str = ""
  manipulation: str = ""
  compression: str = ""
  pair: str = ""
  identity: str = ""
  path: str = ""
  sha256: str = ""


INFO_FIELDS = tuple(field.name for field in dataclasses.fields(VideoInfo))


def info_of(video: VideoInfo, without: Sequence[str] = ()) -> dict[str, Any]:
  """The fields of `VideoInfo` that a line of any list holds, to make another kind of line from."""
  return {name: getattr(video, name) for name in INFO_FIELDS if name not in without}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Track(VideoInfo):
  """One face track: `frames` consecutive face crops of one person in one video.

  Attributes:
    track: number of the track within its video, 0 is the longest.
    first: index of the track's first frame among the records of its split.
    frames: number of frames, all consecutive in the video.
    first_frame: index in the video of the track's first frame.
    fps: frames per second by the frames' own times (mean over the track where the rate varies), 0 if unknown.
    size: height and width of the stored crops in pixels.
    landmarks: P, landmarks stored with each frame: 5 (eyes, nose tip, mouth's corners; the image's left one first), 68
      (dlib's, the layout of iBUG 300-W), or 0 where the detector gave none.
    extra: further columns of the source's list, carried along.
    notes: what of the video was left out, repeated or repaired when it was decoded; "" is the usual.
  """

  label: int
  track: int
  first: int
  frames: int
  first_frame: int
  fps: float
  size: int
  landmarks: int = 0
  extra: dict[str, str] = dataclasses.field(default_factory=dict)
  notes: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Failure(VideoInfo):
  """A video without a face track: a line of `failures.csv`.

  What the source knows of the video is kept, so that evaluation can count it; of what it leaves out, only path and
  reason are known.

  Attributes:
    reason: why, in a few words.
    absent: the source's lists name it and the disk lacked it. It is no failure of the detector: it is not scored, but
      every figure says of how many listed videos it is.
  """

  video_id: str = ""
  reason: str
  absent: bool = False


# Columns of failures.csv.
FAILURE_COLUMNS = (
  "path", "reason", "video_id", "label", "split", "dataset", "manipulation", "compression", "identity",
  "absent",
)  # fmt: skip


def write_failures(directory: str | pathlib.Path, failures: list[Failure]) -> None:
  """Writes `failures.csv`, whole or not at all."""
  file = io.StringIO(newline="")
  writer = csv.writer(file, lineterminator="\n")
  writer.writerow(FAILURE_COLUMNS)
  rows = ({**vars(failure), "absent": "1" if failure.absent else ""} for failure in failures)
  writer.writerows([row[name] for name in FAILURE_COLUMNS] for row in rows)
  write_whole(pathlib.Path(directory) / FAILURES_FILE, file.getvalue())


def read_failures(directory: str | pathlib.Path, split: str) -> list[Failure]:
  """Reads the failed videos of a split; none if the folder has no `failures.csv`.

  Raises:
    DamagedFile: the file is not such a list.
  """
  path = as_folder(directory) / FAILURES_FILE
  sha256 = read_metadata(directory).get("files", {}).get(FAILURES_FILE)
  if sha256 and hashlib.sha256(read_bytes(path, REBUILD)).hexdigest() != sha256:
    raise damaged(path, f"its checksum differs from that in {DATASET_FILE}", REBUILD)
  if not path.is_file():
    return []
  failures = []
  for where, row in read_rows(path, FAILURE_COLUMNS[:5], REBUILD):
    if row["label"] not in ("", "0", "1"):
      raise damaged(where, f"label is '{row['label']}', it must be 0, 1 or empty", REBUILD)
    label = int(row["label"]) if row["label"] else None
    failures.append(make(Failure, row | {"label": label, "absent": row.get("absent") == "1"}, where, REBUILD))
  return [failure for failure in failures if failure.split == split]


def write_tracks(directory: str | pathlib.Path, tracks: list[Track]) -> None:
  """Writes `tracks.jsonl`, whole or not at all."""
  text = "".join(json.dumps(dataclasses.asdict(t), sort_keys=True) + "\n" for t in tracks)
  write_whole(pathlib.Path(directory) / TRACKS_FILE, text)


def read_tracks(directory: str | pathlib.Path, split: str | None = None, checksum: bool = True) -> list[Track]:
  """Reads the tracks of a dataset folder, of one split or of all.

  Args:
    directory: dataset folder.
    split: train, val or test; None for all.
    checksum: hold the file to what `dataset.json` says of it; a verification looks closer by itself.

  Raises:
    UserError: the folder holds no finished dataset, or one of another schema version.
    DamagedFile: a file is not what the build wrote.
  """
  directory = as_folder(directory)
  meta = read_metadata(directory)
  if meta.get("schema_version") not in READABLE_VERSIONS:
    raise UserError(
      f"{directory} was built with schema version {meta.get('schema_version')}, this program reads versions "
      f"{' and '.join(map(str, READABLE_VERSIONS))}: build the shards again with data_pipelines.build."
    )
  tracks = _tracks(directory / TRACKS_FILE, meta.get("files", {}).get(TRACKS_FILE) if checksum else None)
  if split is None:
    return tracks
  chosen = [t for t in tracks if t.split == split]
  if not chosen:
    have = ", ".join(sorted({t.split for t in tracks})) or "none at all"
    raise UserError(f"{directory} has no face track in split '{split}' (it has: {have}).")
  return chosen


def _tracks(path: pathlib.Path, sha256: str | None) -> list[Track]:
  """All lines of `tracks.jsonl`; `sha256` is what `dataset.json` says of the file, None if it says nothing."""
  content = read_bytes(path, REBUILD)
  tracks = []
  for line in _lines(path, content):
    if isinstance(line, DamagedFile):
      raise line
    tracks.append(line)
  if sha256 not in (None, hashlib.sha256(content).hexdigest()):
    raise damaged(path, f"its checksum differs from that in {DATASET_FILE}", REBUILD)
  return tracks


def track_lines(path: pathlib.Path) -> Iterator[Track | DamagedFile]:
  """Every line of a `tracks.jsonl`, or what is wrong with it: for a verification, which goes on.

  Raises:
    DamagedFile: the file cannot be read at all.
  """
  return _lines(path, read_bytes(path, REBUILD))


def _lines(path: pathlib.Path, content: bytes) -> Iterator[Track | DamagedFile]:
  for number, line in enumerate(content.split(b"\n"), 1):
    where = f"{path}, line {number}"
    if not line:
      continue
    try:
      track = make(Track, parse_json(line.decode(), where, REBUILD), where, REBUILD)
    except UnicodeDecodeError as error:
      yield damaged(where, f"not UTF-8 text: byte {error.start}", REBUILD)
    except DamagedFile as error:
      yield error
    else:
      if track.split not in SPLITS or track.label not in (0, 1) or track.frames < 1 or track.first < 0:
        yield damaged(where, "split, label, first or frames is none that a build writes", REBUILD)
      else:
        yield track


def read_metadata(directory: str | pathlib.Path) -> dict:
  """Reads `dataset.json`.

  Raises:
    UserError: the folder does not hold a finished dataset.
    DamagedFile: the file is not what the build wrote.
  """
  directory = as_folder(directory)
  for name in (DATASET_FILE, TRACKS_FILE):
    if not (directory / name).is_file():
      raise UserError(
        f"{directory} is not a finished face-track dataset: {name} is missing. Make one with "
        f"'python -m data_pipelines.build --source=… --output={directory}'; an interrupted build goes on when its "
        "command is run again."
      )
  return read_dataset_file(directory / DATASET_FILE)


def read_dataset_file(path: pathlib.Path) -> dict:
  """Reads a `dataset.json`: of a dataset, or the copy of it that a run keeps.

  Raises:
    DamagedFile: it is not one.
  """
  content = read_json(path, REBUILD)
  for name, kind in (("schema_version", int), ("choices", dict), ("files", dict), ("shards", list), ("splits", dict)):
    if name in content and type(content[name]) is not kind:
      raise damaged(path, f"'{name}' is {content[name]!r:.40}", REBUILD)
  for shard in content.get("shards", []):
    if not isinstance(shard, dict) or not isinstance(shard.get("file"), str):
      raise damaged(path, "'shards' does not list files", REBUILD)
  if "schema_version" not in content:
    raise damaged(path, "'schema_version' is missing", REBUILD)
  return content
