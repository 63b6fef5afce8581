"""WildDeepfake (Zi et al., ACM MM 2020): archives of face crops, no videos.

  ROOT/{real,fake}[ _]{train,test}/N.tar.gz     "real_train" or "real train"; inside
                                                ./N/{real,fake}/<sequence>/<frame>.png

A video of this dataset is a face sequence: 7,314 of them, 396 real and 410 fake ones in test, and DIL's accuracies are
counts of 806. An archive holds those of one source video; what was unpacked from it is read where it is gone. There is
no validation split: the sequences of a tenth of the training archives are held out. The crops are used as they are; a
sequence is cut into tracks where its numbers jump.
"""

import concurrent.futures
import os
import pathlib
import re

import tqdm

from data_pipelines.faces import cropped
from data_pipelines.sources import Listing, Video
from data_pipelines.sources.layout import held_out, require_root
from data_pipelines.sources.registry import SourceOptions
from data_pipelines.sources.seen_archives import SeenArchives
from data_pipelines.sources.tree import PICTURE_SUFFIXES, Tree
from data_pipelines.video.decode import BrokenVideo

DATASET = "wild_deepfake"
CROPPED = True
ARCHIVES = (".tar.gz", ".tgz", ".tar")


def list_videos(root: pathlib.Path | None, options: SourceOptions) -> Listing:
  """Lists the sequences of each archive (or, where an archive is gone, of the folder that it was unpacked to).

  Raises:
    UserError: another layout.
  """
  spellings = {
    (label, split): [f"{label}{gap}{split}" for gap in ("_", " ", "")]
    for label in ("real", "fake")
    for split in ("train", "test")
  }
  expected = "real_train/, fake_train/, real_test/, fake_test/ (or with a space) of N.tar.gz"
  root = require_root(root, DATASET, expected, *(name for names in spellings.values() for name in names))
  tree, listing = Tree(root, pictures=True), Listing()
  places: list[tuple[str, str, str, str]] = []  # label, split, name, path below the root
  for (label, split), names in spellings.items():
    folder = next((name for name in names if tree.has_folder(name)), None)
    if folder is None:
      listing.miss(names[0], "no such folder")
    else:
      places += [(label, split, name, path) for name, path in sorted(_archives(tree, folder).items())]
  for place, sequences in zip(places, _sequences(tree, [path for *_, path in places])):
    _add(listing, tree, *place, sequences)
  tree.excuse("", "left out: not in one of the dataset's four folders")
  listing.omitted.extend(tree.omitted((".gz", ".tgz", ".tar", *PICTURE_SUFFIXES)))
  return listing


def _archives(tree: Tree, folder: str) -> dict[str, str]:
  """Archives and unpacked folders by name; the archive where there are both, for it is surely whole."""
  found: dict[str, str] = {}
  for path in tree.below(folder, PICTURE_SUFFIXES):
    inside = path[len(folder) + 1 :].split("/")
    if len(inside) > 1:
      found[inside[0]] = f"{folder}/{inside[0]}"
  for name in tree.names(folder, ARCHIVES):
    stem = re.sub(r"\.(tar\.gz|tgz|tar)$", "", name)
    if stem in found:
      tree.excuse(found[stem], "left out: unpacked from an archive that is read itself")
    found[stem] = f"{folder}/{name}"
  return found


def _sequences(tree: Tree, paths: list[str]) -> list[list[str] | BrokenVideo]:
  """The folders of pictures in each archive or unpacked folder, or why it cannot be read.

  Archives are unpacked from end to end, once: what lies in them is kept for the next listing.
  """

  def read(path: str) -> list[str] | BrokenVideo:
    where = tree.root / path
    try:
      if where.is_dir():
        pictures = tree.below(path, PICTURE_SUFFIXES)
        return sorted({p[len(path) + 1 :].rpartition("/")[0] for p in pictures if tree.take(p)})
      archive = tree.take(path)
      assert archive is not None, "found in the tree"
      return seen.folders(pathlib.Path(archive), cropped.sequences_in)
    except BrokenVideo as broken:
      return broken

  with (
    SeenArchives() as seen,
    concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool,
  ):  # reading and unpacking leave Python
    found = pool.map(read, paths)
    return list(tqdm.tqdm(found, desc="looking into archives", total=len(paths), unit="archive", delay=3))


def _add(
  listing: Listing, tree: Tree, label: str, split: str, name: str, path: str, sequences: list[str] | BrokenVideo
) -> None:
  """Adds the sequences of one archive."""
  if isinstance(sequences, BrokenVideo):
    listing.miss(path, sequences.reason)
    return
  manipulation = "fake" if label == "fake" else "original"
  other = {"real": "fake", "fake": "real"}[label]
  wrong = [inside for inside in sequences if other in inside.split("/")[:2]]
  for inside in wrong:
    listing.miss(f"{path}/{inside}", f"left out: {other} faces in a folder of {label} ones")
  short = {inside: _short(inside, name) for inside in sequences if inside not in wrong}
  for inside in short:
    unique = list(short.values()).count(short[inside]) == 1
    sequence = short[inside] if unique else inside
    # Real and fake archives of one number are different videos; nothing says which were made of which.
    in_val = split == "train" and held_out(f"{DATASET}/{label}/{name}")
    listing.videos.append(
      Video(
        video_id=f"{DATASET}/{manipulation}/none/{split}/{name}/{sequence}",
        path=str(tree.root / path),
        label=int(label == "fake"),
        split="val" if in_val else split,
        dataset=DATASET,
        manipulation=manipulation,
        inside=inside or ".",
      )
    )


def _short(inside: str, name: str) -> str:
  """A sequence's own part of its path in the archive: without the archive's number, and real or fake."""
  parts = inside.split("/")
  parts = parts[1:] if parts[0] == name and len(parts) > 1 else parts
  parts = parts[1:] if parts[0] in ("real", "fake") and len(parts) > 1 else parts
  return "/".join(parts) or "all"
