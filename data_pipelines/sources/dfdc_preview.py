"""DFDC Preview (Dolhansky et al., 2019).

  ROOT/{original_videos,method_A,method_B}/…/*.mp4
  ROOT/dataset.json     {"method_A/…/a.mp4": {"label": "fake", "set": "train", "target_id": …, "swapped_id": …}}

The authors' sets train and test share no people. A tenth of the training people is held out for validation; training
forgeries between a held-out person and another are left out.
"""

import pathlib

from data_pipelines.sources import Listing, Video
from data_pipelines.sources.layout import held_out, read_json, require_root
from data_pipelines.sources.registry import SourceOptions
from dfdetect_jax.errors import UserError

DATASET = "dfdc_preview"
LABELS = {"real": 0, "fake": 1}


def list_videos(root: pathlib.Path | None, options: SourceOptions) -> Listing:
  """Lists what dataset.json names.

  Raises:
    UserError: another layout, or a dataset.json that cannot be read.
  """
  root = require_root(root, DATASET, "original_videos/, method_A/, method_B/ and dataset.json", "dataset.json")
  content = read_json(root / "dataset.json")
  if not isinstance(content, dict) or not all(isinstance(entry, dict) for entry in content.values()):
    raise UserError(f"{root / 'dataset.json'} must map paths to objects with label and set.")
  originals = {pathlib.PurePath(path).stem for path, entry in content.items() if entry.get("label") == "real"}
  videos, missing = [], []
  for path, entry in sorted(content.items()):
    label, split = LABELS.get(str(entry.get("label")).lower()), entry.get("set")
    if label is None or split not in ("train", "test"):
      raise UserError(
        f"{root / 'dataset.json'}: '{path}' has label '{entry.get('label')}' and set '{split}'; expected are real or "
        "fake, and train or test."
      )
    people = [str(entry[key]) for key in ("target_id", "swapped_id") if entry.get(key) is not None]
    if split == "train":
      in_val = {held_out(f"{DATASET}/{person}") for person in people or [path]}
      if len(in_val) > 1:
        missing.append((path, "left out: one of its two people is held out for validation"))
        continue
      split = "val" if in_val == {True} else "train"
    if not (root / path).is_file():
      missing.append((path, "no such file"))
      continue
    pure = pathlib.PurePath(path)
    manipulation = pure.parts[0] if label else "original"
    # A forgery's file name starts with its original's; the longest such name is meant.
    pair = max((o for o in originals if pure.stem == o or pure.stem.startswith(o + "_")), key=len, default="")
    video_id = f"{DATASET}/{manipulation}/none/{pure.with_suffix('').as_posix()}"
    videos.append(
      Video(video_id, str(root / path), label, split, DATASET, manipulation, pair=pair, identity="+".join(people))
    )
  return Listing(videos, missing)
