"""Who is trained on what and judged on what: the protocols of the papers as data, and the checks that keep them honest.

A protocol names sets of videos; `select` finds their tracks. The validation split selects, the test split reports, and
nothing here lets one stand in for the other.
"""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence

from dfdetect_jax.data.videos import VideoSet
from dfdetect_jax.datasets import DATASETS, FOUR
from dfdetect_jax.errors import UserError, unknown
from dfdetect_jax.runs.trained_videos import TRAINED_FILE, TrainedVideo
from dfdetect_jax.schema import DATASET_FILE, read_dataset_file

FFPP = "faceforensics"
CROSS = ("celeb_df_v2", "dfdc", "dfdc_preview", "deeper_forensics", "wild_deepfake")
CROSS_DATASETS = {DATASETS[name].title: name for name in CROSS}
# What a table with DeeperForensics-1.0 beside FF++ must say.
LEAKING_TARGETS = (
  "DeeperForensics-1.0 forges FF++'s videos and divides them otherwise: of the 201 targets of its test list a run on "
  "FF++ has seen 171, so that 30 remain with --leaks=drop; --leaks=keep scores all and marks the cells as contaminated."
)
# The distortions of DeeperForensics-1.0 in the order of DIP Fig. 6; data_pipelines.perturb makes them.
DISTORTIONS = ("saturation", "contrast", "block_wise", "gaussian_noise", "blur", "pixelation", "compression")
LEVELS = (1, 2, 3, 4, 5)
# Video-level metrics that a run may select its best step by: more is better.
SELECTABLE = ("auc", "acc", "ap")


@dataclasses.dataclass(frozen=True)
class Protocol:
  """What is trained on and what is tested on.

  Attributes:
    name: of the protocol.
    train: videos whose train split is trained on, and whose val split selects.
    test: sets whose test split is reported, each a row (or cell) of the table.
    reference: tables of the papers that use it.
  """

  name: str
  train: VideoSet
  test: tuple[VideoSet, ...]
  reference: str

  def on(self, datasets: Mapping[str, str]) -> "Protocol":
    """The same protocol on other datasets of the same layout, old name -> new name (a demo's stand-in)."""

    def renamed(videos: VideoSet) -> VideoSet:
      if videos.dataset not in datasets:
        return videos
      # The variant that is tested is the dataset's own; what stands in for it has none.
      variant = DATASETS[videos.dataset].tested if videos.dataset in DATASETS else ()
      names = () if videos.manipulations == variant else videos.manipulations
      return dataclasses.replace(videos, dataset=datasets[videos.dataset], manipulations=names)

    return dataclasses.replace(self, train=renamed(self.train), test=tuple(renamed(v) for v in self.test))


def _protocols() -> dict[str, Protocol]:
  protocols = []
  for quality in ("c23", "c40"):
    four = VideoSet(f"FF++ {quality}", FFPP, FOUR, (quality,))
    cross = tuple(VideoSet(name, dataset, DATASETS[dataset].tested) for name, dataset in CROSS_DATASETS.items())
    each = tuple(VideoSet(m, FFPP, (m,), (quality,)) for m in FOUR)
    intra = "ST-ILIF Table 5, DIP Table I, DIL Tables 1-2"
    protocols.append(Protocol(f"intra-dataset-{quality}", four, (four, *each), intra))
    across = "ST-ILIF Tables 10-11, SDR Table II, DIP Table II, DIL Table 3"
    protocols.append(Protocol(f"cross-dataset-{quality}", four, cross, across))
    for left_out in each:
      others = tuple(m for m in FOUR if m != left_out.name)
      train = VideoSet(f"FF++ {quality} without {left_out.name}", FFPP, others, (quality,))
      across = "SDR Table I, DIP Table III"
      protocols.append(Protocol(f"leave-out-{left_out.name}-{quality}", train, (left_out,), across))
  clean = VideoSet("FF++ c23", FFPP, FOUR, ("c23",))
  reals = VideoSet("FF++ c23, real videos", FFPP, ("original",), ("c23",))
  each = tuple(VideoSet(m, FFPP, (m,), ("c23",)) for m in FOUR)
  protocols.append(Protocol("reals-only", reals, (clean, *each, *cross), "this project: config.forgeries=self_made"))

  def distorted(name: str, distortion: str, level: int) -> VideoSet:
    return dataclasses.replace(clean, name=name, distortion=distortion, level=level)

  cells = tuple(distorted(f"{d}-{level}", d, level) for d in DISTORTIONS for level in LEVELS)
  protocols.append(Protocol("robustness", clean, (clean, *cells), "DIP Fig. 6"))
  # Table VIII names the kinds and not their strengths; decision: the middle level of each.
  four_kinds = {"FFhf": "blur", "FFnoise": "gaussian_noise", "FFcolor": "saturation", "FFta": "frame_dropping"}
  kinds = tuple(distorted(name, distortion, 3) for name, distortion in four_kinds.items())
  protocols.append(Protocol("augmentation-robustness", clean, (clean, *kinds), "DIP Table VIII"))
  return {p.name: p for p in protocols}


PROTOCOLS = _protocols()


def get_protocol(name: str) -> Protocol:
  """The protocol of that name.

  Raises:
    UserError: there is none.
  """
  if name not in PROTOCOLS:
    raise unknown("protocol", name, PROTOCOLS)
  return PROTOCOLS[name]


def describe_protocols() -> str:
  """All protocols, a few lines each."""
  lines = []
  for protocol in PROTOCOLS.values():
    names = [videos.name for videos in protocol.test]
    listed = ", ".join(names[:6]) + (f", … ({len(names)} sets)" if names[6:] else "")
    lines += [
      f"{protocol.name}",
      f"  train: {protocol.train.name}",
      f"  test:  {listed}",
      f"  from:  {protocol.reference}",
    ]
  return "\n".join(lines)


def require_selection_on_val(split: str) -> None:
  """Refuses to select a model (checkpoint, threshold, hyper-parameter) on anything but the validation split.

  Raises:
    UserError: `split` is not "val".
  """
  if split != "val":
    raise UserError(
      f"models are selected on the split 'val', not on '{split}': a figure on videos that chose the model says nothing "
      "about others. Cut a validation split from the training videos (by identity) if the dataset has none."
    )


def selection_metric(name: str) -> str:
  """The validation metric that a run selects its best step by.

  Args:
    name: `config.select_metric`, a video-level metric of which more is better, or "val/" and such a one.

  Returns:
    Its name without the split.

  Raises:
    UserError: it is of another split, or no such metric.
  """
  split, _, metric = name.rpartition("/")
  require_selection_on_val(split or "val")
  if metric not in SELECTABLE:
    raise UserError(
      f"config.select_metric is '{name}': a run's best step is the one of highest {' or '.join(SELECTABLE)} on its "
      "validation videos."
    )
  return metric


def check_training(protocol: Protocol, trained: Sequence[TrainedVideo] | None, workdir: pathlib.Path) -> list[str]:
  """Checks that a run was trained on the videos that a protocol says.

  Args:
    protocol: whose `train` is compared.
    trained: what the run has seen, None if nobody knows.
    workdir: of the run.

  Returns:
    Warnings: what cannot be checked, and what the protocol trains on and the run did not.

  Raises:
    UserError: the run has seen videos that the protocol keeps from it.
  """
  if trained is None:
    return [
      f"whether the run was trained as '{protocol.name}' says, and whether test videos leak from training, cannot be "
      f"checked: {workdir} has no {TRAINED_FILE}, and the shards it was trained on are gone."
    ]
  wanted = protocol.train
  foreign = [v for v in trained if not wanted.holds(v)]
  if foreign:
    kinds = ", ".join(sorted({"/".join((v.dataset, v.manipulation, v.compression)) for v in foreign}))
    raise UserError(
      f"protocol '{protocol.name}' trains on {wanted.described()}; the run in {workdir} has seen {len(foreign)} other "
      f"videos ({kinds}), such as '{foreign[0].video_id}'. Train as the protocol says (config.videos chooses), or "
      "score the sets one by one, without --protocol."
    )
  about = workdir / DATASET_FILE
  distortion = read_dataset_file(about).get("choices", {}).get("distortion", "") if about.is_file() else ""
  if distortion != wanted.folder:
    raise UserError(
      f"protocol '{protocol.name}' trains on {wanted.described()}; the videos that the run in {workdir} was trained on "
      f"went through '{distortion}'."
    )
  warnings = []
  for split in ("train", "val"):
    lacking = sorted({*wanted.manipulations} - {v.manipulation for v in trained if v.split == split})
    if lacking:
      warnings.append(
        f"protocol '{protocol.name}' has {', '.join(lacking)} in '{split}'; the run in {workdir} has seen none of "
        "it there. Its figures are not those of the protocol."
      )
  return warnings
