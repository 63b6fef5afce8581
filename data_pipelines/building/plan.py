"""What a build will do, fixed before it starts: which video goes into which shard, with which options.

The plan is a pure function of the videos and the options. It is stored in the output folder, so that a build can go
on after a stop, on any number of workers or machines, and can never mix two sets of options in one dataset.
"""

import collections
import dataclasses
import hashlib
import json
import os
import pathlib

from data_pipelines.faces.face_tracks import FaceOptions
from data_pipelines.sources import Listing, Video
from data_pipelines.sources.layout import printable
from data_pipelines.video.encoding import Encoding
from dfdetect_jax.errors import UserError, unwritable
from dfdetect_jax.files import damaged, file_sha256, read_json, sealed
from dfdetect_jax.folders import write_json
from dfdetect_jax.schema import DATASET_FILE, SPLITS, info_of, read_dataset_file

PLAN_FILE = "plan.json"
WORK_FOLDER = "build"  # in the output folder, until the dataset is finished
SHARDS_AIMED_AT = 128  # per split: a stop loses little of a small set …
MOST_VIDEOS_PER_SHARD = 16  # … and a large one has few files of a few hundred megabytes
_CURE = "remove the output folder and build again"


@dataclasses.dataclass(frozen=True)
class Settings:
  """Every choice that shapes the dataset's bytes.

  Attributes:
    source: name of the source.
    detector: name of the face detector; `detector_model` is its model file or boxes file.
    faces: how faces are followed and cut out; its `max_frames` stands for the splits that `max_frames` does not name.
    encoding: how crops are stored.
    max_frames: first frames used, by split.
    target_boxes: take a forgery's face boxes from its target video (`Video.boxes_from`).
    cropped: the source's files are face crops already.
    landmarks_model: predictor file of dlib's 68 landmarks, "" = those that the detector gives.
    distortion: `name-level` of `distortions` that full frames go through before they are cropped, "" = none.
  """

  source: str
  detector: str = "mtcnn"
  detector_model: str = ""
  faces: FaceOptions = FaceOptions()
  encoding: Encoding = Encoding()
  max_frames: dict[str, int] = dataclasses.field(default_factory=dict)
  target_boxes: bool = False
  cropped: bool = False
  landmarks_model: str = ""
  distortion: str = ""

  def faces_for(self, split: str) -> FaceOptions:
    """The face options with the split's own number of first frames."""
    return dataclasses.replace(self.faces, max_frames=self.max_frames.get(split, self.faces.max_frames))


@dataclasses.dataclass(frozen=True)
class Unit:
  """One shard to be written: the unit of work, of resumption and of failure.

  Attributes:
    split: its split.
    shard, shards: number of the shard and how many the split has.
    videos: its videos, in the order of their records.
  """

  split: str
  shard: int
  shards: int
  videos: tuple[Video, ...] = ()

  @property
  def name(self) -> str:
    """Name of the unit's file in the work folder, without suffix."""
    return f"{self.split}-{self.shard:05d}"


def units_of(videos: list[Video]) -> list[Unit]:
  """Cuts each split's videos, in their order, into shards of equal numbers of videos."""
  units = []
  for split in SPLITS:
    own = [video for video in videos if video.split == split]
    per_shard = min(MOST_VIDEOS_PER_SHARD, max(1, -(-len(own) // SHARDS_AIMED_AT)))
    parts = [tuple(own[start : start + per_shard]) for start in range(0, len(own), per_shard)]
    units += [Unit(split, n, len(parts), part) for n, part in enumerate(parts)]
  return units


def described(settings: Settings, listing: Listing, root: str, versions: dict[str, str]) -> dict:
  """The choices as they are stored and compared, by the name of the option that makes them."""
  faces = settings.faces
  first_frames = {split: settings.faces_for(split).max_frames for split in SPLITS}
  return {
    "source": settings.source,
    "detector": settings.detector,
    "detector-model": _file_identity(settings.detector_model),
    "align": faces.align,
    "size": faces.size,
    "margin": faces.margin,
    "key-frames": faces.every,
    "max-frames": first_frames,
    "max-tracks": faces.max_tracks,
    "min-frames": faces.min_frames,
    "encoding": str(settings.encoding),
    "target-boxes": settings.target_boxes,
    "distortion": settings.distortion,
    "videos": _fingerprint(listing, root),
    "versions": versions,
    # Only where it was chosen: builds of before go on.
    **({"landmarks-model": _file_identity(settings.landmarks_model)} if settings.landmarks_model else {}),
  }


def listing_record(listing: Listing, root: str, stamps: dict[str, list[int]]) -> dict:
  """What a plan holds beside choices and shards, for the last step of the build.

  Args:
    listing: what the source found.
    root: of the source; paths are stored relative to it.
    stamps: size and time of the files, see `retry`.

  Returns:
    `missing`: (path, reason) of what the lists name; `absent`: by path, what they tell of what the disk lacks;
    `omitted`: how many files lie there and were not taken, by reason; `notes`; `stamps`.
  """
  return {
    "missing": [[relative_path(path, root), reason] for path, reason in listing.missing],
    "absent": {relative_path(path, root): info_of(video, ["path"]) for path, video in listing.absent.items()},
    "omitted": dict(collections.Counter(reason for _, reason in listing.omitted)),
    "notes": listing.notes,
    "stamps": stamps,
  }


def begin(directory: pathlib.Path, choices: dict, units: list[Unit], listing: dict) -> bool:
  """Opens an output folder for a plan, or goes on with the same plan.

  Args:
    directory: the output folder.
    choices: see `described`.
    units: all units.
    listing: see `listing_record`.

  Returns:
    Whether it was begun before.

  Raises:
    UserError: the folder cannot be written, holds something else, or was begun with other choices.
  """
  stored = stored_choices(directory)
  if stored is not None:
    compare(directory, stored, choices)
    return True
  try:
    if directory.exists() and any(path.name != WORK_FOLDER for path in directory.iterdir()):
      begun = (directory / WORK_FOLDER).is_dir() or any(directory.glob("*.array_record-*"))
      raise UserError(
        f"--output={directory} is a folder with other things in it: name a new or empty one for the face tracks."
        + (f" (There are shards in it, but neither {DATASET_FILE} nor {WORK_FOLDER}/{PLAN_FILE}.)" if begun else "")
      )
    shards = {unit.split: unit.shards for unit in units}
    write_plan(directory, {"choices": choices, "shards": shards} | listing)
  except OSError as error:
    raise unwritable(f"--output={directory}", error) from error
  return False


def write_plan(directory: pathlib.Path, content: dict) -> None:
  """Stores a plan, whole or not at all."""
  work = directory / WORK_FOLDER
  work.mkdir(parents=True, exist_ok=True)
  write_json(work / PLAN_FILE, sealed(content))


def read_plan(directory: pathlib.Path) -> dict:
  """Choices, missing files and number of shards by split of an unfinished build.

  Raises:
    UserError: there is none in the folder.
  """
  path = directory / WORK_FOLDER / PLAN_FILE
  if not path.is_file():
    raise UserError(f"{directory} is not the output of an unfinished build: {WORK_FOLDER}/{PLAN_FILE} is missing.")
  content = read_json(path, _CURE)
  for name, kind in (("choices", dict), ("missing", list), ("shards", dict)):
    if type(content.get(name)) is not kind:
      raise damaged(path, f"'{name}' is missing or of another kind", _CURE)
  return content


def stored_choices(directory: pathlib.Path) -> dict | None:
  """The choices that an output folder was begun or finished with, None for a new one."""
  if (directory / DATASET_FILE).is_file():
    return read_dataset_file(directory / DATASET_FILE).get("choices", {})
  if (directory / WORK_FOLDER / PLAN_FILE).is_file():
    return read_plan(directory)["choices"]
  return None


def compare(directory: pathlib.Path, stored: dict, wanted: dict) -> None:
  """Checks that a folder's choices are the wanted ones.

  Raises:
    UserError: naming each option that differs, with both values.
  """
  differing = [name for name in {**wanted, **stored} if stored.get(name) != wanted.get(name)]
  if not differing:
    return
  lines = []
  for name in differing:
    if name == "videos":
      lines.append("the source lists other videos than before")
    elif name == "versions":
      changed = [k for k in wanted[name] if stored.get(name, {}).get(k) != wanted[name][k]]
      lines.append(", ".join(f"{k} was {stored.get(name, {}).get(k)}, is {wanted[name][k]}" for k in changed))
    else:
      lines.append(f"--{name} was {stored.get(name)!r}, is {wanted.get(name)!r}")
  raise UserError(
    f"--output={directory} was begun with other choices: {'; '.join(lines)}. Give the former ones to go on with it, or "
    "another --output."
  )


def _fingerprint(listing: Listing, root: str) -> str:
  """Checksum of what is to be built, in order; paths relative, so that machines may mount the data elsewhere."""
  rows = [{**dataclasses.asdict(video), "path": relative_path(video.path, root)} for video in listing.videos]
  missing = sorted((relative_path(path, root), reason) for path, reason in listing.missing)
  text = json.dumps([rows, missing], sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()


def relative_path(path: str, root: str) -> str:
  """A video's path relative to the source's root, as it is where it lies elsewhere, in a form that can be written."""
  inside = os.path.relpath(path, root) if root else path
  return printable(path if inside.startswith("..") else pathlib.PurePath(inside).as_posix())


def _file_identity(path: str) -> str:
  """Name and checksum of a model or boxes file; other text as it is."""
  return f"{pathlib.Path(path).name} {file_sha256(path)[:16]}" if path and pathlib.Path(path).is_file() else path
