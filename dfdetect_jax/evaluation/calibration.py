"""What a run's validation says about its scores: where to cut, where not to decide, what a score means.

`reliability.json` in the workdir holds it, per checkpoint: the validation scores with what is fitted on them, and the
figures of the test sets that the checkpoint was evaluated on. Whoever scores the validation split writes it
(`record_validation`), whoever judges a video reads it (`read_reliability`).
"""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from dfdetect_jax import files
from dfdetect_jax.evaluation import metrics
from dfdetect_jax.evaluation.scores import SELF_MADE, VideoScore
from dfdetect_jax.evaluation.summary import Figures
from dfdetect_jax.folders import as_folder, write_json
from dfdetect_jax.runs.provenance import now

RELIABILITY_FILE = "reliability.json"
FORMAT = 1
# Share of each class's validation videos that may lie beyond the undecided band, on the wrong side.
RISK = 0.05
TEMPERATURES = (0.02, 50.0)
LAST = 50  # validations and tests that are kept
# Assumed where nothing was validated.
ASSUMED_THRESHOLD, ASSUMED_BAND = 0.5, (0.4, 0.6)
_CURE = "remove it, and score the validation split again with dfdetect_jax.evaluate --split=val"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Decision:
  """How a video's score becomes a verdict.

  Attributes:
    threshold: the score that tells fake from real.
    lower, upper: fake above `upper`, real up to `lower`, undecided between; both are `threshold` if there is no band.
    temperature: of the calibrated probability; None if nothing was fitted.
    pivot: the score of calibrated probability ½, the threshold that was chosen on validation.
    origin: where all this comes from, a sentence.
  """

  threshold: float
  lower: float
  upper: float
  temperature: float | None
  origin: str
  pivot: float = 0.5

  def verdict(self, score: float) -> str:
    """`fake`, `real` or `undecided` for a score in [0, 1]."""
    return "fake" if score > self.upper else "real" if score <= self.lower else "undecided"

  def probability(self, score: float) -> float | None:
    """Calibrated probability that a video of this score is forged, if forgeries are as likely as not beforehand."""
    return None if self.temperature is None else float(tempered(score, self.temperature, self.pivot))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Validation:
  """The validation of one checkpoint.

  Attributes:
    step, weights: of the checkpoint; teacher or student.
    labels, scores: of its videos that could be scored, in order of the score.
    failed: number of videos that could not.
    auc: None with one class only.
    threshold, lower, upper, temperature: fitted on them, see `choose_threshold`, `undecided_band`, `fit_temperature`.
    written: when, UTC.
    self_made: how many of the forgeries the run made itself, of the split's real videos (`evaluation.forged_twins`).
  """

  step: int
  weights: str
  labels: tuple[int, ...]
  scores: tuple[float, ...]
  failed: int
  auc: float | None
  threshold: float
  lower: float
  upper: float
  temperature: float
  written: str
  self_made: int = 0

  @property
  def described(self) -> str:
    """Of what the validation was, in words."""
    real, fake = self.labels.count(0), self.labels.count(1)
    forged = f"{self.self_made} self-made forgeries of these" if self.self_made else f"{fake} forged"
    return f"{len(self.labels)} validation videos ({real} real, {forged})"

  def decision(self) -> Decision:
    """What to judge by."""
    return Decision(
      threshold=self.threshold, lower=self.lower, upper=self.upper, temperature=self.temperature, pivot=self.threshold,
      origin=f"chosen on {self.described} of step {self.step}",
    )  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tested:
  """A test set that a checkpoint was evaluated on: its name, counts, and AUC with 95 % interval (None: undefined)."""

  step: int
  weights: str
  name: str
  real: int
  fake: int
  auc: float | None
  interval: tuple[float, float] | None
  written: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reliability:
  """What is known of one checkpoint: its validation, if it had one with both classes, and its tests by name."""

  validation: Validation | None = None
  tests: tuple[Tested, ...] = ()

  def decision(self) -> Decision:
    """What to judge by: the validation's or, without one, assumptions that `origin` names as such."""
    if self.validation:
      return self.validation.decision()
    return Decision(
      threshold=ASSUMED_THRESHOLD, lower=ASSUMED_BAND[0], upper=ASSUMED_BAND[1], temperature=None,
      origin="assumed: this checkpoint has no validation scores (dfdetect_jax.evaluate --split=val writes them)",
    )  # fmt: skip


def tempered(scores: np.ndarray | float, temperature: float, pivot: float = 0.5) -> np.ndarray:
  """σ((σ⁻¹(p) − σ⁻¹(pivot))/T) of scores in [0, 1], float64.

  Decision: Guo et al. ("On Calibration of Modern Neural Networks", ICML 2017, §4.2) have no pivot. Here it is the
  threshold, so that a video called real never has a probability above ½.
  """
  return 0.5 + 0.5 * np.tanh(_logits(scores, pivot) / (2 * temperature))  # σ, without overflow


def _logits(scores: np.ndarray | float, pivot: float) -> np.ndarray:
  """Logits about that of the pivot; scores of 0 and 1 are moved inside by one float64 epsilon."""
  epsilon = np.finfo(np.float64).eps
  p, middle = np.clip(scores, epsilon, 1 - epsilon), np.clip(pivot, 0.01, 0.99)
  return np.log(p / (1 - p)) - np.log(middle / (1 - middle))


def fit_temperature(labels: np.ndarray, scores: np.ndarray, pivot: float = 0.5) -> float:
  """The temperature of least log-loss, both classes counting alike.

  The targets are Platt's, (n₊ + 1)/(n₊ + 2) and 1/(n₋ + 2) ("Probabilistic Outputs for Support Vector Machines", 1999,
  §2.2), so that a few videos that happen to be told apart do not make a detector infinitely sure.

  Args:
    labels: `[N]`, 1 = fake, 0 = real; both occur.
    scores: fake probabilities `[N]` in [0, 1].
    pivot: see `tempered`.

  Returns:
    T within `TEMPERATURES`; below 1 sharpens, above 1 softens.
  """
  from scipy import optimize  # half a second, which who reads a temperature need not wait for

  labels, scores = np.asarray(labels), np.asarray(scores, np.float64)
  fakes, reals = np.count_nonzero(labels == 1), np.count_nonzero(labels == 0)
  target = np.where(labels == 1, (fakes + 1) / (fakes + 2), 1 / (reals + 2))
  weight = np.where(labels == 1, 0.5 / fakes, 0.5 / reals)
  logits = _logits(scores, pivot)

  def loss(log_temperature: float) -> float:
    z = logits * np.exp(-log_temperature)
    return float(np.sum(weight * (np.logaddexp(0, z) - target * z)))

  return float(np.exp(optimize.minimize_scalar(loss, bounds=np.log(TEMPERATURES), method="bounded").x))


def undecided_band(labels: np.ndarray, scores: np.ndarray, threshold: float) -> tuple[float, float]:
  """Scores between which nothing is decided: beyond them at most `RISK` of a class's videos is on the wrong side.

  One end is the score that only `RISK` of the fakes lie below, the other the one that only `RISK` of the reals lie
  above, as order statistics of conformal prediction (⌈(n + 1)(1 − RISK)⌉-th, or the outermost of few videos). Where
  the classes are told apart they bound the gap in which no video has been seen.

  Args:
    labels: `[N]`, 1 = fake, 0 = real; both occur.
    scores: fake probabilities `[N]` in [0, 1].
    threshold: lies in the band.

  Returns:
    The lower and the upper end.
  """
  labels, scores = np.asarray(labels), np.asarray(scores, np.float64)

  def beyond(values: np.ndarray) -> float:
    rank = min(int(np.ceil((len(values) + 1) * (1 - RISK))), len(values))
    return float(np.sort(values)[rank - 1])

  ends = (beyond(scores[labels == 0]), -beyond(-scores[labels == 1]), threshold)
  return min(ends), max(ends)


def validate(scores: Sequence[VideoScore], step: int, weights: str) -> Validation | None:
  """Fits all that is fitted on validation scores; None if the scored videos are of one class only."""
  scored = sorted(metrics.apply_failed_policy(scores, "exclude"), key=lambda s: s.score)
  labels, values = metrics.labels_and_scores(scored)
  if len(np.unique(labels)) < 2:
    return None
  threshold = metrics.choose_threshold(labels, values)
  lower, upper = undecided_band(labels, values, threshold)
  return Validation(
    step=step, weights=weights, labels=tuple(labels.tolist()), scores=tuple(values.tolist()),
    failed=len(scores) - len(scored), auc=metrics.auc(labels, values), threshold=threshold, lower=lower, upper=upper,
    temperature=fit_temperature(labels, values, threshold), written=now(),
    self_made=sum(s.manipulation == SELF_MADE for s in scored),
  )  # fmt: skip


def record_validation(workdir: pathlib.Path, step: int, weights: str, scores: Sequence[VideoScore]) -> str:
  """Keeps what the validation scores of a checkpoint say with the run.

  Args:
    workdir: of the run.
    step, weights: the checkpoint that made the scores.
    scores: of the validation split, as `score_split` gives them.

  Returns:
    "" or why nothing was kept: one class only, or a workdir that cannot be written.
  """
  validation = validate(scores, step, weights)
  if validation is None:
    return "no threshold is chosen on these validation scores: they are of one class only."
  return _record(workdir, "validations", dataclasses.asdict(validation), ("step", "weights"))


def record_test(workdir: pathlib.Path, step: int, weights: str, name: str, video: Figures) -> str:
  """Keeps the AUC of a test set with the run.

  Args:
    workdir: of the run.
    step, weights: the checkpoint that was evaluated.
    name: of the test set.
    video: its figures at video level.

  Returns:
    "" or why nothing was kept.
  """
  assert video.real is not None and video.fake is not None, "known at video level"
  test = Tested(
    step=step, weights=weights, name=name, real=video.real, fake=video.fake, auc=video.auc,
    interval=video.interval("auc"), written=now(),
  )  # fmt: skip
  return _record(workdir, "tests", dataclasses.asdict(test), ("step", "weights", "name"))


def read_reliability(workdir: str | pathlib.Path, step: int, weights: str) -> Reliability:
  """What is known of a checkpoint; nothing, if the workdir does not say.

  Raises:
    DamagedFile: the file is damaged.
  """
  path = as_folder(workdir) / RELIABILITY_FILE
  content = _read(path)

  def ours(kind: str, cls):
    made = (files.make(cls, entry, f"{path}, {kind}", _CURE) for entry in content[kind])
    return tuple(entry for entry in made if (entry.step, entry.weights) == (step, weights))

  validations = ours("validations", Validation)
  return Reliability(validation=validations[-1] if validations else None, tests=ours("tests", Tested))


def _record(workdir: pathlib.Path, kind: str, entry: dict, keys: Sequence[str]) -> str:
  path = as_folder(workdir) / RELIABILITY_FILE
  content = _read(path)
  others = [e for e in content[kind] if any(e.get(key) != entry[key] for key in keys)][1 - LAST :]
  try:
    write_json(path, files.sealed(content | {kind: [*others, entry]}))
  except OSError as error:
    return f"{path} cannot be written ({error.strerror or error}): predictions will not know these figures."
  return ""


def _read(path: pathlib.Path) -> dict:
  empty: dict[str, Any] = {"format": FORMAT, "validations": [], "tests": []}
  if not path.exists():
    return empty
  content = files.read_json(path, _CURE)
  if content.get("format") != FORMAT:
    raise files.damaged(path, f"format {content.get('format')}, this program reads {FORMAT}", _CURE)
  content = empty | content
  for kind in ("validations", "tests"):
    if type(content[kind]) is not list or any(type(entry) is not dict for entry in content[kind]):
      raise files.damaged(path, f"'{kind}' is no list of objects", _CURE)
  return content
