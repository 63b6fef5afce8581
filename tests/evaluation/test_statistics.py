"""Intervals and tests: the vectorised bootstrap against one loop over copied videos, DeLong against all pairs."""

import numpy as np
import pytest
from scipy import stats

from dfdetect_jax.errors import UserError
from dfdetect_jax.evaluation import metrics, statistics
from dfdetect_jax.evaluation.scores import VideoScore, failed_video


def _data(n=120, tied=False, seed=0):
  rng = np.random.default_rng(seed)
  labels = rng.integers(0, 2, n)
  first, second = (np.clip(0.2 * labels + 0.8 * rng.random(n), 0, 1) for _ in range(2))
  if tied:
    first, second = np.round(first, 1), np.round(second, 1)
  return labels, first, second


@pytest.mark.parametrize("tied", [False, True])
def test_weights_equal_copies(tied):
  """Guards the one-sort formulas: a video of weight k must count like k copies of it, ties and zeros included."""
  labels, values, _ = _data(tied=tied)
  weights = np.random.default_rng(1).integers(0, 4, (8, len(labels)))
  weights[0] = labels  # one class only
  order = np.argsort(-values, kind="stable")
  got = statistics.sorted_metrics(labels[order], values[order], weights[:, order].astype(np.float64), 0.3)
  for row, w in enumerate(weights):
    expected = vars(metrics.binary_metrics(np.repeat(labels, w), np.repeat(values, w), 0.3))
    for name in metrics.METRICS:
      if expected[name] is None:
        assert np.isnan(got[name][row])
      else:
        assert got[name][row] == pytest.approx(expected[name], abs=1e-12), name


def test_clusters_are_drawn_whole():
  """Guards the cluster bootstrap: with one score and label per person, it must be the bootstrap over persons."""
  labels, values, _ = _data(30)
  copies = np.random.default_rng(2).integers(1, 5, 30)
  clusters = np.repeat(np.arange(30), copies)
  whole = statistics.bootstrap(np.repeat(labels, copies), [np.repeat(values, copies)], clusters, [None], 50, seed=3)[0]
  drawn = np.random.default_rng(3).integers(30, size=(50, 30))
  for sample, people in enumerate(drawn):
    expected = metrics.binary_metrics(
      np.repeat(labels[people], copies[people]), np.repeat(values[people], copies[people])
    )
    assert whole["auc"][sample] == pytest.approx(expected.auc, abs=1e-12)
    assert whole["ece"][sample] == pytest.approx(expected.ece, abs=1e-12)


def test_chunks_do_not_change_the_resamples(monkeypatch):
  """Guards that the interval does not depend on how many resamples fit into memory at a time."""
  labels, values, _ = _data()
  whole = statistics.bootstrap_intervals(labels, values, np.arange(120), 0.4, 300)
  monkeypatch.setattr(statistics, "_CHUNK_ELEMENTS", 1000)
  assert statistics.bootstrap_intervals(labels, values, np.arange(120), 0.4, 300) == whole


def test_interval_covers_the_truth():
  """Guards the width: of 200 samples with a known AUC, about 95 % of the intervals hold it (exact: binomial bound)."""
  truth = stats.norm.cdf(1 / np.sqrt(2))
  hits = 0
  for seed in range(200):
    rng = np.random.default_rng(seed)
    labels = np.arange(150) % 2
    values = stats.norm.cdf(labels + rng.normal(size=150))
    low, high = statistics.bootstrap_intervals(labels, values, np.arange(150), None, 300, seed)["auc"]
    hits += low <= truth <= high
  # The percentile interval is a little short at this size; 0.9 to 0.99 is four standard deviations around it.
  assert 176 <= hits <= 199


def test_fewer_than_two_clusters_give_no_interval():
  """Guards against an interval of width zero when all videos are of one person."""
  labels, values, _ = _data()
  intervals = statistics.bootstrap_intervals(labels, values, np.zeros(120, int))
  assert set(intervals.values()) == {None}


def _delong_by_pairs(labels, first, second):
  """AUCs and standard error of their difference from the definition, all pairs in float64."""
  placements = []
  for values in (first, second):
    fakes, reals = values[labels == 1][:, None], values[labels == 0][None]
    psi = (fakes > reals) + 0.5 * (fakes == reals)
    placements.append((psi.mean(1), psi.mean(0)))
  (a10, a01), (b10, b01) = placements
  s10, s01 = np.cov(a10, b10), np.cov(a01, b01)
  s = s10 / len(a10) + s01 / len(a01)
  return a10.mean(), b10.mean(), np.sqrt(s[0, 0] + s[1, 1] - 2 * s[0, 1])


@pytest.mark.parametrize("tied", [False, True])
def test_delong_is_its_definition(tied):
  """Guards mid-ranks (ties!) and the covariance term of the difference."""
  labels, first, second = _data(tied=tied)
  auc_a, auc_b, error = _delong_by_pairs(labels, first, second)
  got = statistics.delong(labels, first, second)
  assert got["auc"] == pytest.approx([auc_a, auc_b], abs=1e-14)
  assert got["difference"] == pytest.approx(auc_b - auc_a, abs=1e-14)
  assert got["standard_error"] == pytest.approx(error, abs=1e-14)
  assert got["p"] == pytest.approx(2 * stats.norm.cdf(-abs(auc_b - auc_a) / error), abs=1e-12)
  reach = 1.959963984540054 * error
  assert got["interval"] == pytest.approx([auc_b - auc_a - reach, auc_b - auc_a + reach], abs=1e-12)


def test_delong_at_its_edges():
  """Guards the degenerate cases: the same scores twice, one class, one fake, a difference without variance."""
  labels, first, _ = _data()
  assert statistics.delong(labels, first, first)["p"] == 1.0
  assert "one class" in statistics.delong(np.ones(120, int), first, first)["undefined"]
  assert "fewer than two" in statistics.delong(np.arange(120) // 119, first, first)["undefined"]
  surely = statistics.delong(labels, labels.astype(float), 1.0 - labels)
  assert surely["p"] is None and "no variance" in surely["undefined"]


def _rows(labels, values, **more):
  return [
    VideoScore(video_id=f"v{i}", label=int(y), score=float(p), **more) for i, (y, p) in enumerate(zip(labels, values))
  ]


def test_comparison_finds_a_difference_and_not_a_chance():
  """Guards the sign, the pairing by id (not by row), and the p-values of both tests."""
  labels, chance, _ = _data(400)
  better = np.clip(0.5 * labels + 0.5 * chance, 0, 1)
  result = statistics.compare(_rows(labels, chance), _rows(labels, better)[::-1], thresholds=(0.5, 0.5), resamples=500)
  auc = result["bootstrap"]["auc"]
  assert auc["difference"] == result["delong"]["difference"] > 0.1
  assert auc["interval"][0] > 0 and auc["p"] == pytest.approx(2 / 501) and result["delong"]["p"] < 1e-10
  # DeLong's and the bootstrap's interval estimate the same spread by different roads.
  assert auc["interval"] == pytest.approx(result["delong"]["interval"], abs=0.01)
  same = statistics.compare(_rows(labels, chance), _rows(labels, chance), resamples=100)
  assert same["bootstrap"]["auc"] == {
    "first": same["delong"]["auc"][0], "second": same["delong"]["auc"][0], "difference": 0.0,
    "interval": [0.0, 0.0], "p": 1.0,
  }  # fmt: skip
  assert same["bootstrap"]["acc_at_threshold"]["p"] is None


def test_comparison_needs_the_same_videos():
  """Guards against comparing different test sets: missing videos and disagreeing labels are refused."""
  labels, first, second = _data(40)
  with pytest.raises(UserError, match="1 stand in one of them only, the first is 'v39'"):
    statistics.compare(_rows(labels, first), _rows(labels, second)[:-1])
  with pytest.raises(UserError, match="disagree on the label of 'v0'"):
    statistics.compare(_rows(labels, first), _rows(np.r_[1 - labels[0], labels[1:]], second))


def test_a_video_that_failed_in_one_is_excluded_from_both():
  """Guards the pairing under `exclude`."""
  labels, first, second = _data(40)
  rows = _rows(labels, second)
  rows[3] = failed_video("v3", int(labels[3]), "no face")
  result = statistics.compare(_rows(labels, first), rows, "exclude", resamples=20)
  assert (result["n"], result["excluded"]) == (39, 1)
  assert statistics.compare(_rows(labels, first), rows, "half", resamples=20)["n"] == 40
