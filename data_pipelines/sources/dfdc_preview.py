"""DFDC Preview (Dolhansky et al., 2019).

  ROOT/{original_videos,method_A,method_B}/…/*.mp4
  ROOT/dataset.json     {"method_A/…/a.mp4": {"label": "fake", "set": "train", "target_id": …, "swapped_id": …}}

The authors' sets train and test share no people. A tenth of the training people is held out for validation; training
forgeries between a held-out person and another are left out.
"""

import pathlib

from data_pipelines.sources import Listing, Video
from data_pipelines.sources.layout import held_out, read_entries, require_root
from data_pipelines.sources.registry import SourceOptions
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
  videos, missing = [], []
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
      continue
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
    video_id = f"{DATASET}/{manipulation}/none/{pure.with_suffix('').as_posix()}"
    pair, identity = _original(pure.stem, originals), "+".join(people)
    videos.append(
      Video(
        video_id=video_id,
        path=str(root / path),
        label=label,
        split=split,
        dataset=DATASET,
        manipulation=manipulation,
        pair=pair,
        identity=identity,
      )
    )
  return Listing(videos, missing)


def _original(stem: str, originals: set[str]) -> str:
  """The longest beginning of a file's name, up to some "_", that is an original's name; "" if none is."""
  words = stem.split("_")
  beginnings = ("_".join(words[:n]) for n in range(len(words), 0, -1))
  return next((name for name in beginnings if name in originals), "")
