"""DFDC Preview (Dolhansky et al., 2019).

  ROOT/original_videos/<person>/<person>_<take>.mp4
  ROOT/{method_A,method_B}/<person>/<person>_<take>/<swapped>_<target>_<take>_<n>.mp4
  ROOT/dataset.json     {"method_A/…/a.mp4": {"label": "fake", "set": "train", "target_id": …, "swapped_id": …}}

A forgery puts <swapped>'s face into the video <target>_<take>, which is its original. The authors' sets train (4,473)
and test (777) share no people. Val is a tenth of the training originals, each with all its forgeries. --strict-people
holds out a tenth of the training people instead, and leaves out the forgeries between one of them and another (most of
theirs: such a val may have no forgery left).
"""

import pathlib

from data_pipelines.sources import Listing, Video
from data_pipelines.sources.layout import held_out, held_out_of, read_entries, require_root
from data_pipelines.sources.registry import SourceOptions
from data_pipelines.sources.tree import Tree
from dfdetect_jax.errors import UserError

DATASET = "dfdc_preview"
METHODS = ("method_A", "method_B")
LABELS = {"real": 0, "fake": 1}


def list_videos(root: pathlib.Path | None, options: SourceOptions) -> Listing:
  """Lists what dataset.json names.

  Raises:
    UserError: another layout, a dataset.json that cannot be read, or an unknown manipulation.
  """
  root = require_root(root, DATASET, "original_videos/, method_A/, method_B/ and dataset.json", "dataset.json")
  unknown = [name for name in options.manipulations if name not in METHODS]
  if unknown:
    raise UserError(f"--manipulations={unknown[0]}: '{DATASET}' knows {', '.join(METHODS)}.")
  file = root / "dataset.json"
  entries = read_entries(file, '{"method_A/…/a.mp4": {"label": "fake", "set": "train"}}')
  originals = {pathlib.PurePath(path).stem for path, entry in entries.items() if entry.get("label") == "real"}
  tree, listing, unpaired = Tree(root), Listing(), 0
  pairs = {path: _original(pathlib.PurePath(path).stem, entry, originals) for path, entry in entries.items()}
  training = {path for path, entry in entries.items() if entry.get("set") == "train"}
  fakes = {pairs[path] for path in training if entries[path].get("label") != "real"} - {""}
  held = held_out_of(fakes, DATASET) | {
    p for p in {pairs[path] for path in training} - fakes if held_out(f"{DATASET}/{p}")
  }
  for path, entry in sorted(entries.items()):
    label, split = LABELS.get(str(entry.get("label")).lower()), entry.get("set")
    if label is None or split not in ("train", "test"):
      raise UserError(
        f"{file}: '{path}' has label '{entry.get('label')}' and set '{split}'; expected are real or fake, and train or "
        "test."
      )
    pure = pathlib.PurePath(path)
    manipulation = pure.parts[0] if label else "original"
    if label and options.manipulations and manipulation not in options.manipulations:
      tree.excuse(path, "")
      continue
    people = [str(entry[key]) for key in ("target_id", "swapped_id") if entry.get(key) is not None]
    if split == "train" and not options.strict_people:
      split = "val" if pairs[path] in held else "train"
    elif split == "train":
      in_val = {held_out(f"{DATASET}/{person}") for person in people or [path]}
      if len(in_val) > 1:
        listing.miss(path, "left out: one of its two people is held out for validation")
        tree.take(path)  # told of
        continue
      split = "val" if in_val == {True} else "train"
    unpaired += not pairs[path]
    where = tree.take(path)
    video = Video(
      video_id=f"{DATASET}/{manipulation}/none/{pure.with_suffix('').as_posix()}",
      path=str(where or root / path),
      label=label,
      split=split,
      dataset=DATASET,
      manipulation=manipulation,
      pair=pairs[path],
      identity="+".join(people),
    )
    if where:
      listing.videos.append(video)
    else:
      listing.miss(path, tree.why_absent(path), video)
  if unpaired:
    listing.notes.append(f"the original of {unpaired} forgeries cannot be told from their names: they are of no pair")
  listing.omitted.extend(tree.omitted())
  return listing


def _original(stem: str, entry: dict, originals: set[str]) -> str:
  """Name of a forgery's original, `<target>_<take>` of `<swapped>_<target>_<take>_<n>`; "" if none fits; a real's own.

  Args:
    stem: of the forgery's file.
    entry: what dataset.json says of it; its `target_id` wins over the name.
    originals: names of the real videos.
  """
  if stem in originals:
    return stem
  people = [str(entry[key]) for key in ("swapped_id", "target_id") if entry.get(key) is not None]
  words = stem.split("_")
  target = people[-1] if len(people) == 2 else words[1] if len(words) > 1 else ""
  rest = words[2:] if target in words[:2] and len(words) > 2 else []
  # A take may have several words itself ("A_001"): the longest that is a real video's is meant.
  takes = ("_".join([target, *rest[:n]]) for n in range(len(rest), 0, -1))
  return next((name for name in takes if name in originals), "")
