"""What each dataset is: its name in shards and score files, its title in tables, its forgeries, whose videos it uses.

Sources give their videos these names; protocols, leak checks and studies read what follows from them.
"""

import dataclasses

FOUR = ("Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Dataset:
  """A dataset as its authors publish it.

  Attributes:
    name: in video ids, tracks and score files.
    title: in tables.
    manipulations: its forgeries that have names of their own; empty where fakes are of unnamed or mixed kinds.
    footage_of: name of the dataset whose real videos (and people) it forges, "" = its own.
    shares_people: the authors' own split has people on both sides; only videos are kept apart.
    tested: the forgeries that cross-dataset tests are of, where the dataset has the same ones in several variants;
      empty = all.
    counts: (split or "train+val", real videos, fake ones) as the authors publish them; of FF++ the fakes of each
      manipulation, of which `manipulations` are then the default four; of DeeperForensics those of one variant.
  """

  name: str
  title: str
  manipulations: tuple[str, ...] = ()
  footage_of: str = ""
  shares_people: bool = False
  tested: tuple[str, ...] = ()
  counts: tuple[tuple[str, int, int], ...] = ()

  def count(self, split: str, manipulations: tuple[str, ...] = ()) -> tuple[int, int] | None:
    """Real and fake videos of a split as published, None where that is not known."""
    published = {name: (real, fake) for name, real, fake in self.counts}.get(split)
    if published is None or self.name != "faceforensics":
      whole = not manipulations or (self.tested and len(manipulations) == 1)  # a variant has as many as another
      return published if whole else None
    return published[0], published[1] * len(manipulations or FOUR)


DATASETS = {
  dataset.name: dataset
  for dataset in (
    Dataset(
      name="faceforensics",
      title="FF++",
      manipulations=(*FOUR, "FaceShifter"),
      counts=(("train", 720, 720), ("val", 140, 140), ("test", 140, 140)),
    ),
    Dataset(name="dfd", title="DFD", manipulations=("DeepFakeDetection",)),
    Dataset(
      name="celeb_df_v1", title="Celeb-DF-v1", shares_people=True, counts=(("train+val", 370, 733), ("test", 38, 62))
    ),
    Dataset(
      name="celeb_df_v2", title="Celeb-DF-v2", shares_people=True, counts=(("train+val", 712, 5299), ("test", 178, 340))
    ),
    Dataset(name="dfdc", title="DFDC", shares_people=True, counts=(("val", 2000, 2000), ("test", 2500, 2500))),
    Dataset(
      name="dfdc_preview",
      title="DFDC-Preview",
      manipulations=("method_A", "method_B"),
      shares_people=True,
      counts=(("train+val", 855, 3618), ("test", 276, 501)),
    ),
    Dataset(
      name="deeper_forensics",
      title="DeeperForensics-1.0",
      footage_of="faceforensics",
      tested=("end_to_end",),
      counts=(("train", 703, 703), ("val", 96, 96), ("test", 201, 201)),
    ),
    Dataset(name="wild_deepfake", title="WildDeepfake", counts=(("train+val", 3409, 3099), ("test", 396, 410))),
    Dataset(name="synthetic", title="generated videos", manipulations=FOUR),
  )
}


def title_of(name: str) -> str:
  """How tables call a dataset; the name itself of one that is not in the table."""
  return DATASETS[name].title if name in DATASETS else name


def footage_of(name: str) -> str:
  """The dataset whose real videos and people another one's are; itself for one that is not in the table."""
  return (DATASETS[name].footage_of if name in DATASETS else "") or name


def shares_people(name: str) -> bool:
  """Whether the authors' split of a dataset has people on both sides."""
  return name in DATASETS and DATASETS[name].shares_people
