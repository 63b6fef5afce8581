"""DeeperForensics-1.0 (Jiang et al., CVPR 2020), its real videos taken from FaceForensics++ c23.

  ROOT/manipulated_videos/<set>/<target>_<actor>.mp4    end_to_end, end_to_end_level_1 … 5, end_to_end_random_level,
                                                        end_to_end_mix_{2,3,4}_distortions, reenact_postprocess
  ROOT/lists/splits/{train,val,test}.txt                names of forgeries, 703:96:201
  REALS/original_sequences/youtube/c23/videos/NNN.mp4   REALS is --reals, or ROOT itself

The targets of the forgeries are FaceForensics++'s real videos, and those are the reals: `source_videos` are studio
recordings that would give the label away. A forgery may use its target's face boxes. --manipulations names the sets;
without it, end_to_end and end_to_end_random_level (ST-ILIF's std/rand). Sets other than end_to_end and
reenact_postprocess are perturbed; their reals must be perturbed alike: see data_pipelines.perturb.
"""

import pathlib

from data_pipelines.sources import Listing, Video
from data_pipelines.sources.layout import file_names, read_text, require_inside, require_root
from data_pipelines.sources.registry import SourceOptions
from dfdetect_jax.errors import UserError
from dfdetect_jax.schema import SPLITS

DATASET = "deeper_forensics"
SETS = (
  "end_to_end",
  *(f"end_to_end_level_{level}" for level in range(1, 6)),
  "end_to_end_random_level",
  *(f"end_to_end_mix_{count}_distortions" for count in (2, 3, 4)),
  "reenact_postprocess",
)
DEFAULT = ("end_to_end", "end_to_end_random_level")


def list_videos(root: pathlib.Path | None, options: SourceOptions) -> Listing:
  """Lists the forgeries of the wanted sets and the real videos they were made of.

  Raises:
    UserError: another layout, or split lists that are missing or contradict each other.
  """
  root = require_root(root, DATASET, "manipulated_videos/ and lists/splits/", "manipulated_videos")
  unknown = [name for name in options.manipulations if name not in SETS]
  if unknown:
    raise UserError(f"--manipulations={unknown[0]}: '{DATASET}' knows {', '.join(SETS)}.")
  splits = _splits(root / "lists" / "splits")
  split_of = {stem.partition("_")[0]: split for stem, split in splits.items()}
  reals = pathlib.Path(options.reals or root) / "original_sequences" / "youtube" / "c23" / "videos"
  videos: list[Video] = []
  missing: list[tuple[str, str]] = []
  originals: dict[str, str] = {}
  there = {*file_names(reals)}
  if not reals.is_dir():
    missing.append((str(reals), "no such folder: name FaceForensics++'s root with --reals"))
  for target, split in sorted(split_of.items()) if reals.is_dir() else []:
    path = reals / f"{target}.mp4"
    if path.name not in there:
      missing.append((str(path), "no such file (real, of FaceForensics++)"))
      continue
    originals[target] = f"{DATASET}/original/c23/{target}"
    videos.append(
      Video(
        video_id=originals[target],
        path=str(path),
        label=0,
        split=split,
        dataset=DATASET,
        manipulation="original",
        compression="c23",
        pair=target,
        identity=target,
      )
    )
  for name in options.manipulations or DEFAULT:
    folder = root / "manipulated_videos" / name
    where = f"manipulated_videos/{name}"
    if not folder.is_dir():
      missing.append((where, "no such folder"))
      continue
    there = {*file_names(folder)}
    for stem, split in sorted(splits.items()):
      if f"{stem}.mp4" not in there:
        missing.append((f"{where}/{stem}.mp4", "no such file"))
        continue
      target, _, actor = stem.partition("_")
      video_id, people = f"{DATASET}/{name}/none/{stem}", f"{target}+{actor}"
      path, boxes = str(folder / f"{stem}.mp4"), originals.get(target, "")
      videos.append(
        Video(
          video_id=video_id,
          path=path,
          label=1,
          split=split,
          dataset=DATASET,
          manipulation=name,
          compression="",
          pair=target,
          identity=people,
          boxes_from=boxes,
        )
      )
    if extra := there - {f"{stem}.mp4" for stem in splits}:
      missing.append((where, f"left out: {len(extra)} videos that no split names"))
  return Listing(videos, missing)


def _splits(folder: pathlib.Path) -> dict[str, str]:
  """Split of every forgery by its file's stem.

  Raises:
    UserError: a list is missing or unreadable, or a target (or forgery) stands in two.
  """
  splits: dict[str, str] = {}
  targets: dict[str, str] = {}
  for split in SPLITS:
    file = folder / f"{split}.txt"
    for line in read_text(file, "the authors' lists say which video is for what").split():
      require_inside(line, file)
      stem = line.removesuffix(".mp4")
      target = stem.partition("_")[0]
      if targets.setdefault(target, split) != split:
        raise UserError(f"{file}: the target of {stem} stands in the {targets[target]} list too.")
      splits[stem] = split
  return splits
