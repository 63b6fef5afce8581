"""Celeb-DF-v2 (Li et al., CVPR 2020).

  ROOT/Celeb-real/<id>_<number>.mp4
  ROOT/YouTube-real/<number>.mp4
  ROOT/Celeb-synthesis/<target>_<source>_<number>.mp4     made of Celeb-real/<target>_<number>.mp4
  ROOT/List_of_testing_videos.txt                         lines "flag path"; here 1 means REAL

The listed videos are test. Of the others, those of a held-out tenth of the people are val and the rest is train; left
out is everything that would leak: the original of a listed forgery and the forgeries of a listed original, forgeries
between two people who meet in a listed forgery, and forgeries between a person of val and one of train. (Single people
do appear on both sides of the authors' own list.)
"""

import pathlib
import re

from data_pipelines.sources import Listing, Video
from data_pipelines.sources.layout import file_names, held_out, read_text, require_root
from data_pipelines.sources.registry import SourceOptions
from dfdetect_jax.errors import UserError

LIST = "List_of_testing_videos.txt"
LISTED = 518  # 178 real, 340 fake
FOLDERS = {"Celeb-real": 0, "YouTube-real": 0, "Celeb-synthesis": 1}


def list_videos(
  root: pathlib.Path | None, options: SourceOptions, dataset: str = "celeb_df_v2", listed_videos: int = LISTED
) -> Listing:
  """Lists the videos with their splits; what the test list names and the disk lacks, and what would leak, is missing.

  Raises:
    UserError: another layout, or a test list that is missing, empty or contradicts the folders.
  """
  root = require_root(root, dataset, f"Celeb-real/, YouTube-real/, Celeb-synthesis/ and {LIST}", *FOLDERS)
  listed = _test_list(root / LIST)
  tested_pairs = {_pair(path) for path in listed} - {""}
  tested_people = {frozenset(_people(path)) for path in listed if len(_people(path)) == 2}
  found = [f"{folder}/{name}" for folder in FOLDERS for name in file_names(root / folder)]
  missing = [(folder, "no such folder") for folder in FOLDERS if not (root / folder).is_dir()]
  missing += [(path, "listed for the test, no such file") for path in sorted(listed - {*found})]
  if len(listed) != listed_videos:
    # A list cut short would put test videos into train: nothing else tells of it.
    missing.append((LIST, f"names {len(listed)} videos, the authors' {listed_videos}"))
  videos = []
  for path in found:
    people = _people(path)
    in_val = {held_out(f"celeb_df/{person}") for person in people or (path,)}
    if path in listed:
      split = "test"
    elif _pair(path) in tested_pairs or frozenset(people) in tested_people:
      missing.append((path, "left out: shares its original or its two people with a test video"))
      continue
    elif len(in_val) > 1:
      missing.append((path, "left out: one of its two people is held out for validation"))
      continue
    else:
      split = "val" if in_val == {True} else "train"
    folder, name = path.split("/")
    label = FOLDERS[folder]
    manipulation = folder if label else "original"
    video_id = f"{dataset}/{manipulation}/none/{folder}/{name.removesuffix('.mp4')}"
    where = str(root / path)
    videos.append(
      Video(
        video_id=video_id,
        path=where,
        label=label,
        split=split,
        dataset=dataset,
        manipulation=manipulation,
        pair=_pair(path),
        identity="+".join(people),
      )
    )
  return Listing(videos, missing)


def _test_list(file: pathlib.Path) -> set[str]:
  """Paths of the test videos.

  Raises:
    UserError: the list is missing or empty, a line is not "flag path", or a flag contradicts the folder.
  """
  paths = set()
  text = read_text(file, "without it nobody can tell the test videos from the others")
  for number, line in enumerate(text.splitlines(), 1):
    if not line.strip():
      continue
    match = re.fullmatch(r"([01])\s+([^\s/]+)/([^\s/]+\.mp4)", line.strip())
    if not match or match[2] not in FOLDERS:
      raise UserError(f"{file}, line {number}: '{line}' is not '<0 or 1> <folder>/<file>.mp4'.")
    if int(match[1]) != 1 - FOLDERS[match[2]]:
      raise UserError(f"{file}, line {number}: flag {match[1]} does not fit {match[2]}; in this list 1 means real.")
    paths.add(f"{match[2]}/{match[3]}")
  if not paths:
    raise UserError(f"{file} is empty: without it nobody can tell the test videos from the others.")
  return paths


def _people(path: str) -> tuple[str, ...]:
  """The people shown: one in a real video, target and source in a forgery, unknown ones in YouTube-real."""
  return tuple(re.findall(r"id\d+", pathlib.PurePath(path).stem)) if "YouTube" not in path else ()


def _pair(path: str) -> str:
  """Name of the original: id3_0005 for itself and for id3_id7_0005."""
  match = re.fullmatch(r"(id\d+)_(?:id\d+_)?(\d+)", pathlib.PurePath(path).stem)
  return f"{match[1]}_{match[2]}" if match else ""
