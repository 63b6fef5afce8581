"""Celeb-DF-v2 (Li et al., CVPR 2020).

  ROOT/Celeb-real/<id>_<number>.mp4
  ROOT/YouTube-real/<number>.mp4
  ROOT/Celeb-synthesis/<target>_<source>_<number>.mp4     made of Celeb-real/<target>_<number>.mp4
  ROOT/List_of_testing_videos.txt                         lines "flag path"; here 1 means REAL

The listed videos are test, every other one is for training, as in the papers (712 real and 5,299 fake of v2): originals
and people stand on both sides of the authors' list. Of what is for training, a tenth of the originals that are not
listed is val, each with all its forgeries that are not listed.

--strict-people keeps apart what that split shares. Left out is then everything that would leak: the original of a
listed forgery and the forgeries of a listed original, forgeries between two people who meet in a listed forgery, and
forgeries between a person of val (a tenth of the people) and one of train. Single people still meet.
"""

import pathlib
import re

from data_pipelines.sources import Listing, Video
from data_pipelines.sources.layout import held_out, held_out_of, require_root
from data_pipelines.sources.lists import lines_of, normal, once
from data_pipelines.sources.registry import SourceOptions
from data_pipelines.sources.tree import Tree
from dfdetect_jax.errors import UserError

LIST = "List_of_testing_videos.txt"
LISTED = 518  # 178 real, 340 fake
FOLDERS = {"Celeb-real": 0, "YouTube-real": 0, "Celeb-synthesis": 1}


def list_videos(
  root: pathlib.Path | None, options: SourceOptions, dataset: str = "celeb_df_v2", listed_videos: int = LISTED
) -> Listing:
  """Lists the videos with their splits.

  Raises:
    UserError: another layout, or a test list that is missing, empty or contradicts the folders.
  """
  root = require_root(root, dataset, f"Celeb-real/, YouTube-real/, Celeb-synthesis/ and {LIST}", *FOLDERS)
  listed = _test_list(root / LIST)
  tree = Tree(root)
  listing = Listing()
  found = [f"{folder}/{name}" for folder in FOLDERS for name in tree.names(folder)]
  for folder in FOLDERS:
    if not tree.has_folder(folder):
      listing.miss(folder, "no such folder")
  for path in sorted(listed.keys() - {*found}):
    reason = tree.why_absent(path).replace("no such file", "listed for the test, no such file", 1)
    listing.miss(path, reason, _video(dataset, path, root / path, "test"))
  if len(listed) != listed_videos:
    # A list cut short would put test videos into train: nothing else tells of it.
    listing.miss(LIST, f"names {len(listed)} videos, the authors' {listed_videos}")
  split_of = _strict_splits(found, listed) if options.strict_people else _splits(found, listed)
  for path in found:
    where, split = tree.take(path), split_of[path]
    if split in ("train", "val", "test"):
      assert where is not None, "found in the tree"
      listing.videos.append(_video(dataset, path, where, split))
    else:
      listing.miss(path, split)
  listing.omitted.extend(tree.omitted())
  return listing


def _splits(found: list[str], listed: dict[str, int]) -> dict[str, str]:
  """The authors' split: what is listed is test; val is some originals that are not, with their forgeries."""
  originals = {_group(path) for path in found if path not in listed and not FOLDERS[path.partition("/")[0]]}
  originals -= {_group(path) for path in listed if not FOLDERS[path.partition("/")[0]]}
  forged = originals & {_group(path) for path in found if path not in listed and _people(path)[1:]}
  # Some with forgeries and some without (YouTube's have none), so that both labels are there.
  held = held_out_of(forged, "celeb_df") | {key for key in originals - forged if held_out(f"celeb_df/{key}")}
  return {path: "test" if path in listed else "val" if _group(path) in held else "train" for path in found}


def _strict_splits(found: list[str], listed: dict[str, int]) -> dict[str, str]:
  """Splits without what would leak; instead of a split, the reason why a video is left out."""
  tested_pairs = {_pair(path) for path in listed} - {""}
  tested_people = {frozenset(_people(path)) for path in listed if len(_people(path)) == 2}
  splits = {}
  for path in found:
    people = _people(path)
    in_val = {held_out(f"celeb_df/{person}") for person in people or (path,)}
    if path in listed:
      splits[path] = "test"
    elif _pair(path) in tested_pairs or frozenset(people) in tested_people:
      splits[path] = "left out: shares its original or its two people with a test video"
    elif len(in_val) > 1:
      splits[path] = "left out: one of its two people is held out for validation"
    else:
      splits[path] = "val" if in_val == {True} else "train"
  return splits


def _video(dataset: str, path: str, where: pathlib.Path, split: str) -> Video:
  folder, name = path.split("/")
  label = FOLDERS[folder]
  manipulation = folder if label else "original"
  return Video(
    video_id=f"{dataset}/{manipulation}/none/{folder}/{name.removesuffix('.mp4')}",
    path=str(where),
    label=label,
    split=split,
    dataset=dataset,
    manipulation=manipulation,
    pair=_pair(path),
    identity="+".join(_people(path)),
  )


def _test_list(file: pathlib.Path) -> dict[str, int]:
  """Paths of the test videos, with their lines.

  Raises:
    UserError: the list is missing or empty, a line is not "flag path", a flag contradicts the folder, or a path stands
      twice.
  """
  paths: dict[str, int] = {}
  for number, line in lines_of(file, "without it nobody can tell the test videos from the others"):
    # Whatever stands before the dataset's own folders is a machine's, and says nothing.
    match = re.fullmatch(r"([01])\s+(?:\S.*/)?([^\s/]+)/([^\s/]+\.mp4)", normal(line), flags=re.IGNORECASE)
    if not match or match[2] not in FOLDERS or ".." in normal(line).split("/"):
      raise UserError(f"{file}, line {number}: '{line}' is not '<0 or 1> <folder>/<file>.mp4'.")
    if int(match[1]) != 1 - FOLDERS[match[2]]:
      raise UserError(f"{file}, line {number}: flag {match[1]} does not fit {match[2]}; in this list 1 means real.")
    once(paths, f"{match[2]}/{match[3][:-4]}.mp4", number, file)
  return paths


def _people(path: str) -> tuple[str, ...]:
  """The people shown: one in a real video, target and source in a forgery, unknown ones in YouTube-real."""
  return tuple(re.findall(r"id\d+", pathlib.PurePath(path).stem)) if "YouTube" not in path else ()


def _pair(path: str) -> str:
  """Name of the original: id3_0005 for itself and for id3_id7_0005."""
  match = re.fullmatch(r"(id\d+)_(?:id\d+_)?(\d+)", pathlib.PurePath(path).stem)
  return f"{match[1]}_{match[2]}" if match else ""


def _group(path: str) -> str:
  """What is held out as a whole: an original with its forgeries, or the video alone."""
  return _pair(path) or path
