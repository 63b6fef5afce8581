"""What a run trains on and is validated on, and how long that makes it."""

import dataclasses
import math
from collections.abc import Sequence

import ml_collections

from dfdetect_jax.data.forgeries import Forgeries
from dfdetect_jax.data.loader import examples, long_enough
from dfdetect_jax.data.videos import VideoSet, check_splits, check_validation, select
from dfdetect_jax.errors import UserError
from dfdetect_jax.methods.method import ClipSpec
from dfdetect_jax.schema import Track, read_tracks


@dataclasses.dataclass(frozen=True)
class TrainingVideos:
  """The videos of a run.

  Attributes:
    wanted: the set that `config.videos` describes.
    everything: its tracks of all splits.
    tracks: those trained on: of the train split, at least a clip long.
    too_short: number of training tracks left out because they are not.
    epoch: examples of one pass.
    total_steps: length of the run.
    validates: whether some track of the val split can be scored.
    warnings: what must be said before training.
    forges_validation: whether validation makes the forgeries that val lacks.
  """

  wanted: VideoSet
  everything: list[Track]
  tracks: list[Track]
  too_short: int
  epoch: int
  total_steps: int
  validates: bool
  warnings: list[str]
  forges_validation: bool = False


def training_videos(config: ml_collections.ConfigDict, spec: ClipSpec) -> TrainingVideos:
  """Reads the track list of `config.data` and chooses from it.

  Raises:
    UserError: there is nothing to train on, the run has no length, two splits share what they must not, or val has one
      class.
  """
  wanted = VideoSet("config.videos", **config.videos)
  stored = read_tracks(config.data)
  chosen = select(stored, wanted, "train")
  everything = [t for t in stored if wanted.holds(t)]
  warnings = check_splits(everything)
  forgeries = Forgeries(config.forgeries, config.forging.landmarks)
  forges = _forged_validation(everything, spec, forgeries)
  if forges:
    warnings.append(
      f"no fake video in the validation split: fixed self-made forgeries of its {forges} real tracks take their place."
    )
  else:
    check_validation(everything, spec.least)
  tracks, short = long_enough(chosen, spec.frames)
  tracks, bare = forgeries.choose(tracks)
  if bare:
    warnings.append(f"{len(bare)} real training tracks have no landmarks and are left out, such as {bare[0].video_id}.")
  if forgeries.source == "self_made":  # a run has not seen the forgeries that it passes by
    everything = [t for t in everything if t.split != "train" or t.label == 0]
  epoch = len(examples(tracks, spec, config.unpaired, forgeries))
  total_steps = config.total_steps or steps_of(config, epoch)
  if total_steps <= 0:
    raise UserError("the run has no length: set config.total_steps or config.epochs.")
  validates = any(t.split == "val" and t.frames >= spec.least for t in everything)
  return TrainingVideos(wanted, everything, tracks, len(short), epoch, total_steps, validates, warnings, forges > 0)


def _forged_validation(everything: Sequence[Track], spec: ClipSpec, forgeries: Forgeries) -> int:
  """Number of val tracks to be validated on beside forgeries of them: 0 unless the run makes some and val has none."""
  val = [t for t in everything if t.split == "val" and t.frames >= spec.least]
  if not forgeries.makes() or any(t.label == 1 for t in val):
    return 0
  return sum(forgeries.can_be_made_of(t) for t in val)


def steps_of(config: ml_collections.ConfigDict, epoch: int) -> int:
  """Steps that `config.epochs` passes over an epoch of so many examples take."""
  return math.ceil(config.epochs * epoch / config.batch_size)


def steps_on(config: ml_collections.ConfigDict, spec: ClipSpec, tracks: Sequence[Track]) -> int:
  """Length of a run that would be trained on these tracks of the train split."""
  forgeries = Forgeries(config.forgeries, config.forging.landmarks)
  usable, _ = forgeries.choose(long_enough(tracks, spec.frames)[0])
  return config.total_steps or steps_of(config, len(examples(usable, spec, config.unpaired, forgeries)))
