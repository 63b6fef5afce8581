"""How sure a figure is: bootstrap intervals, and the paired comparison of two detectors on the same videos.

A resample draws clusters (identities where known, else videos) with replacement; drawing a cluster twice counts its
videos twice. All resamples of a metric are computed at once from one sort of the scores: with multiplicities w as
weights, the ROC curve of a resample is a cumulative sum over the sorted videos.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from dfdetect_jax.errors import UserError
from dfdetect_jax.evaluation import metrics
from dfdetect_jax.evaluation.scores import VideoScore

RESAMPLES = 2000
LEVEL = 0.95
# Bounds the weights held at a time to some tens of MB.
_CHUNK_ELEMENTS = 1 << 19


def sorted_metrics(y: np.ndarray, s: np.ndarray, w: np.ndarray, threshold: float | None) -> dict[str, np.ndarray]:
  """The figures of `metrics.binary_metrics` for many weightings of the same videos.

  Args:
    y: labels `[N]`, 1 = fake, 0 = real, of videos in descending order of score.
    s: fake probabilities `[N]` in [0, 1], descending.
    w: float64 `[R, N]`, how often each video counts in each weighting; not changed.
    threshold: for `acc_at_threshold`, which is NaN without one.

  Returns:
    float64 `[R]` by metric, NaN where a weighting has one class only.
  """
  total = w.sum(1)
  # Operating points lie between distinct scores: equal scores pass the threshold together.
  last_of_tie = np.append(s[1:] != s[:-1], True)
  start = np.zeros((len(w), 1))
  passed = np.concatenate([start, np.cumsum(w, 1)[:, last_of_tie]], 1)
  true = np.concatenate([start, np.cumsum(w * y, 1)[:, last_of_tie]], 1)
  false = passed - true
  fakes, reals = true[:, -1], false[:, -1]
  with np.errstate(invalid="ignore", divide="ignore"):
    d_true = np.diff(true)
    auc = np.sum(np.diff(false) * (true[:, 1:] + true[:, :-1]), 1) / (2 * fakes * reals)
    precision = np.where(passed[:, 1:] > 0, true[:, 1:] / passed[:, 1:], 0.0)
    ap = np.where(reals > 0, np.sum(d_true * precision, 1) / fakes, np.nan)
    fpr = false / reals[:, None]
    gap = fpr - (1 - true / fakes[:, None])
    after = np.argmax(gap >= 0, 1)
    rows, before = np.arange(len(w)), np.maximum(after - 1, 0)
    along = -gap[rows, before] / (gap[rows, after] - gap[rows, before])
    eer = fpr[rows, before] + along * (fpr[rows, after] - fpr[rows, before])
    right = (s > 0.5) == y
    one_video = np.stack([_log_losses(y, s), right, (s > (1.0 if threshold is None else threshold)) == y], 1)
    log_loss, acc, acc_at_threshold = (w @ one_video.astype(np.float64) / total[:, None]).T
    balanced_acc = ((w @ (right * y)) / fakes + (w @ (right * (1 - y))) / reals) / 2
    tpr = np.where((fakes * reals > 0)[:, None], true / fakes[:, None], np.nan)
    recalls = {
      name: np.where(fpr <= share, tpr, np.where(np.isnan(tpr), np.nan, 0.0)).max(axis=1)
      for name, share in metrics.FALSE_ALARMS.items()
    }
    excess = np.zeros((len(s), metrics.CALIBRATION_BINS))
    excess[np.arange(len(s)), metrics.calibration_bin(s)] = s - y
    ece = np.abs(w @ excess).sum(1) / total
  return {
    "auc": auc,
    "acc": acc,
    "acc_at_threshold": np.full(len(w), np.nan) if threshold is None else acc_at_threshold,
    "balanced_acc": balanced_acc,
    "eer": eer,
    "ap": ap,
    **recalls,
    "log_loss": log_loss,
    "ece": ece,
  }


def _log_losses(y: np.ndarray, s: np.ndarray) -> np.ndarray:
  epsilon = np.finfo(np.float64).eps
  p = np.clip(s, epsilon, 1 - epsilon)
  return -np.where(y == 1, np.log(p), np.log1p(-p))


def _multiplicities(clusters: int, videos: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
  """How often each cluster is drawn, `[r, clusters]` at a time, `resamples` rows in all."""
  rng = np.random.default_rng(seed)
  chunk = max(1, _CHUNK_ELEMENTS // max(videos, 1))
  for first in range(0, resamples, chunk):
    rows = min(chunk, resamples - first)
    drawn = rng.integers(clusters, size=(rows, clusters)) + clusters * np.arange(rows)[:, None]
    yield np.bincount(drawn.ravel(), minlength=rows * clusters).reshape(rows, clusters)


def bootstrap(
  labels: np.ndarray,
  detectors: Sequence[np.ndarray],
  clusters: np.ndarray,
  thresholds: Sequence[float | None],
  resamples: int = RESAMPLES,
  seed: int = 0,
) -> list[dict[str, np.ndarray]]:
  """Figures of several detectors on the same resamples of the same videos.

  Args:
    labels: `[N]`, 1 = fake, 0 = real.
    detectors: fake probabilities `[N]` of each detector.
    clusters: `[N]` integers 0…K-1, videos with the same number are drawn together.
    thresholds: one per detector, for `acc_at_threshold`; None leaves that undefined.
    resamples: number of resamples.
    seed: the same seed draws the same resamples.

  Returns:
    One dict per detector: float64 `[resamples]` by metric, NaN where a resample has one class only.
  """
  orders = [np.argsort(-s, kind="stable") for s in detectors]
  parts: list[list[dict[str, np.ndarray]]] = [[] for _ in detectors]
  for drawn in _multiplicities(int(clusters.max()) + 1, len(labels), resamples, seed):
    drawn = drawn.astype(np.float64)
    for part, s, order, threshold in zip(parts, detectors, orders, thresholds, strict=True):
      part.append(sorted_metrics(labels[order], s[order], drawn[:, clusters[order]], threshold))
  return [{name: np.concatenate([chunk[name] for chunk in part]) for name in part[0]} for part in parts]


def bootstrap_intervals(
  labels: np.ndarray,
  scores: np.ndarray,
  clusters: np.ndarray,
  threshold: float | None = None,
  resamples: int = RESAMPLES,
  seed: int = 0,
) -> dict[str, list[float] | None]:
  """95 % percentile intervals [low, high] by metric; None where the figure or its spread is undefined.

  Resamples with one class only are left out of the intervals of metrics that compare the classes. With fewer than two
  clusters nothing can be resampled; where all resamples give the same figure (one real and one fake video, or a
  detector without an error on a small set) they cannot say how sure it is: [1, 1] would read as certainty.
  """
  if not len(labels) or len(np.unique(clusters)) < 2:
    return dict.fromkeys(metrics.METRICS)
  samples = bootstrap(labels, [scores], clusters, [threshold], resamples, seed)[0]
  return {name: interval(values) for name, values in samples.items()}


def interval(samples: np.ndarray) -> list[float] | None:
  """95 % percentile interval of resampled figures; None if none is finite or all are the same."""
  samples = samples[np.isfinite(samples)]
  if not len(samples) or np.ptp(samples) < 1e-12:  # sums in another order differ by rounding
    return None
  return _quantiles(samples)


def _quantiles(samples: np.ndarray) -> list[float]:
  return [float(q) for q in np.quantile(samples, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])]


def delong(labels: np.ndarray, first: np.ndarray, second: np.ndarray) -> dict:
  """DeLong's test that two detectors have the same AUC on the same videos, taken as independent.

  With ψ(x, y) = 1, ½, 0 for x >, =, < y, the placements V₁₀ᵢ = meanⱼ ψ(fakeᵢ, realⱼ) and V₀₁ⱼ = meanᵢ ψ(fakeᵢ, realⱼ)
  give var(AUC₁ − AUC₂) = var(V₁₀¹ − V₁₀²)/m + var(V₀₁¹ − V₀₁²)/n, computed from mid-ranks in O(N log N).

  Args:
    labels: `[N]`, 1 = fake, 0 = real.
    first, second: fake probabilities `[N]` of the two detectors.

  Returns:
    `auc` of both, `difference` (second − first), `standard_error`, `interval` (95 %) and two-sided `p`. The last two
    are None and `undefined` tells why where fewer than two videos of a class leave no variance, or where it is zero
    although the figures differ.

  Reference: DeLong, DeLong & Clarke-Pearson, Biometrics 1988; mid-ranks: Sun & Xu, IEEE SPL 2014.
  """
  from scipy import stats  # takes half a second

  fake, real = labels == 1, labels == 0
  m, n = int(fake.sum()), int(real.sum())
  result: dict = {"auc": [None, None], "difference": None, "standard_error": None, "interval": None, "p": None}
  if not (m and n):
    return result | {"undefined": "undefined: videos of one class only"}
  placements = []
  for scores in (first, second):
    ranks = stats.rankdata(scores)
    of_fakes = (ranks[fake] - stats.rankdata(scores[fake])) / n
    of_reals = 1 - (ranks[real] - stats.rankdata(scores[real])) / m
    placements.append((of_fakes, of_reals))
  auc = [float(of_fakes.mean()) for of_fakes, _ in placements]
  result |= {"auc": auc, "difference": auc[1] - auc[0]}
  if m < 2 or n < 2:
    return result | {"undefined": "undefined: fewer than two videos of a class"}
  spread = [np.var(b - a, ddof=1) / len(a) for a, b in zip(*placements, strict=True)]
  error = float(np.sqrt(sum(spread)))
  if error == 0 and result["difference"]:
    return result | {"standard_error": error, "undefined": "undefined: the difference has no variance on these videos"}
  reach = stats.norm.ppf((1 + LEVEL) / 2) * error
  return result | {
    "standard_error": error,
    "interval": [result["difference"] - reach, result["difference"] + reach],
    "p": float(2 * stats.norm.sf(abs(result["difference"]) / error)) if error else 1.0,
  }


def compare(
  first: Sequence[VideoScore],
  second: Sequence[VideoScore],
  failed: str = "half",
  thresholds: Sequence[float | None] = (None, None),
  resamples: int = RESAMPLES,
  seed: int = 0,
) -> dict:
  """Paired comparison of two detectors on the same videos.

  Args:
    first, second: score rows of the two; the same videos in any order.
    failed: "half", or "exclude": a video that failed in either is left out of both.
    thresholds: chosen on each one's validation scores.
    resamples, seed: of the bootstrap.

  Returns:
    `n`, `excluded`; `delong` (see there); `bootstrap`: by metric `first`, `second`, `difference` (second − first), its
    95 % `interval` and two-sided `p`, each None where undefined.

  Raises:
    UserError: the two do not hold the same videos with the same labels.
  """
  by_id = {s.video_id: s for s in second}
  only = [s.video_id for s in first if s.video_id not in by_id]
  only += sorted(by_id.keys() - {s.video_id for s in first})
  if only:
    raise UserError(
      f"the two score files do not hold the same videos: {len(only)} stand in one of them only, the first is "
      f"'{only[0]}'. A paired comparison needs every video in both; a video that failed is a row with status failed."
    )
  pairs = [(a, by_id[a.video_id]) for a in first]
  for a, b in pairs:
    if a.label != b.label:
      raise UserError(f"the two score files disagree on the label of '{a.video_id}' ({a.label} and {b.label}).")
  metrics.apply_failed_policy([], failed)  # refuses a policy that does not exist
  used = [(a, b) for a, b in pairs if failed == "half" or not (a.failed or b.failed)]
  labels, scores_a = metrics.labels_and_scores([a for a, _ in used])
  scores_b = metrics.labels_and_scores([b for _, b in used])[1]
  clusters = metrics.clusters([a for a, _ in used])
  figures = [metrics.binary_metrics(labels, s, t) for s, t in zip((scores_a, scores_b), thresholds, strict=True)]
  samples = None
  if len(np.unique(clusters)) >= 2:
    samples = bootstrap(labels, [scores_a, scores_b], clusters, thresholds, resamples, seed)
  by_metric = {}
  for name in metrics.METRICS:
    one, two = (getattr(f, name) for f in figures)
    row = {"first": one, "second": two, "difference": None, "interval": None, "p": None}
    if one is not None and two is not None:
      row["difference"] = two - one
      if samples:
        row |= _paired(samples[1][name] - samples[0][name])
    by_metric[name] = row
  return {
    "n": len(used),
    "excluded": len(pairs) - len(used),
    "delong": delong(labels, scores_a, scores_b),
    "bootstrap": by_metric,
  }


def _paired(differences: np.ndarray) -> dict:
  """Interval and two-sided p-value of a difference from its resamples, with the observed one counted in."""
  differences = differences[np.isfinite(differences)]
  if not len(differences):
    return {}
  tail = min(np.count_nonzero(differences <= 0), np.count_nonzero(differences >= 0))
  return {"interval": _quantiles(differences), "p": min(1.0, 2 * (tail + 1) / (len(differences) + 1))}
