"""DFDC (Dolhansky et al., 2020).

  ROOT/[…]/dfdc_train_part_NN/{metadata.json, *.mp4}   {"a.mp4": {"label": "FAKE", "original": "b.mp4"}}
  ROOT/[…]/validation/labels.csv and videos            filename,label (1 = fake): the authors' 4,000, val
  ROOT/[…]/test/labels.csv and videos                  the authors' 5,000, test; either may also have
  ROOT/[…]/test/metadata.json and videos               {"a.mp4": {"is_fake": 1}}

Label files lie at most three folders deep, videos beside them or in `videos/` there. A metadata.json is a training
part's if it has `label`, val's or test's if it has `is_fake`; val's folder is called val… (`validation`), and there is
one of each. Where val is not there, whole training parts are held out for it, since all that is made of one original
lies in one part: the last tenth of the parts, at least one of two or more; of a single part, a tenth of the originals
with all that is made of them. A video may show several people of whom only one is forged: build with --max-tracks=0 and
choose max or mean over the tracks when scoring.

--draw=N takes N real videos of the training parts and all forgeries of them instead, as test (ST-ILIF's 2,000 real and
"corresponding" forged videos; its own draw is not published, so that its 5,843 forgeries come out near, not equal).
--only takes any list of names, such as the 3,215 test videos of one face that LipForensics and FTCN are judged by.
"""

import csv
import dataclasses
import io
import pathlib
import random
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
from data_pipelines.sources.lists import normal, once
from data_pipelines.sources.registry import SourceOptions
from data_pipelines.sources.tree import Tree
from dfdetect_jax.errors import UserError

DATASET = "dfdc"
EXPECTED = "dfdc_train_part_*/metadata.json, or a test folder with labels.csv or metadata.json"
EXAMPLE = '{"a.mp4": {"label": "FAKE", "original": "b.mp4"}}'


def list_videos(root: pathlib.Path | None, options: SourceOptions) -> Listing:
  """Lists the training parts and the val and test folders that are there.

  Raises:
    UserError: another layout, two folders for one split, or label files that cannot be read or contradict each other.
  """
  root = require_root(root, DATASET, EXPECTED)
  tree = Tree(root)
  labelled = [path.rpartition("/") for path in tree.files if path.count("/") <= 2]
  folders = sorted({folder for folder, _, name in labelled if name in ("metadata.json", "labels.csv")})
  if not folders:
    raise wrong_root(root, DATASET, EXPECTED)
  parts: dict[str, dict[str, dict]] = {}
  judged: dict[str, dict[str, dict[str, int]]] = {"val": {}, "test": {}}
  for folder in folders:
    metadata = root / folder / "metadata.json"
    entries = read_entries(metadata, EXAMPLE) if metadata.is_file() else {}
    if any("label" in entry for entry in entries.values()):
      parts[folder] = entries
    else:
      judged[_split_of(root, folder)][folder] = _labels(root / folder, entries)
  for split, found in judged.items():
    if len(found) > 1:
      places = " and ".join(str(root / folder) for folder in found)
      raise UserError(
        f"--root={root} holds {len(found)} folders of {split} videos with labels: {places}. Which of them the figures "
        f"are to be of is yours to say: give a --root that holds one, or move the other away."
      )
  listing = Listing()
  training = _training(root, parts, judged["val"])
  if options.draw:
    _add_draw(listing, tree, training, options)
  else:
    for folder, name, video in training:
      _add(listing, tree, folder, name, video)
    for split, found in judged.items():
      for folder, labels in found.items():
        for name, label in sorted(labels.items()):
          _add(listing, tree, folder, name, _video(name, label, split, split))
  for folder in {path.rpartition("/")[0] for path in tree.files}:
    if re.fullmatch(r"dfdc_train_part_\d+", folder.rpartition("/")[2]) and folder not in parts:
      tree.excuse(folder, "left out: of a part without metadata.json")
  listing.omitted.extend(tree.omitted())
  return listing


def _split_of(root: pathlib.Path, folder: str) -> str:
  """The split of a folder of labelled videos, by its name."""
  names = (folder or root.resolve().name).lower().split("/")
  return "val" if any(name.startswith("val") for name in names) else "test"


def _add(listing: Listing, tree: Tree, folder: str, name: str, video: Video) -> None:
  """Adds a video that lies beside its label file or in videos/ there; or notes that it is in neither place."""
  path, other = (f"{place}/{name}".lstrip("/") for place in (folder, f"{folder}/videos"))
  where = tree.take(path) or tree.take(other)
  if where is None:
    reason = tree.why_absent(path)
    listing.miss(
      path,
      reason if reason != "no such file" else tree.why_absent(other),
      dataclasses.replace(video, path=str(tree.root / path)),
    )
  else:
    listing.videos.append(dataclasses.replace(video, path=str(where)))


def _training(
  root: pathlib.Path, parts: dict[str, dict[str, dict]], val: dict[str, dict[str, int]]
) -> list[tuple[str, str, Video]]:
  """Folder, name and video of every entry of the training parts; without val's folder some of them are val."""
  ordered = sorted(parts, key=lambda folder: (_part_number(folder.rpartition("/")[2]), folder))
  held = set(ordered[-max(1, round(VAL_SHARE * len(ordered))) :]) if len(ordered) > 1 and not val else set()
  found = []
  for folder in ordered:
    own = folder.rpartition("/")[2] or root.resolve().name
    number = _part_number(own)
    part = f"part{number}" if number >= 0 else own
    for name, entry in sorted(parts[folder].items()):
      label = {"REAL": 0, "FAKE": 1}.get(str(entry.get("label")).upper())
      if label is None:
        file = root / folder / "metadata.json"
        raise UserError(f"{file}: '{name}' has label '{entry.get('label')}', not REAL or FAKE.")
      original = str(entry.get("original") or name).removesuffix(".mp4")
      in_val = folder in held or (len(ordered) == 1 and not val and held_out(f"{DATASET}/{original}"))
      video = _video(name, label, "val" if in_val else "train", part, f"{part}/{original}")
      found.append((folder, name, video))
  return found


def _add_draw(listing: Listing, tree: Tree, training: list[tuple[str, str, Video]], options: SourceOptions) -> None:
  """Adds some of the real videos of the training parts that are there, with all forgeries of them, as test.

  Raises:
    UserError: there are not so many real videos.
  """
  reals = sorted(video.pair for folder, name, video in training if not video.label and _there(tree, folder, name))
  if len(reals) < options.draw:
    raise UserError(
      f"--draw={options.draw}: the training parts below {tree.root} have {len(reals)} real videos. Download more "
      "parts, or draw fewer."
    )
  drawn = set(random.Random(f"{DATASET}/{options.seed}").sample(reals, options.draw))
  for folder, name, video in training:
    if video.pair in drawn:
      _add(listing, tree, folder, name, dataclasses.replace(video, split="test"))
  tree.excuse("", "")  # everything else was not drawn
  fakes = sum(video.label for video in listing.videos)
  listing.notes.append(
    f"--draw={options.draw} with --seed={options.seed}: {options.draw} real videos of {len(reals)}, and {fakes} "
    "forgeries of them, all test; ST-ILIF's own draw (2,000 and 5,843) is not published"
  )


def _there(tree: Tree, folder: str, name: str) -> bool:
  return any(f"{place}/{name}".lstrip("/") in tree.files for place in (folder, f"{folder}/videos"))


def _video(name: str, label: int, split: str, group: str, pair: str = "") -> Video:
  manipulation = "fake" if label else "original"
  video_id = f"{DATASET}/{manipulation}/none/{group}/{pathlib.PurePath(name).with_suffix('').as_posix()}"
  return Video(
    video_id=video_id, path="", label=label, split=split, dataset=DATASET, manipulation=manipulation, pair=pair
  )


def _part_number(name: str) -> int:
  match = re.fullmatch(r"dfdc_train_part_(\d+)", name)
  return int(match[1]) if match else -1


def _labels(folder: pathlib.Path, entries: dict[str, dict]) -> dict[str, int]:
  """Labels of a val or test folder, from labels.csv, from metadata.json, or from both where they agree."""
  labels: dict[str, int] = {}
  rows = [("metadata.json", name, entry.get("is_fake")) for name, entry in entries.items()]
  rows += [("labels.csv", name, label) for name, label in _labels_csv(folder / "labels.csv")]
  for file, name, label in rows:
    if str(label) not in ("0", "1"):
      raise UserError(f"{folder / file}: '{name}' has label '{label}'; expected is 0 or 1 (1 = fake).")
    if labels.setdefault(name, int(str(label))) != int(str(label)):
      raise UserError(
        f"{folder / file}: '{name}' is labelled {label} here and {labels[name]} before. Correct the one that is wrong, "
        "or download both files again."
      )
  return labels


def _labels_csv(file: pathlib.Path) -> list[tuple[str, str | None]]:
  """Names and labels of a labels.csv, none if there is none."""
  if not file.is_file():
    return []
  reader = csv.DictReader(io.StringIO(read_text(file, "it says which video is fake")), strict=True)
  try:
    rows = [(reader.line_num, normal(row.get("filename") or ""), row.get("label")) for row in reader]
  except csv.Error as error:
    raise UserError(f"{file}, line {reader.line_num}: not CSV ({error}).") from error
  columns = reader.fieldnames or []
  if not {"filename", "label"} <= {*columns}:
    raise UserError(f"{file} has no columns filename,label (it has: {', '.join(columns) or 'none'}).")
  lines: dict[str, int] = {}
  for line, name, _ in rows:
    require_inside(name, file)
    once(lines, name, line, file)
  return [(name, label.strip() if label else label) for _, name, label in rows]
