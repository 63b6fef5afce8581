"""What a score file comes to: figures of sets of videos at three levels, as dataclasses.

`metrics.json` and `report.json` hold them as `to_json` gives them.
"""

import dataclasses
from typing import Any

from dfdetect_jax.files import Path, damaged, make


@dataclasses.dataclass(frozen=True, kw_only=True)
class Figures:
  """The figures of one set at one level.

  Attributes:
    n, real, fake: how many videos (clips, frames) they are of; None at a level that the score file does not know.
    clusters: at video level, how many identities are resampled together.
    auc … ece: the names of `metrics.METRICS`; None where undefined.
    undefined: why, by name of each None.
    intervals: at video level, 95 % intervals by name, None for a figure that has none; None where none were asked for.
    no_interval: why a figure has none, by name.
    cautions: at video level, what makes the figures say less than they seem to, a sentence each.
  """

  n: int | None = None
  real: int | None = None
  fake: int | None = None
  clusters: int | None = None
  auc: float | None = None
  acc: float | None = None
  acc_at_threshold: float | None = None
  balanced_acc: float | None = None
  eer: float | None = None
  ap: float | None = None
  tpr_at_1: float | None = None
  tpr_at_5: float | None = None
  log_loss: float | None = None
  ece: float | None = None
  undefined: dict[str, str]
  intervals: dict[str, list[float] | None] | None = None
  no_interval: dict[str, str] | None = None
  cautions: list[str] | None = None

  def interval(self, name: str) -> tuple[float, float] | None:
    """The 95 % interval of a figure, None where there is none."""
    ends = (self.intervals or {}).get(name)
    return (ends[0], ends[1]) if ends else None


@dataclasses.dataclass(frozen=True)
class Levels:
  """The figures of one set of videos at each level."""

  video: Figures
  clip: Figures
  frame: Figures


@dataclasses.dataclass(frozen=True)
class FailedVideo:
  """A video that could not be scored, and why."""

  video_id: str
  label: int
  reason: str


@dataclasses.dataclass(frozen=True)
class FailedVideos:
  """The videos that could not be scored; the policy says whether figures have them at 0.5 (`half`) or not at all."""

  policy: str
  count: int
  videos: list[FailedVideo]


@dataclasses.dataclass(frozen=True)
class WorstManipulation:
  """The group of `per_manipulation` with the lowest AUC at video level."""

  name: str
  auc: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Summary:
  """All figures of a score file.

  Attributes:
    threshold, threshold_rule: chosen on validation scores, and how; None where there were none.
    failed: the videos that could not be scored.
    overall: figures of all videos.
    per_manipulation, per_dataset, per_compression: of groups by name, see `metrics.groups`.
    worst_manipulation: None where no manipulation has an AUC.
  """

  threshold: float | None
  threshold_rule: str | None
  failed: FailedVideos
  overall: Levels
  per_manipulation: dict[str, Levels]
  per_dataset: dict[str, Levels]
  per_compression: dict[str, Levels]
  worst_manipulation: WorstManipulation | None


# What a level or a call does not have at all is not in the file; an undefined figure is there, as null.
_ABSENT_IF_NONE = ("n", "real", "fake", "clusters", "intervals", "no_interval", "cautions")


def to_json(summary: Summary) -> dict[str, Any]:
  """The summary as `metrics.json` holds it."""
  factory = lambda pairs: {k: v for k, v in pairs if v is not None or k not in _ABSENT_IF_NONE}  # noqa: E731
  return dataclasses.asdict(summary, dict_factory=factory)


def video_level(content: dict[str, Any], path: Path, cure: str) -> dict[str, Figures]:
  """The figures at video level of each set in a `metrics.json`; a file of one set is called by its folder.

  Args:
    content: of the file.
    path: of the file.
    cure: see `files.read_bytes`.

  Raises:
    DamagedFile: it holds something else.
  """
  sets = content.get("sets") or {path.parent.name: content}
  try:
    levels = {str(name): dict(summary["overall"]["video"]) for name, summary in sets.items()}
  except (AttributeError, KeyError, TypeError, ValueError) as error:
    raise damaged(path, "no figures of sets are in it", cure) from error
  return {name: make(Figures, level, f"{path}, '{name}'", cure) for name, level in levels.items()}
