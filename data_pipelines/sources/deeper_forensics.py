"""DeeperForensics-1.0 (Jiang et al., CVPR 2020), its real videos taken from FaceForensics++ c23.

  ROOT/manipulated_videos/<set>/<target>_<actor>.mp4    end_to_end, end_to_end_level_1 … 5, end_to_end_random_level,
                                                        end_to_end_mix_{2,3,4}_distortions, reenact_postprocess
  ROOT/lists/splits/{train,val,test}.txt                names of forgeries, 703:96:201
  REALS/original_sequences/youtube/c23/videos/NNN.mp4   REALS is --reals, or ROOT itself

The targets of the forgeries are FaceForensics++'s real videos, and those are the reals: `source_videos` are studio
recordings that would give the label away. --manipulations names the sets; without it, end_to_end and
end_to_end_random_level (ST-ILIF's std/rand). Sets other than end_to_end and reenact_postprocess are perturbed; their
reals must be perturbed alike: see data_pipelines.perturb.
"""

import pathlib

from data_pipelines.sources import Listing, Video
from data_pipelines.sources.layout import require_root
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
  reals = pathlib.Path(options.reals or root) / "original_sequences" / "youtube" / "c23" / "videos"
  videos: list[Video] = []
  missing: list[tuple[str, str]] = []
  splits = _splits(root / "lists" / "splits")
  if not reals.is_dir():
    missing.append((str(reals), "no such folder: name FaceForensics++'s root with --reals"))
  else:
    for target, split in sorted({name.split("_")[0]: split for name, split in splits.items()}.items()):
      if not (reals / f"{target}.mp4").is_file():
        missing.append((f"{target}.mp4 (real, FaceForensics++ c23)", "no such file"))
        continue
      videos.append(
        Video(
          f"{DATASET}/original/c23/{target}", str(reals / f"{target}.mp4"), 0, split, DATASET, "original", "c23",
          target, target,
        )
      )  # fmt: skip
  for name in options.manipulations or DEFAULT:
    folder = root / "manipulated_videos" / name
    if not folder.is_dir():
      missing.append((f"manipulated_videos/{name}", "no such folder"))
      continue
    for stem, split in sorted(splits.items()):
      target, _, actor = stem.partition("_")
      if not (folder / f"{stem}.mp4").is_file():
        missing.append((f"manipulated_videos/{name}/{stem}.mp4", "no such file"))
        continue
      videos.append(
        Video(
          f"{DATASET}/{name}/none/{stem}", str(folder / f"{stem}.mp4"), 1, split, DATASET, name, "", target,
          f"{target}+{actor}",
        )
      )  # fmt: skip
  return Listing(videos, missing)


def _splits(folder: pathlib.Path) -> dict[str, str]:
  """Split of every forgery by its file's stem."""
  splits: dict[str, str] = {}
  targets: dict[str, str] = {}
  for split in SPLITS:
    file = folder / f"{split}.txt"
    try:
      lines = file.read_text(encoding="utf-8-sig").split()
    except OSError as error:
      raise UserError(f"{file} is missing: the authors' lists say which video is for what.") from error
    for line in lines:
      stem = pathlib.PurePath(line).stem
      target = stem.split("_")[0]
      if splits.setdefault(stem, split) != split or targets.setdefault(target, split) != split:
        raise UserError(f"{file}: {stem} or its target stands in the {targets[target]} list too.")
  return splits
