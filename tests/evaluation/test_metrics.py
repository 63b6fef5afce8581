"""Figures: agreement with scikit-learn, with definitions written out, and honesty where a figure is undefined."""

import csv
import math

import numpy as np
import pytest
from scipy.interpolate import interp1d
from scipy.optimize import brentq
from sklearn import calibration
from sklearn import metrics as sk

from dfdetect_jax.errors import UserError
from dfdetect_jax.evaluation import metrics, scores, statistics
from dfdetect_jax.evaluation.scores import VideoScore, failed_video
from dfdetect_jax.evaluation.summary import FailedVideo, WorstManipulation, to_json

RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 2, 300)
INPUTS = {
  "random": (LABELS, np.clip(0.3 * LABELS + 0.6 * RNG.random(300), 0, 1)),
  "tied": (LABELS, np.round(0.3 * LABELS + 0.6 * RNG.random(300), 1)),
  "constant": (LABELS, np.full(300, 0.5)),
  "extreme": (LABELS, np.round(RNG.random(300))),
  "perfect": (LABELS, LABELS.astype(float)),
  "reversed": (LABELS, 1.0 - LABELS),
  "fakes only": (np.ones(50, np.int64), RNG.random(50)),
  "reals only": (np.zeros(50, np.int64), np.round(RNG.random(50), 1)),
  "two": (np.array([1, 0]), np.array([0.4, 0.6])),
}


def _auc_by_pairs(labels, values):
  fakes, reals = values[labels == 1][:, None], values[labels == 0][None]
  return np.mean((fakes > reals) + 0.5 * (fakes == reals))


@pytest.mark.parametrize("name", INPUTS)
def test_agrees_with_scikit_learn_and_definitions(name):
  """Guards every metric, and the bootstrap's own formulas with weight one, to 1e-12."""
  labels, values = INPUTS[name]
  got = vars(metrics.binary_metrics(labels, values, 0.25))
  order = np.argsort(-values, kind="stable")
  weighted = statistics.sorted_metrics(labels[order], values[order], np.ones((1, len(labels))), 0.25)
  expected = {
    "acc": sk.accuracy_score(labels, values > 0.5),
    "acc_at_threshold": sk.accuracy_score(labels, values > 0.25),
    "log_loss": sk.log_loss(labels, values, labels=[0, 1]),
    "ece": _ece_by_bins(labels, values),
  }
  if 0 < labels.sum() < len(labels):
    fpr, tpr, _ = sk.roc_curve(labels, values, drop_intermediate=False)
    expected |= {
      "auc": _auc_by_pairs(labels, values),
      "ap": sk.average_precision_score(labels, values),
      "balanced_acc": sk.balanced_accuracy_score(labels, values > 0.5),
      **{f"tpr_at_{n}": _recall_by_thresholds(labels, values, n) for n in (1, 5)},
      "eer": brentq(lambda x: 1 - x - interp1d(fpr, tpr)(x), 0, 1, xtol=1e-14) if name not in _STEEP else _STEEP[name],
    }
    assert got["auc"] == pytest.approx(sk.roc_auc_score(labels, values), abs=1e-12)
    assert got["undefined"] == {}
  else:
    only = "all of them are fake" if labels[0] else "all of them are real"
    of_both = ("auc", "eer", "ap", "balanced_acc", "tpr_at_1", "tpr_at_5")
    assert got["undefined"] == dict.fromkeys(of_both, f"undefined: {only}")
    assert {got[m] for m in of_both} == {None}
    assert np.isnan([weighted[m][0] for m in of_both]).all()
  for metric, value in expected.items():
    assert got[metric] == pytest.approx(value, abs=1e-12), metric
    assert weighted[metric][0] == pytest.approx(value, abs=1e-12), metric


def _recall_by_thresholds(labels, values, per_cent):
  """Every score as a threshold, counted in whole videos."""
  fakes, reals = values[labels == 1], values[labels == 0]
  allowed = [t for t in (*values, 2.0) if 100 * int((reals >= t).sum()) <= per_cent * len(reals)]
  return max((fakes >= t).mean() for t in allowed)


# The ROC curve has vertical parts at FPR 0 or 1 only, where an interpolating function of FPR is ambiguous.
_STEEP = {"perfect": 0.0, "reversed": 1.0, "two": 1.0}


def _ece_by_bins(labels, values):
  """Sum over scikit-learn's reliability curve, with the bin counts it does not return."""
  share, mean = calibration.calibration_curve(labels, values, n_bins=15) if len(set(labels)) == 2 else (None, None)
  total, shown = 0.0, 0
  for low in range(15):
    inside = (values > low / 15) & (values <= (low + 1) / 15) | ((low == 0) & (values == 0))
    if inside.any():
      if share is not None:
        assert mean[shown] == pytest.approx(values[inside].mean(), abs=1e-12)
        assert share[shown] == pytest.approx(labels[inside].mean(), abs=1e-12)
      total += inside.sum() / len(values) * abs(values[inside].mean() - labels[inside].mean())
      shown += 1
  return total


def test_threshold_is_the_best_on_validation():
  """Guards the validation-chosen threshold against every possible cut."""
  labels, values = INPUTS["tied"]
  chosen = metrics.choose_threshold(labels, values)
  judged_fake = values > np.linspace(-0.001, 1.001, 5001)[:, None]
  recall, specificity = judged_fake[:, labels == 1].mean(axis=1), 1 - judged_fake[:, labels == 0].mean(axis=1)
  best = ((recall + specificity) / 2).max()
  assert sk.balanced_accuracy_score(labels, values > chosen) == pytest.approx(best, abs=1e-12)
  assert metrics.choose_threshold(np.array([0, 1]), np.array([0.1, 0.9])) == 0.5
  with pytest.raises(UserError, match="all of them are real"):
    metrics.choose_threshold(np.zeros(3, int), np.array([0.1, 0.2, 0.3]))


def _row(name, label, score, manipulation, dataset="D", compression="c23", **more):
  return VideoScore(
    video_id=f"{dataset}/{manipulation}/{compression}/{name}",
    label=label,
    score=score,
    dataset=dataset,
    manipulation=manipulation,
    compression=compression,
    split="test",
    **more,
  )


def _two_datasets():
  rng = np.random.default_rng(1)
  rows = []
  for dataset, compression, kinds in (("D", "c23", "AB"), ("D", "c40", "AB"), ("E", "", "A")):
    for i in range(20):
      rows.append(_row(i, 0, rng.random(), "original", dataset, compression, identity=f"{i}"))
      rows.extend(_row(i, 1, rng.random(), k, dataset, compression, identity=f"{i}+{i + 1}") for k in kinds)
  return rows


def test_a_manipulation_is_judged_against_its_own_reals():
  """Guards against reals of another dataset or compression in a manipulation's figures, and against merged groups."""
  rows = _two_datasets()
  summary = metrics.summarise(rows)
  assert list(summary.per_manipulation) == ["D/A/c23", "D/A/c40", "D/B/c23", "D/B/c40", "E/A"]
  for name, levels in summary.per_manipulation.items():
    dataset, kind, compression = (name.split("/") + [""])[:3]
    fakes = [s for s in rows if s.label and (s.dataset, s.manipulation, s.compression) == (dataset, kind, compression)]
    reals = [s for s in rows if not s.label and (s.dataset, s.compression) == (dataset, compression)]
    labels, values = metrics.labels_and_scores(fakes + reals)
    assert levels.video.auc == pytest.approx(sk.roc_auc_score(labels, values), abs=1e-12)
    assert (levels.video.n, levels.video.real, levels.video.fake) == (40, 20, 20)
    # The fake i+(i+1) is footage of i: as many clusters as people.
    assert levels.video.clusters == 20
  assert {k: v.video.n for k, v in summary.per_dataset.items()} == {"D": 120, "E": 40}
  assert {k: v.video.n for k, v in summary.per_compression.items()} == {"c23": 60, "c40": 60, "unnamed": 40}
  assert summary.overall.video.n == 160


def test_scikit_learn_alone_gives_the_same_figures(tmp_path):
  """Guards the promise of the score file: its columns and scikit-learn suffice, nothing of this package."""
  rows = [*_two_datasets(), failed_video("D/A/c23/x", 1, "no face", dataset="D", manipulation="A", compression="c23")]
  scores.write_scores(tmp_path / "scores.csv", rows)
  with open(tmp_path / "scores.csv", newline="") as file:
    rows = list(csv.DictReader(file))
  labels, values = np.array([int(r["label"]) for r in rows]), np.array([float(r["score"]) for r in rows])
  overall = metrics.summarise(scores.read_scores(tmp_path / "scores.csv")).overall.video
  assert overall.auc == pytest.approx(sk.roc_auc_score(labels, values), abs=1e-12)
  assert overall.ap == pytest.approx(sk.average_precision_score(labels, values), abs=1e-12)
  assert overall.log_loss == pytest.approx(sk.log_loss(labels, values), abs=1e-12)
  assert overall.acc == pytest.approx(sk.accuracy_score(labels, values > 0.5), abs=1e-12)


def test_failed_videos_are_counted_either_way():
  """Guards against videos that silently vanish: `half` scores them 0.5, `exclude` leaves them out, both list them."""
  rows = [_row(0, 0, 0.1, "original"), _row(1, 1, 0.9, "A"), failed_video("D/A/c23/2", 1, "no face", dataset="D")]
  half, without = metrics.summarise(rows, "half"), metrics.summarise(rows, "exclude")
  assert (half.overall.video.n, without.overall.video.n) == (3, 2)
  assert half.overall.video.log_loss == pytest.approx(-(2 * math.log(0.9) + math.log(0.5)) / 3, abs=1e-12)
  assert without.overall.video.log_loss == pytest.approx(-math.log(0.9), abs=1e-12)
  for summary in (half, without):
    assert summary.failed.count == 1
    assert summary.failed.videos == [FailedVideo("D/A/c23/2", 1, "no face")]
  with pytest.raises(UserError, match="drop"):
    metrics.summarise(rows, "drop")


def test_one_class_only_is_told_not_raised():
  """Guards against a crash (or a number) on a folder of fakes only, and on no scored video at all."""
  only = metrics.summarise([_row(i, 1, 0.7, "A") for i in range(3)], intervals=statistics.bootstrap_intervals)
  video = only.overall.video
  assert video.auc is None and video.undefined["auc"] == "undefined: all of them are fake"
  assert video.acc == 1.0 and video.intervals["auc"] is None and "auc" not in video.no_interval
  none = metrics.summarise([failed_video("a", 1, "no face")], "exclude", intervals=statistics.bootstrap_intervals)
  assert none.overall.video.undefined["acc"] == "undefined: nothing was scored"


def test_an_interval_that_means_nothing_is_none():
  """Guards against "AUC 100 [100, 100]" of one real and one fake video: no interval, and the reason beside it."""
  two = metrics.summarise(
    [_row(0, 0, 0.1, "original"), _row(1, 1, 0.9, "A")], intervals=statistics.bootstrap_intervals
  ).overall.video
  assert two.auc == 1.0 and two.intervals["auc"] is None
  assert "all resamples give the same" in two.no_interval["auc"] and two.intervals["log_loss"] is None
  assert two.cautions[0].startswith("few to judge by (1 real and 1 fake by identity)")
  assert two.cautions[1] == "with 1 real video, TPR@FPR 1 % and TPR@FPR 5 % allow no false alarm at all"
  rng = np.random.default_rng(0)
  rows = [_row(i, i % 2, 0.3 * (i % 2) + 0.7 * rng.random(), "A" if i % 2 else "original") for i in range(300)]
  many = metrics.summarise(rows, intervals=statistics.bootstrap_intervals).overall.video
  assert many.cautions == [] and many.no_interval == {} and many.intervals["auc"][0] < many.auc


def test_the_worst_manipulation_is_named():
  """Guards the group that a mean hides: of two forgeries the one that is told apart worse."""
  rows = [_row(0, 0, 0.2, "original"), _row(1, 0, 0.5, "original"), _row(2, 1, 0.9, "A"), _row(3, 1, 0.3, "B")]
  assert metrics.summarise(rows).worst_manipulation == WorstManipulation("D/B/c23", 0.5)
  assert metrics.summarise(rows[:2]).worst_manipulation is None


def test_the_file_keeps_its_names():
  """Guards metrics.json, which others read: an undefined figure is null, what a level does not have is not there."""
  rows = [_row(0, 0, 0.3, "original"), _row(1, 1, 0.6, "A")]
  plain = to_json(metrics.summarise(rows))
  assert list(plain) == [
    "threshold", "threshold_rule", "failed", "overall", "per_manipulation", "per_dataset", "per_compression",
    "worst_manipulation",
  ]  # fmt: skip
  names = [*metrics.METRICS, "undefined"]
  assert list(plain["overall"]["video"]) == ["n", "real", "fake", "clusters", *names, "cautions"]
  assert list(plain["overall"]["clip"]) == names and plain["overall"]["clip"]["auc"] is None  # no clip's score is known
  assert plain["overall"]["video"]["acc_at_threshold"] is None and plain["worst_manipulation"]["name"] == "D/A/c23"
  found = to_json(metrics.summarise(rows, intervals=statistics.bootstrap_intervals))["overall"]["video"]
  assert list(found)[-4:] == ["undefined", "intervals", "no_interval", "cautions"] and found["intervals"]["auc"] is None


def test_clip_and_frame_level_beside_the_video_level():
  """Guards that levels are not mixed up (clip AUC reported as video AUC), and the mean over overlapping windows."""
  rows = [
    _row(0, 0, 0.3, "original", clip_scores=((0.2, 0.4),), clip_starts=((10, 12),), clip_frames=4),
    _row(1, 1, 0.6, "A", clip_scores=((0.3,), (0.9,)), clip_starts=((0,), (0,)), clip_frames=4),
  ]
  labels, values = metrics.frame_level(rows)
  np.testing.assert_allclose(values, [0.2, 0.2, 0.3, 0.3, 0.4, 0.4] + [0.3] * 4 + [0.9] * 4, rtol=0, atol=1e-15)
  assert labels.tolist() == [0] * 6 + [1] * 8
  overall = metrics.summarise(rows).overall
  assert (overall.video.auc, overall.clip.auc) == (1.0, 0.75)
  assert (overall.clip.n, overall.frame.n) == (4, 14)
  unknown = metrics.summarise([_row(0, 0, 0.3, "original")]).overall
  assert unknown.clip.auc is None and "scores of the clips" in unknown.clip.undefined["auc"]


def test_fakes_of_a_compression_without_reals_meet_the_datasets_reals():
  """Guards DeeperForensics: its fakes have no compression, its reals are c23, and an AUC of nothing helps nobody."""
  rows = [_row(0, 0, 0.1, "original", "F", "c23"), _row(1, 1, 0.9, "end_to_end", "F", "")]
  figures = metrics.summarise(rows).per_manipulation["F/end_to_end"].video
  assert (figures.real, figures.fake, figures.auc) == (1, 1, 1.0)
