"""Any folder: `ROOT/{train,val,test}/{real,fake}/…` or `ROOT/{real,fake}/…`, videos at any depth below.

A folder between `fake` and the videos names the manipulation. Without split folders every video goes to one split,
test, and the listing says so: dividing is the user's decision, by identity, and a manifest says it best. --divide does
it by file name: files of one name (a real video and its forgeries) stay together.
"""

import dataclasses
import pathlib
import random

from data_pipelines.sources import Listing, Video
from data_pipelines.sources.registry import SourceOptions
from data_pipelines.sources.tree import VIDEO_SUFFIXES, Tree
from dfdetect_jax.errors import UserError
from dfdetect_jax.schema import SPLITS

LABELS = {"real": 0, "fake": 1}


def list_videos(root: pathlib.Path | None, options: SourceOptions) -> Listing:
  """Lists the videos below `root`; the compression option does not apply.

  Raises:
    UserError: no root, nothing laid out so in it, or a division of what has split folders.
  """
  if root is None:
    raise UserError("the source 'folder' needs --root=DIR with folders real and fake in it.")
  tree, listing, dataset = Tree(root), Listing(), root.resolve().name
  splits = [split for split in SPLITS if tree.has_folder(split)]
  if splits and options.divide:
    raise UserError(f"--divide: {root} has folders {', '.join(splits)} already, which say what is for what.")
  for split in splits or ["test"]:
    for name, label in LABELS.items():
      base = f"{split}/{name}" if splits else name
      for path in tree.below(base):
        inside = path[len(base) + 1 :].split("/")
        where = tree.take(path)
        assert where is not None, "found in the tree"
        manipulation = "original" if not label else (inside[0] if len(inside) > 1 else "fake")
        listing.videos.append(
          Video(
            video_id=f"{dataset}/{manipulation}/none/{where.relative_to(root).as_posix()}",
            path=str(where),
            label=label,
            split=split,
            dataset=dataset,
            manipulation=manipulation,
          )
        )
  if not listing.videos:
    raise UserError(
      f"--root={root} holds no videos in folders real and fake; expected are "
      f"{root}/{{train,val,test}}/{{real,fake}}/*.mp4 or {root}/{{real,fake}}/*.mp4."
    )
  if options.divide:
    _divide(listing, options)
  elif not splits:
    listing.notes.append(
      f"{root} has no folders train, val and test: all {len(listing.videos)} videos are test. --divide=0.8,0.1,0.1 "
      "divides them by file name; where people appear in several files, divide by hand"
    )
  places = "train, val or test, and in it real or fake" if splits else "real or fake (or train, val or test with those)"
  tree.excuse("", f"left out: not in a folder called {places}")
  listing.omitted.extend(tree.omitted(VIDEO_SUFFIXES))
  return listing


def _divide(listing: Listing, options: SourceOptions) -> None:
  """Draws the split of each file name, as many of each as the shares say."""
  names = sorted({pathlib.PurePath(video.path).stem for video in listing.videos})
  random.Random(f"folder/{options.seed}").shuffle(names)
  ends = [round(sum(options.divide[: n + 1]) * len(names)) for n in range(2)] + [len(names)]
  of = {name: next(s for s, end in zip(SPLITS, ends) if n < end) for n, name in enumerate(names)}
  listing.videos[:] = [
    dataclasses.replace(video, split=of[pathlib.PurePath(video.path).stem]) for video in listing.videos
  ]
  shares = ",".join(map(str, options.divide))
  listing.notes.append(f"--divide={shares} with --seed={options.seed}: split by file name, not by people")
