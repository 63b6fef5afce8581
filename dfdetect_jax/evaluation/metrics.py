"""Figures of a detector from labels and scores, at video, clip and frame level.

scikit-learn computes what it has; the equal error rate and the calibration error are computed here. With one class
only, a figure that compares the two classes is `None` and the reason is told beside it, so that a report can print
"undefined: …" instead of a number that means nothing.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from jaxtyping import Float, Int

from dfdetect_jax.errors import UserError
from dfdetect_jax.evaluation.scores import VideoScore
from dfdetect_jax.evaluation.summary import FailedVideo, FailedVideos, Figures, Levels, Summary, WorstManipulation

# name -> what a table prints above the column
METRICS = {
  "auc": "AUC",
  "acc": "ACC@0.5",
  "acc_at_threshold": "ACC@val",
  "balanced_acc": "balanced ACC@0.5",
  "eer": "EER",
  "ap": "AP",
  "tpr_at_1": "TPR@FPR 1 %",
  "tpr_at_5": "TPR@FPR 5 %",
  "log_loss": "log-loss",
  "ece": "ECE",
}
NEEDS_BOTH_CLASSES = ("auc", "eer", "ap", "balanced_acc", "tpr_at_1", "tpr_at_5")
# metric -> share of real videos that may be called fake
FALSE_ALARMS = {"tpr_at_1": 0.01, "tpr_at_5": 0.05}
# With fewer identities of a class an interval says little, and the report says so.
FEW_CLUSTERS = 10
CALIBRATION_BINS = 15
FAILED_POLICIES = ("half", "exclude")
THRESHOLD_RULE = "highest balanced accuracy on the validation scores"

# Labels, 1 = fake, 0 = real, and fake probabilities of the same N videos (clips, frames).
Labels = Int[np.ndarray, " N"]
Scores = Float[np.ndarray, " N"]
# (labels, scores, clusters, threshold) -> 95 % interval by metric
Intervals = Callable[[np.ndarray, np.ndarray, np.ndarray, float | None], dict[str, list[float] | None]]


def _sk():
  """scikit-learn's metrics, which take a second to import: a program's --help need not wait for them."""
  from sklearn import metrics

  return metrics


def auc(labels: Labels, scores: Scores) -> float | None:
  """Area under the ROC curve, P(fake scores above real) + ½ P(tie); None with one class only.

  >>> auc(np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.4, 0.8]))  # of four pairs three in order, one tie
  0.875
  """
  return float(_sk().roc_auc_score(labels, scores)) if _both_classes(labels) else None


def average_precision(labels: Labels, scores: Scores) -> float | None:
  """Average precision Σₙ (Rₙ − Rₙ₋₁) Pₙ over the distinct scores, without interpolation; None with one class only.

  >>> average_precision(np.array([1, 0, 1]), np.array([0.9, 0.5, 0.1]))  # ½ · 1 + ½ · ⅔
  0.8333333333333333
  """
  return float(_sk().average_precision_score(labels, scores)) if _both_classes(labels) else None


def equal_error_rate(labels: Labels, scores: Scores) -> float | None:
  """Error rate where false-positive and false-negative rate are equal; None with one class only.

  The ROC curve is taken as the polyline through its operating points (a tie between the classes is one slanted step),
  and cut with the line FPR = 1 − TPR.

  >>> equal_error_rate(np.array([0, 0, 0, 0, 1, 1, 1, 1]), np.array([0.1, 0.2, 0.3, 0.6, 0.4, 0.7, 0.8, 0.9]))
  0.25
  """
  if not _both_classes(labels):
    return None
  fpr, tpr, _ = _sk().roc_curve(labels, scores, drop_intermediate=False)
  gap = fpr - (1 - tpr)  # grows from -1 to 1 along the curve
  after = int(np.argmax(gap >= 0))
  before = after - 1
  along = -gap[before] / (gap[after] - gap[before])
  return float(fpr[before] + along * (fpr[after] - fpr[before]))


def recall_at(labels: Labels, scores: Scores, false_alarms: float) -> float | None:
  """Most fakes that a threshold finds while at most a share of the real videos is called fake; None with one class.

  A point of the ROC curve that some threshold reaches, never one between two: with fewer than 1 / `false_alarms` real
  videos it is the recall at no false alarm at all.

  >>> labels, scores = np.array([0, 0, 0, 0, 1, 1, 1, 1]), np.array([0.1, 0.2, 0.3, 0.6, 0.4, 0.7, 0.8, 0.9])
  >>> recall_at(labels, scores, 0.05), recall_at(labels, scores, 0.25)  # no real video above, then one
  (0.75, 1.0)
  """
  if not _both_classes(labels):
    return None
  fpr, tpr, _ = _sk().roc_curve(labels, scores, drop_intermediate=False)
  return float(tpr[fpr <= false_alarms].max())


def balanced_accuracy(labels: Labels, scores: Scores, threshold: float = 0.5) -> float | None:
  """Mean of the shares of fakes and of real videos that are judged right; None with one class only.

  >>> balanced_accuracy(np.array([0, 0, 1]), np.array([0.2, 0.9, 0.8]))  # of the reals one half, of the fakes all
  0.75
  """
  return float(_sk().balanced_accuracy_score(labels, scores > threshold)) if _both_classes(labels) else None


def accuracy(labels: Labels, scores: Scores, threshold: float = 0.5) -> float:
  """Share of right decisions where "fake" means a score above `threshold` (a failed video's 0.5 is thus "real").

  >>> accuracy(np.array([0, 1, 1, 1]), np.array([0.5, 0.5, 0.6, 0.9]))
  0.75
  """
  return float(_sk().accuracy_score(labels, scores > threshold))


def log_loss(labels: Labels, scores: Scores) -> float:
  """Mean negative log-likelihood in nats; scores of 0 and 1 are moved inside by one float64 epsilon.

  >>> round(log_loss(np.array([0, 1]), np.array([0.5, 0.5])), 6)  # ln 2
  0.693147
  """
  return float(_sk().log_loss(labels, scores, labels=[0, 1]))


def calibration_bin(scores: Scores) -> Int[np.ndarray, " N"]:
  """Number of the calibration bin of each score: `CALIBRATION_BINS` equal bins of [0, 1], closed on the right.

  >>> calibration_bin(np.array([0.0, 0.05, 0.5, 1.0])).tolist()
  [0, 0, 7, 14]
  """
  return np.searchsorted(np.linspace(0, 1, CALIBRATION_BINS + 1)[1:-1], scores)


def calibration_error(labels: Labels, scores: Scores) -> float:
  """Expected calibration error Σ_b (n_b / n) |mean fake probability in b − share of fakes in b|.

  Reference: Naeini et al., "Obtaining Well Calibrated Probabilities Using Bayesian Binning", AAAI 2015, for the
  probability of the positive class.

  >>> round(calibration_error(np.array([0, 1]), np.array([0.9, 0.9])), 6)  # one bin: 0.9 said, half of them fake
  0.4
  """
  excess = np.bincount(calibration_bin(scores), weights=scores - labels, minlength=CALIBRATION_BINS)
  return float(np.abs(excess).sum() / len(scores))


def choose_threshold(labels: Labels, scores: Scores) -> float:
  """Threshold of highest balanced accuracy, to be chosen on validation scores: one rule for reports and predictions.

  Decision: the mean of both classes' accuracies is maximised, not the share of right decisions: validation splits hold
  several forgeries of each real video, and a rule that follows that mixture calls real videos fake. Papers' accuracies
  are at 0.5 (`acc`), which no threshold chosen here touches.

  Candidates lie half-way between neighbouring scores (and at 0 and 1: everything with evidence is fake, nothing is).
  Of equally good ones the one nearest to 0.5 is taken, then the lower.

  Args:
    labels: `[N]`, 1 = fake, 0 = real.
    scores: fake probabilities `[N]` in [0, 1].

  Raises:
    UserError: the scores are of one class only, which cannot say where to cut.

  >>> choose_threshold(np.array([0, 0, 1, 1]), np.array([0.1, 0.3, 0.5, 0.9]))
  0.4
  """
  if not _both_classes(labels):
    raise UserError(f"a threshold cannot be chosen on these validation scores: {_one_class(labels)}.")
  values = np.unique(scores)
  candidates = np.unique(np.concatenate([[0.0, 0.5, 1.0], (values[:-1] + values[1:]) / 2]))
  fakes, reals = np.sort(scores[labels == 1]), np.sort(scores[labels == 0])
  # Integers, so that equally good candidates are equal: each class counts as often as the other has videos.
  right = len(reals) * (len(fakes) - np.searchsorted(fakes, candidates, "right"))
  right += len(fakes) * np.searchsorted(reals, candidates, "right")
  best = candidates[right == right.max()]
  return float(best[np.argmin(np.abs(best - 0.5))])


def binary_metrics(labels: Labels, scores: Scores, threshold: float | None = None) -> Figures:
  """Every metric of one set of scores.

  Args:
    labels: `[N]`, 1 = fake, 0 = real.
    scores: fake probabilities `[N]` in [0, 1].
    threshold: chosen on validation scores; None leaves `acc_at_threshold` undefined.

  Returns:
    The figures alone: no counts, intervals or cautions.
  """
  labels, scores = np.asarray(labels, np.int64), np.asarray(scores, np.float64)
  if not len(labels):
    return Figures(undefined=dict.fromkeys(METRICS, "undefined: nothing was scored"))
  undefined = {}
  if threshold is None:
    undefined["acc_at_threshold"] = "undefined: no validation scores were given to choose a threshold on"
  if not _both_classes(labels):
    undefined |= dict.fromkeys(NEEDS_BOTH_CLASSES, f"undefined: {_one_class(labels)}")
  return Figures(
    auc=auc(labels, scores),
    acc=accuracy(labels, scores),
    acc_at_threshold=None if threshold is None else accuracy(labels, scores, threshold),
    balanced_acc=balanced_accuracy(labels, scores),
    eer=equal_error_rate(labels, scores),
    ap=average_precision(labels, scores),
    tpr_at_1=recall_at(labels, scores, FALSE_ALARMS["tpr_at_1"]),
    tpr_at_5=recall_at(labels, scores, FALSE_ALARMS["tpr_at_5"]),
    log_loss=log_loss(labels, scores),
    ece=calibration_error(labels, scores),
    undefined=undefined,
  )


def apply_failed_policy(scores: Sequence[VideoScore], failed: str) -> list[VideoScore]:
  """The rows that are evaluated: all of them with failed videos at 0.5 (`half`), or without them (`exclude`)."""
  if failed not in FAILED_POLICIES:
    raise UserError(f"failed videos cannot be treated by '{failed}': choose one of {', '.join(FAILED_POLICIES)}.")
  return [s for s in scores if failed == "half" or not s.failed]


def labels_and_scores(scores: Sequence[VideoScore]) -> tuple[Labels, Scores]:
  """Labels int64 `[N]` and fake probabilities float64 `[N]` of the videos."""
  return np.array([s.label for s in scores], np.int64), np.array([s.score for s in scores], np.float64)


def clusters(scores: Sequence[VideoScore]) -> Int[np.ndarray, " N"]:
  """What is resampled together, int64 `[N]`: the identity where known, else the video.

  Of "a+b" the first is taken, the person whose footage it is; in datasets that swap everyone with everyone the donors
  would tie all videos into one.
  """
  keys = [f"{s.dataset}\n{s.identity.split('+')[0]}" if s.identity else f"\n\n{s.video_id}" for s in scores]
  return np.unique(keys, return_inverse=True)[1] if keys else np.zeros(0, np.int64)


def clip_level(scores: Sequence[VideoScore]) -> tuple[Labels, Scores] | str:
  """Labels and probabilities of all clips of the videos that were scored, or the reason why they are not known."""
  scored = [s for s in scores if not s.failed]
  if any(not s.clip_scores for s in scored):
    return "undefined: the score file does not hold the scores of the clips"
  pairs = [(s.label, p) for s in scored for clips in s.clip_scores for p in clips]
  return np.array([y for y, _ in pairs], np.int64), np.array([p for _, p in pairs], np.float64)


def frame_level(scores: Sequence[VideoScore]) -> tuple[Labels, Scores] | str:
  """Labels and probabilities of all frames that some clip covers, or the reason why they are not known.

  A frame of a face track is given the mean probability of the clips of that track that cover it.
  """
  scored = [s for s in scores if not s.failed]
  if any(not (s.clip_scores and s.clip_starts and s.clip_frames) for s in scored):
    return "undefined: the score file does not say which consecutive frames each clip covers"
  labels, values = [np.zeros(0, np.int64)], [np.zeros(0, np.float64)]
  for video in scored:
    for starts, clips in zip(video.clip_starts, video.clip_scores, strict=True):
      frames = (np.asarray(starts)[:, None] + np.arange(video.clip_frames)).ravel()
      frames -= frames.min()
      covered = np.bincount(frames)
      total = np.bincount(frames, weights=np.repeat(clips, video.clip_frames))
      values.append(total[covered > 0] / covered[covered > 0])
      labels.append(np.full(len(values[-1]), video.label))
  return np.concatenate(labels), np.concatenate(values)


def groups(scores: Sequence[VideoScore]) -> dict[str, dict[str, list[VideoScore]]]:
  """The sets that figures are given for: `per_manipulation`, `per_dataset`, `per_compression`, each by name.

  A manipulation is judged against all real videos of its dataset and compression, or of its dataset where that
  compression has none (DeeperForensics' reals are FaceForensics++'s); its name is `dataset/manipulation/compression`
  without the parts that are not known.
  """
  by_key: dict[str, dict[str, list[VideoScore]]] = {"per_manipulation": {}, "per_dataset": {}, "per_compression": {}}
  for key in sorted({(s.dataset, s.manipulation, s.compression) for s in scores if s.label == 1}):
    dataset, manipulation, compression = key
    reals = [s for s in scores if s.label == 0 and s.dataset == dataset]
    reals = [s for s in reals if s.compression == compression] or reals
    fakes = [s for s in scores if s.label == 1 and (s.dataset, s.manipulation, s.compression) == key]
    name = "/".join(part for part in (dataset, manipulation or "unnamed", compression) if part)
    by_key["per_manipulation"][name] = reals + fakes
  for level, attribute in (("per_dataset", "dataset"), ("per_compression", "compression")):
    for value in sorted({getattr(s, attribute) for s in scores}):
      by_key[level][value or "unnamed"] = [s for s in scores if getattr(s, attribute) == value]
  return by_key


def summarise(
  scores: Sequence[VideoScore],
  failed: str = "half",
  threshold: float | None = None,
  intervals: Intervals | None = None,
) -> Summary:
  """All figures of a score file.

  Args:
    scores: the rows of the score file.
    failed: "half" scores failed videos 0.5, "exclude" leaves them out; they are listed either way.
    threshold: chosen on validation scores, see `choose_threshold`.
    intervals: computes 95 % intervals of the video-level figures (`statistics.bootstrap_intervals`); None: none.
  """
  used = apply_failed_policy(scores, failed)

  def figures(members: list[VideoScore]) -> Levels:
    labels, values = labels_and_scores(members)
    cluster = clusters(members)
    video = dataclasses.replace(
      _counted(labels, values, threshold), clusters=len(np.unique(cluster)), cautions=cautions(labels, cluster)
    )
    if intervals:
      found = intervals(labels, values, cluster, threshold)
      video = dataclasses.replace(video, intervals=found, no_interval=_no_interval(video, found))
    clip, frame = (
      Figures(undefined=dict.fromkeys(METRICS, level)) if isinstance(level, str) else _counted(*level, threshold)
      for level in (clip_level(members), frame_level(members))
    )
    return Levels(video, clip, frame)

  by_group = {level: {name: figures(m) for name, m in members.items()} for level, members in groups(used).items()}
  failures = [FailedVideo(s.video_id, s.label, s.reason) for s in scores if s.failed]
  return Summary(
    threshold=threshold,
    threshold_rule=None if threshold is None else THRESHOLD_RULE,
    failed=FailedVideos(failed, len(failures), failures),
    overall=figures(used),
    **by_group,
    worst_manipulation=_worst({name: levels.video.auc for name, levels in by_group["per_manipulation"].items()}),
  )


def cautions(labels: Labels, cluster: Int[np.ndarray, " N"]) -> list[str]:
  """What makes the figures of a set say less than they seem to, a sentence each.

  Args:
    labels: `[N]`, 1 = fake, 0 = real.
    cluster: `[N]`, what is resampled together, see `clusters`.
  """
  if not _both_classes(labels):
    return []
  sentences = []
  people = {name: len(np.unique(cluster[labels == y])) for name, y in (("real", 0), ("fake", 1))}
  few = [f"{count} {name}" for name, count in people.items() if count < FEW_CLUSTERS]
  if few:
    sentences.append(
      f"few to judge by ({' and '.join(few)} by identity): figures and intervals say little about others"
    )
  reals = int((labels == 0).sum())
  coarse = [METRICS[name] for name, share in FALSE_ALARMS.items() if reals * share < 1]
  if coarse:
    sentences.append(f"with {reals} real video{'s' * (reals > 1)}, {' and '.join(coarse)} allow no false alarm at all")
  return sentences


def _no_interval(video: Figures, intervals: Mapping[str, list[float] | None]) -> dict[str, str]:
  """Why the figures that are defined have no interval."""
  if (video.clusters or 0) < 2:
    reason = "all videos are of one identity: there is nothing to draw from"
  else:
    reason = "all resamples give the same figure: these videos cannot say how sure it is"
  return {name: reason for name in METRICS if getattr(video, name) is not None and intervals.get(name) is None}


def _worst(aucs: Mapping[str, float | None]) -> WorstManipulation | None:
  known = {name: value for name, value in aucs.items() if value is not None}
  name = min(known, key=lambda name: known[name], default=None)
  return None if name is None else WorstManipulation(name, known[name])


def _counted(labels: Labels, scores: Scores, threshold: float | None) -> Figures:
  """The figures with how many videos (clips, frames) they are of."""
  real, fake = (int((labels == value).sum()) for value in (0, 1))
  return dataclasses.replace(binary_metrics(labels, scores, threshold), n=len(labels), real=real, fake=fake)


def _both_classes(labels: Labels) -> bool:
  return 0 < int(np.count_nonzero(labels)) < len(labels)


def _one_class(labels: Labels) -> str:
  return "all of them are fake" if np.any(labels) else "all of them are real" if len(labels) else "there are none"
