"""DeeperForensics-1.0 (Jiang et al., CVPR 2020), its real videos taken from FaceForensics++ c23.

  ROOT/manipulated_videos/<set>/<target>_<actor>.mp4    end_to_end, end_to_end_level_1 … 5, end_to_end_random_level,
                                                        end_to_end_mix_{2,3,4}_distortions, reenact_postprocess
  ROOT/lists/splits/{train,val,test}.txt                names of forgeries, 703:96:201
  ROOT/lists/manipulated_videos_distortions_meta/manipulated_videos_<set>_meta.txt
                                                        <path> <type>:<level> …, what each forgery went through
  REALS/original_sequences/youtube/c23/videos/NNN.mp4   REALS is --reals, or ROOT itself

The targets of the forgeries are FaceForensics++'s real videos, and those are the reals: `source_videos` are studio
recordings that would give the label away. A forgery may use its target's face boxes.

--manipulations names the set; without it, end_to_end. Sets other than end_to_end and reenact_postprocess are distorted,
and their reals must be distorted alike, or the distortion tells the label: every real video goes through what the
forgery of it went through (or, where the authors' list of that is not there, through what is drawn in their way: any of
the seven distortions, the set's level, or any of five). Each such set is therefore a dataset folder of its own;
that of end_to_end_random_level is ST-ILIF's std/rand.
"""

import pathlib
import random
import re

from data_pipelines.sources import Listing, Video
from data_pipelines.sources.layout import require_root
from data_pipelines.sources.lists import lines_of, normal, read_names
from data_pipelines.sources.registry import SourceOptions
from data_pipelines.sources.tree import Tree
from dfdetect_jax.errors import UserError, did_you_mean
from dfdetect_jax.schema import SPLITS

DATASET = "deeper_forensics"
CLEAN = ("end_to_end", "reenact_postprocess")
SETS = (
  "end_to_end",
  *(f"end_to_end_level_{level}" for level in range(1, 6)),
  "end_to_end_random_level",
  *(f"end_to_end_mix_{count}_distortions" for count in (2, 3, 4)),
  "reenact_postprocess",
)
DEFAULT = ("end_to_end",)
# The authors' abbreviations. Their "JPEG" shrinks and enlarges the frame.
TYPES = {
  "CS": "saturation",
  "CC": "contrast",
  "BW": "block_wise",
  "GNC": "gaussian_noise",
  "GB": "blur",
  "JPEG": "pixelation",
  "VC": "compression",
}


def list_videos(root: pathlib.Path | None, options: SourceOptions) -> Listing:
  """Lists the forgeries of the wanted sets and the real videos they were made of.

  Raises:
    UserError: another layout, sets whose reals cannot be the same, or lists that are missing or contradict each other.
  """
  root = require_root(root, DATASET, "manipulated_videos/ and lists/splits/", "manipulated_videos")
  wanted = options.manipulations or DEFAULT
  for name in wanted:
    if name not in SETS:
      raise UserError(f"--manipulations={name}: '{DATASET}' knows {', '.join(SETS)}.{did_you_mean(name, SETS)}")
  distorted = [name for name in wanted if name not in CLEAN]
  if distorted and len(wanted) > 1 and not options.clean_reals:
    raise UserError(
      f"--manipulations={','.join(wanted)}: the real videos of {distorted[0]} are distorted as its forgeries are, so "
      "that they cannot be those of another set. Build each set alone, with its own --output; --clean-reals leaves the "
      "real videos as they are, and then the distortion alone tells a forgery."
    )
  splits = _splits(root / "lists" / "splits")
  split_of = {stem.partition("_")[0]: split for stem, split in splits.items()}
  tree, listing = Tree(root), Listing()
  alike = _distortions(root, distorted[0], splits, listing) if distorted and not options.clean_reals else {}
  if distorted and options.clean_reals:
    listing.notes.append(
      "--clean-reals: the forgeries are distorted and the real videos are not, which tells them apart"
    )
  originals = _add_reals(listing, pathlib.Path(options.reals or root), split_of, alike)
  for name in wanted:
    folder = f"manipulated_videos/{name}"
    if not tree.has_folder(folder):
      listing.miss(folder, "no such folder")
      continue
    for stem, split in sorted(splits.items()):
      path = f"{folder}/{stem}.mp4"
      where = tree.take(path)
      target, _, actor = stem.partition("_")
      video = Video(
        video_id=f"{DATASET}/{name}/none/{stem}",
        path=str(where or root / path),
        label=1,
        split=split,
        dataset=DATASET,
        manipulation=name,
        compression="",
        pair=target,
        identity=f"{target}+{actor}",
        boxes_from=originals.get(target, ""),
      )
      if where:
        listing.videos.append(video)
      else:
        listing.miss(path, tree.why_absent(path), video)
    if extra := [unnamed for unnamed in tree.names(folder) if unnamed.removesuffix(".mp4") not in splits]:
      listing.miss(folder, f"left out: {len(extra)} videos that no split names")
      for unnamed in extra:
        tree.take(f"{folder}/{unnamed}")  # told of already
  tree.excuse("source_videos", "left out: source_videos, which are recordings of the actors and not the real videos")
  tree.excuse("original_sequences", "")  # FaceForensics++'s own matter
  tree.excuse("manipulated_sequences", "")
  for name in SETS:
    if name not in wanted:
      asked = "" if options.manipulations else f"left out: {name}, which comes in when --manipulations names it"
      tree.excuse(f"manipulated_videos/{name}", asked)
  listing.omitted.extend(tree.omitted())
  return listing


def _add_reals(
  listing: Listing, root: pathlib.Path, split_of: dict[str, str], distortions: dict[str, str]
) -> dict[str, str]:
  """Adds the targets, with what each goes through; returns their video ids by number, of those that are there."""
  folder = root / "original_sequences" / "youtube" / "c23" / "videos"
  reals = Tree(folder) if folder.is_dir() else None
  if reals is None:
    listing.miss(str(folder), "no such folder: name FaceForensics++'s root with --reals")
  originals = {}
  for target, split in sorted(split_of.items()):
    where = reals.take(f"{target}.mp4") if reals else None
    path = folder / f"{target}.mp4"
    video = Video(
      video_id=f"{DATASET}/original/c23/{target}",
      path=str(where or path),
      label=0,
      split=split,
      dataset=DATASET,
      manipulation="original",
      compression="c23",
      pair=target,
      identity=target,
      distortion=distortions.get(target, ""),
    )
    if where:
      originals[target] = video.video_id
      listing.videos.append(video)
    else:
      reason = reals.why_absent(path.name) if reals else "no such file"
      listing.miss(str(path), f"{reason} (real, of FaceForensics++)", video)
  return originals


def _splits(folder: pathlib.Path) -> dict[str, str]:
  """Split of every forgery by its file's stem.

  Raises:
    UserError: a list is missing or unreadable, or a target (or forgery) stands in two.
  """
  splits: dict[str, str] = {}
  targets: dict[str, str] = {}
  for split in SPLITS:
    file = folder / f"{split}.txt"
    for line in read_names(file, "the authors' lists say which video is for what"):
      stem = re.sub(r"\.mp4$", "", line.rpartition("/")[2], flags=re.IGNORECASE)
      target = stem.partition("_")[0]
      if targets.setdefault(target, split) != split:
        raise UserError(f"{file}: the target of {stem} stands in the {targets[target]} list too.")
      splits[stem] = split
  return splits


def _distortions(root: pathlib.Path, name: str, splits: dict[str, str], listing: Listing) -> dict[str, str]:
  """What the forgery of each target went through, by target: the authors' list, or a draw in their way.

  Raises:
    UserError: a line of the list is not "path type:level …".
  """
  file = root / "lists" / "manipulated_videos_distortions_meta" / f"manipulated_videos_{name}_meta.txt"
  found: dict[str, str] = {}
  if file.is_file():
    for number, line in lines_of(file, "it says what each forgery went through"):
      path, *words = normal(line).split()
      found_cells = (re.fullmatch(r"(\w+):([1-5])", one) for one in words)
      cells = [cell for cell in found_cells if cell and cell[1] in TYPES]
      if not cells or len(cells) < len(words):
        raise UserError(
          f"{file}, line {number}: '{line}' is not '<path> <type>:<level> …' with types {', '.join(TYPES)} and "
          "levels 1 to 5: download the list again."
        )
      target = path.rpartition("/")[2].partition("_")[0]
      found.setdefault(target, "+".join(f"{TYPES[cell[1]]}-{cell[2]}" for cell in cells))
  drawn = sorted({stem.partition("_")[0] for stem in splits} - found.keys())
  for target in drawn:
    rng = random.Random(f"{DATASET}/{name}/{target}")
    mixed = re.fullmatch(r"end_to_end_mix_(\d)_distortions", name)
    level = re.fullmatch(r"end_to_end_level_(\d)", name)
    types = rng.sample(list(TYPES.values()), int(mixed[1]) if mixed else 1)
    found[target] = "+".join(f"{one}-{int(level[1]) if level else rng.randint(1, 5)}" for one in types)
  alike = len(found) - len(drawn)
  listing.notes.append(
    f"the real videos are distorted alike: {alike} as {file.name} says of their forgeries"
    + (f", {len(drawn)} by a draw of their own, because it says nothing of them" if drawn else "")
  )
  return found
