"""DFDC (Dolhansky et al., 2020).

  ROOT/[…]/dfdc_train_part_NN/{metadata.json, *.mp4}   {"a.mp4": {"label": "FAKE", "original": "b.mp4"}}
  ROOT/[…]/<test>/labels.csv and videos                filename,label (1 = fake); or
  ROOT/[…]/<test>/metadata.json and videos             {"a.mp4": {"is_fake": 1}}

Label files lie at most three folders deep, videos beside them or in `videos/` there. A metadata.json is a training
part's if it has `label`, a test folder's if it has `is_fake`. All that is made of one original lies in one part, so
whole parts are held out for validation (the last tenth, at least one of two or more); of a single part, a tenth of the
originals with all that is made of them. A video may show several people of whom only one is forged: build with
--max-tracks=0 and choose max or mean over the tracks when scoring.
"""

import csv
import dataclasses
import io
import pathlib
import re

from data_pipelines.sources import Listing, Video
from data_pipelines.sources.layout import (
  VAL_SHARE,
  held_out,
  read_entries,
  read_text,
  require_inside,
  require_root,
  wrong_root,
)
from data_pipelines.sources.registry import SourceOptions
from dfdetect_jax.errors import UserError

DATASET = "dfdc"
EXPECTED = "dfdc_train_part_*/metadata.json, or a test folder with labels.csv or metadata.json"
EXAMPLE = '{"a.mp4": {"label": "FAKE", "original": "b.mp4"}}'


def list_videos(root: pathlib.Path | None, options: SourceOptions) -> Listing:
  """Lists the training parts and test folders that are there.

  Raises:
    UserError: another layout, or label files that cannot be read or contradict each other.
  """
  root = require_root(root, DATASET, EXPECTED)
  folders = sorted(
    {p.parent for depth in ("", "*/", "*/*/") for f in ("metadata.json", "labels.csv") for p in root.glob(depth + f)}
  )
  if not folders:
    raise wrong_root(root, DATASET, EXPECTED)
  parts: dict[pathlib.Path, dict[str, dict]] = {}
  tests: dict[pathlib.Path, dict[str, int]] = {}
  for folder in folders:
    metadata = folder / "metadata.json"
    entries = read_entries(metadata, EXAMPLE) if metadata.is_file() else {}
    if any("label" in entry for entry in entries.values()):
      parts[folder] = entries
    else:
      tests[folder] = _test_labels(folder, entries)
  found = [*_training_videos(parts), *_test_videos(tests)]
  missing = [
    ((folder / name).relative_to(root).as_posix(), "no such file") for folder, name, video in found if not video
  ]
  return Listing([video for _, _, video in found if video], missing)


def _training_videos(parts: dict[pathlib.Path, dict[str, dict]]) -> list[tuple[pathlib.Path, str, Video | None]]:
  """Folder, name and, if it is there, video of every entry of the training parts."""
  ordered = sorted(parts, key=lambda folder: (_part_number(folder), folder))
  held = set(ordered[-max(1, round(VAL_SHARE * len(ordered))) :]) if len(ordered) > 1 else set()
  found = []
  for folder in ordered:
    number = _part_number(folder)
    part = f"part{number}" if number >= 0 else folder.resolve().name
    for name, entry in sorted(parts[folder].items()):
      label = {"REAL": 0, "FAKE": 1}.get(str(entry.get("label")).upper())
      if label is None:
        raise UserError(f"{folder / 'metadata.json'}: '{name}' has label '{entry.get('label')}', not REAL or FAKE.")
      original = str(entry.get("original") or name).removesuffix(".mp4")
      in_val = folder in held if len(ordered) > 1 else held_out(f"{DATASET}/{original}")
      video = _video(folder, name, label, "val" if in_val else "train", part)
      found.append((folder, name, video and dataclasses.replace(video, pair=f"{part}/{original}")))
  return found


def _test_videos(tests: dict[pathlib.Path, dict[str, int]]) -> list[tuple[pathlib.Path, str, Video | None]]:
  """Folder, name and, if it is there, video of every label of the test folders."""
  return [
    (folder, name, _video(folder, name, label, "test", "test"))
    for folder, labels in tests.items()
    for name, label in sorted(labels.items())
  ]


def _video(folder: pathlib.Path, name: str, label: int, split: str, group: str) -> Video | None:
  """The video `name`, beside its label file or in videos/ there; None if it is in neither place."""
  path = next((p for p in (folder / name, folder / "videos" / name) if p.is_file()), None)
  if path is None:
    return None
  manipulation = "fake" if label else "original"
  video_id = f"{DATASET}/{manipulation}/none/{group}/{pathlib.PurePath(name).with_suffix('').as_posix()}"
  return Video(video_id=video_id, path=str(path), label=label, split=split, dataset=DATASET, manipulation=manipulation)


def _part_number(folder: pathlib.Path) -> int:
  match = re.fullmatch(r"dfdc_train_part_(\d+)", folder.resolve().name)
  return int(match[1]) if match else -1


def _test_labels(folder: pathlib.Path, entries: dict[str, dict]) -> dict[str, int]:
  """Labels of a test folder, from labels.csv, from metadata.json, or from both where they agree."""
  labels: dict[str, int] = {}
  told = [("metadata.json", name, entry.get("is_fake")) for name, entry in entries.items()]
  told += [("labels.csv", name, label) for name, label in _labels_csv(folder / "labels.csv")]
  for file, name, label in told:
    if str(label) not in ("0", "1"):
      raise UserError(f"{folder / file}: '{name}' has label '{label}'; expected is 0 or 1 (1 = fake).")
    if labels.setdefault(name, int(label)) != int(label):
      raise UserError(f"{folder / file}: '{name}' is labelled {label} here and {labels[name]} before.")
  return labels


def _labels_csv(file: pathlib.Path) -> list[tuple[str, str]]:
  """Names and labels of a labels.csv, none if there is none."""
  if not file.is_file():
    return []
  reader = csv.DictReader(io.StringIO(read_text(file, "it says which video is fake")), strict=True)
  try:
    rows = [(row.get("filename") or "", row.get("label")) for row in reader]
  except csv.Error as error:
    raise UserError(f"{file}, line {reader.line_num}: not CSV ({error}).") from error
  columns = reader.fieldnames or []
  if not {"filename", "label"} <= {*columns}:
    raise UserError(f"{file} has no columns filename,label (it has: {', '.join(columns) or 'none'}).")
  for name, _ in rows:
    require_inside(name, file)
  return rows
