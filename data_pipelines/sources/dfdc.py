"""DFDC (Dolhansky et al., 2020).

  ROOT/[train/]dfdc_train_part_NN/{metadata.json, *.mp4}   {"a.mp4": {"label": "FAKE", "original": "b.mp4"}}
  ROOT/[…]test/labels.csv and videos                       filename,label (1 = fake); or
  ROOT/[…]test/metadata.json and videos                    {"a.mp4": {"is_fake": 1}}; videos beside it or in videos/

Each training part has actors of its own, so whole parts are held out for validation (the last tenth, at least one of
two or more); of a single part, a tenth of the originals with all that is made of them. A video may show several people
of whom only one is forged: build with --max-tracks=0 and choose max or mean over the tracks when scoring.
"""

import csv
import pathlib
import re

from data_pipelines.sources import Listing, Video
from data_pipelines.sources.layout import VAL_SHARE, held_out, read_json, require_root
from data_pipelines.sources.registry import SourceOptions
from dfdetect_jax.errors import UserError

DATASET = "dfdc"


def list_videos(root: pathlib.Path | None, options: SourceOptions) -> Listing:
  """Lists training parts and test folders found at most three folders deep.

  Raises:
    UserError: another layout, or label files that cannot be read.
  """
  root = require_root(root, DATASET, "dfdc_train_part_*/metadata.json, or a test folder with labels.csv", ".")
  files = sorted(
    p for depth in ("", "*/", "*/*/") for name in ("metadata.json", "labels.csv") for p in root.glob(depth + name)
  )
  parts = sorted((f for f in files if re.fullmatch(r"dfdc_train_part_\d+", f.parent.name)), key=_part_number)
  tests = [f for f in files if f not in parts]
  if not files:
    require_root(
      root, DATASET, "dfdc_train_part_*/metadata.json, or a test folder with labels.csv", "dfdc_train_part_0"
    )
  videos: list[Video] = []
  missing: list[tuple[str, str]] = []
  val_parts = set(parts[len(parts) - max(1, round(VAL_SHARE * len(parts))) :]) if len(parts) > 1 else set()
  for file in parts:
    for name, entry in sorted(_entries(file).items()):
      label = {"REAL": 0, "FAKE": 1}.get(str(entry.get("label")).upper())
      if label is None:
        raise UserError(f"{file}: '{name}' has label '{entry.get('label')}'; expected is REAL or FAKE.")
      original = entry.get("original") or name
      in_val = file in val_parts if len(parts) > 1 else held_out(f"{DATASET}/{original}")
      part = file.parent.name.rsplit("_", 1)[1]
      _add(videos, missing, root, file.parent, name, label, "val" if in_val else "train", f"part{part}", original)
  for file in tests:
    if file.name == "labels.csv":
      labels = _labels_csv(file)
    else:
      labels = {name: entry.get("is_fake") for name, entry in _entries(file).items()}
    for name, label in sorted(labels.items()):
      if str(label) not in ("0", "1"):
        raise UserError(f"{file}: '{name}' has label '{label}'; expected is 0 or 1 (1 = fake).")
      _add(videos, missing, root, file.parent, name, int(label), "test", "test", "")
  return Listing(videos, missing)


def _part_number(file: pathlib.Path) -> int:
  return int(file.parent.name.rsplit("_", 1)[1])


def _entries(file: pathlib.Path) -> dict[str, dict]:
  content = read_json(file)
  if not isinstance(content, dict) or not all(isinstance(entry, dict) for entry in content.values()):
    raise UserError(f'{file} must map file names to objects, such as {{"a.mp4": {{"label": "FAKE"}}}}.')
  return content


def _labels_csv(file: pathlib.Path) -> dict[str, str]:
  with file.open(newline="", encoding="utf-8-sig") as opened:
    reader = csv.DictReader(opened)
    if not {"filename", "label"} <= {*(reader.fieldnames or ())}:
      raise UserError(f"{file} has no columns filename,label (it has: {', '.join(reader.fieldnames or ()) or 'none'}).")
    return {row["filename"]: row["label"] for row in reader}


def _add(videos, missing, root, folder, name, label, split, group, original) -> None:
  """Adds a video that lies beside its label file or in videos/ below it."""
  path = next((p for p in (folder / name, folder / "videos" / name) if p.is_file()), None)
  if path is None:
    missing.append(((folder / name).relative_to(root).as_posix(), "no such file"))
    return
  manipulation = "fake" if label else "original"
  pair = f"{group}/{pathlib.PurePath(original).stem}" if original else ""
  video_id = f"{DATASET}/{manipulation}/none/{group}/{pathlib.PurePath(name).stem}"
  videos.append(Video(video_id, str(path), label, split, DATASET, manipulation, pair=pair))
