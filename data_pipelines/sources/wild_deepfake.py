"""WildDeepfake (Zi et al., ACM MM 2020): archives of face crops, no videos.

  ROOT/{real,fake}[ _]{train,test}/N.tar.gz     sequence folders of PNG face crops; "real_train" or "real train"

An archive holds the face sequences of one source video. There is no validation split: a tenth of the training archives
is held out. The crops are used as they are.
"""

import pathlib

from data_pipelines.sources import Listing, Video
from data_pipelines.sources.layout import held_out, require_root
from data_pipelines.sources.registry import SourceOptions

DATASET = "wild_deepfake"
CROPPED = True
SUFFIXES = (".tar.gz", ".tgz", ".tar")


def list_videos(root: pathlib.Path | None, options: SourceOptions) -> Listing:
  """Lists the archives (or, unpacked, the folders) of each split.

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
    fake = int(label == "fake")
    manipulation = "fake" if fake else "original"
    for path in sorted(p for p in folder.iterdir() if p.is_dir() or p.name.endswith(SUFFIXES)):
      name = path.name.split(".")[0]
      # Real and fake archives of one number are different videos; nothing says which were made of which.
      part = "val" if split == "train" and held_out(f"{DATASET}/{label}/{name}") else split
      videos.append(
        Video(f"{DATASET}/{manipulation}/none/{split}/{name}", str(path), fake, part, DATASET, manipulation)
      )
  return Listing(videos, missing)
