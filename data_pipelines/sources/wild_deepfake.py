"""WildDeepfake (Zi et al., ACM MM 2020): archives of face crops, no videos.

  ROOT/{real,fake}[ _]{train,test}/N.tar.gz     sequence folders of PNG face crops; "real_train" or "real train"

An archive holds the face sequences of one source video: --max-tracks=0 takes all of them, not only the longest. There
is no validation split: a tenth of the training archives is held out. The crops are used as they are.
"""

import pathlib
import re

from data_pipelines.sources import Listing, Video
from data_pipelines.sources.layout import held_out, require_root
from data_pipelines.sources.registry import SourceOptions

DATASET = "wild_deepfake"
CROPPED = True
ARCHIVE = re.compile(r"\.(tar\.gz|tgz|tar)$")


def list_videos(root: pathlib.Path | None, options: SourceOptions) -> Listing:
  """Lists the archives (or, where an archive is gone, the folder that it was unpacked to) of each split.

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
  videos, missing = [], []
  for (label, split), names in spellings.items():
    folder = next((root / name for name in names if (root / name).is_dir()), None)
    if folder is None:
      missing.append((names[0], "no such folder"))
      continue
    manipulation = "fake" if label == "fake" else "original"
    for name, path in sorted(_archives(folder).items()):
      # Real and fake archives of one number are different videos; nothing says which were made of which.
      part = "val" if split == "train" and held_out(f"{DATASET}/{label}/{name}") else split
      video_id = f"{DATASET}/{manipulation}/none/{split}/{name}"
      videos.append(
        Video(
          video_id=video_id,
          path=str(path),
          label=int(label == "fake"),
          split=part,
          dataset=DATASET,
          manipulation=manipulation,
        )
      )
  return Listing(videos, missing)


def _archives(folder: pathlib.Path) -> dict[str, pathlib.Path]:
  """Archives and unpacked folders by name; the archive where there are both, for it is surely whole."""
  found: dict[str, pathlib.Path] = {}
  for path in sorted(p for p in folder.iterdir() if not p.name.startswith(".")):
    if path.is_dir():
      found.setdefault(path.name, path)
    elif ARCHIVE.search(path.name):
      found[ARCHIVE.sub("", path.name)] = path
  return found
