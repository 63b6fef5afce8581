"""What validation scores say: threshold, undecided band, temperature, and the file that keeps them with the run."""

import dataclasses
import types

import numpy as np
import pytest
from scipy import special

from dfdetect_jax.errors import UserError
from dfdetect_jax.evaluation import calibration, metrics, scoring
from dfdetect_jax.evaluation.report import threshold_from
from dfdetect_jax.evaluation.scores import VideoScore, failed_video
from dfdetect_jax.evaluation.summary import Figures


def drawn(seed=0, reals=40, fakes=160, gap=2.0):
  rng = np.random.default_rng(seed)
  logits = np.concatenate([rng.normal(-gap / 2, 1.5, reals), rng.normal(gap / 2, 1.5, fakes)])
  return np.repeat([0, 1], [reals, fakes]), special.expit(logits)


def rows(labels, scores):
  return [VideoScore(video_id=f"v{i}", label=int(y), score=float(s)) for i, (y, s) in enumerate(zip(labels, scores))]


def test_temperature_is_the_one_that_the_labels_were_drawn_with():
  """Guards the fit against another formulation: labels are drawn from σ(z/T), which the fit has to find."""
  rng = np.random.default_rng(1)
  logits = rng.normal(0, 4, 60_000)
  logits = np.concatenate([logits, -logits])  # as many fakes as reals are expected, as the fit's weights assume
  for true in (0.5, 1.0, 3.0):
    labels = (rng.uniform(size=len(logits)) < special.expit(logits / true)).astype(int)
    assert calibration.fit_temperature(labels, special.expit(logits)) == pytest.approx(true, rel=0.03)


def test_temperature_has_the_least_loss_of_a_grid_and_counts_both_classes_alike():
  """Guards the loss: Platt's targets, each class with half of the weight, whatever its size."""
  labels, scores = drawn()

  def loss(t):
    p = scores ** (1 / t) / (scores ** (1 / t) + (1 - scores) ** (1 / t))
    total = 0.0
    for label, target, n in ((0, 1 / 42, 40), (1, 161 / 162, 160)):
      q = p[labels == label]
      total -= 0.5 * np.sum(target * np.log(q) + (1 - target) * np.log(1 - q)) / n
    return total

  grid = np.geomspace(0.3, 20, 4001)
  best = grid[np.argmin([loss(t) for t in grid])]
  assert calibration.fit_temperature(labels, scores) == pytest.approx(best, rel=2e-3)


def test_the_calibrated_probability_is_a_half_at_the_threshold():
  """Guards a page against 'real, 57 % forged': scores that lie about another value than ½ are calibrated about it."""
  labels, scores = drawn(7, 100, 100, 3.0)
  shifted = special.expit(special.logit(scores) + 2)  # a detector that says "fake" too easily
  found = calibration.validate(rows(labels, shifted), 1, "student").decision()
  assert found.threshold > 0.75 and found.probability(found.threshold) == pytest.approx(0.5)
  for score in np.linspace(0.01, 0.99, 50):
    assert (found.probability(score) > 0.5) == (score > found.threshold)
  near = [found.probability(s) for s in shifted]
  assert abs(np.mean(near) - np.mean(labels)) < 0.05  # calibrated in the large, which pivot ½ would miss by a lot
  assert np.mean(calibration.tempered(shifted, calibration.fit_temperature(labels, shifted))) > 0.55


def test_a_few_videos_told_apart_do_not_make_sure():
  """Guards against T → 0 on a small validation split without errors."""
  labels, scores = np.array([0, 0, 1, 1]), np.array([0.1, 0.2, 0.8, 0.9])
  temperature = calibration.fit_temperature(labels, scores)
  assert calibration.tempered(scores, temperature).max() < 0.9


def test_beyond_the_band_few_of_a_class_are_on_the_wrong_side():
  """Guards the band's promise on the videos it was chosen on and on new ones, and that it holds the threshold."""
  labels, scores = drawn(2, 400, 400)
  threshold = metrics.choose_threshold(labels, scores)
  lower, upper = calibration.undecided_band(labels, scores, threshold)
  assert lower <= threshold <= upper
  for seed in (2, 3):
    labels, scores = drawn(seed, 400, 400)
    assert np.mean(scores[labels == 0] > upper) <= 0.08 and np.mean(scores[labels == 1] < lower) <= 0.08
    assert np.mean(scores[labels == 0] > upper) >= 0.02  # and no wider than that
  apart = calibration.undecided_band(np.array([0, 0, 1, 1]), np.array([0.1, 0.2, 0.8, 0.9]), 0.5)
  assert apart == (0.2, 0.8)  # where no video was seen


def test_the_balanced_threshold_is_the_best_of_all():
  """Guards the threshold against brute force over every cut, with four times as many fakes as reals."""
  labels, scores = drawn(4)
  chosen = metrics.choose_threshold(labels, scores)

  def balanced(cut):
    return np.mean(scores[labels == 1] > cut) + np.mean(scores[labels == 0] <= cut)

  cuts = np.concatenate([[0.0, 0.5, 1.0], np.convolve(np.sort(scores), [0.5, 0.5], "valid")])
  assert balanced(chosen) == pytest.approx(max(map(balanced, cuts)))
  plain = cuts[np.argmax([np.mean((scores > cut) == labels) for cut in cuts])]
  assert plain < chosen  # plain accuracy calls the rarer class wrong


def test_a_report_cuts_where_predictions_cut():
  """Guards one threshold for one set of validation scores, whoever chooses it: ACC@val is the accuracy of verdicts."""
  rows = [VideoScore(video_id=f"v{i}", label=y, score=s, split="val") for i, (y, s) in enumerate(zip(*drawn(5)))]
  validation = calibration.validate(rows, 1, "student")
  assert threshold_from(rows, [], "val.csv") == validation.threshold == validation.decision().threshold
  assert metrics.summarise(rows, threshold=0.7).threshold_rule == "highest balanced accuracy on the validation scores"
  assert metrics.summarise(rows).threshold_rule is None


def test_what_is_kept_is_read_by_checkpoint(tmp_path):
  """Guards the road from evaluation to prediction: another step or other weights get the assumptions, by name."""
  labels, scores = drawn(5)
  told = calibration.record_validation(
    tmp_path, 100, "teacher", [*rows(labels, scores), failed_video("f", 1, "no face")]
  )
  assert not told
  figures = Figures(real=3, fake=4, auc=0.9, intervals={"auc": [0.8, 1.0]}, undefined={})
  for name in ("celeb", "dfdc", "celeb"):
    assert not calibration.record_test(tmp_path, 100, "teacher", name, figures)
  known = calibration.read_reliability(tmp_path, 100, "teacher")
  assert known.validation.labels.count(1) == 160 and known.validation.failed == 1
  assert known.validation.auc == pytest.approx(metrics.auc(labels, scores))
  assert [t.name for t in known.tests] == ["dfdc", "celeb"] and known.tests[0].interval == (0.8, 1.0)
  decision = known.decision()
  assert decision.lower < decision.threshold < decision.upper and "200 validation videos" in decision.origin
  for step, weights in ((200, "teacher"), (100, "student")):
    other = calibration.read_reliability(tmp_path, step, weights)
    assert other.validation is None and not other.tests
    assert other.decision().temperature is None and "assumed" in other.decision().origin


def test_a_threshold_from_self_made_forgeries_says_so(tmp_path):
  """Guards a run on real videos alone: whoever reads its threshold later is told that forgeries of them chose it."""
  scored = rows([0, 0, 1, 1], [0.1, 0.4, 0.3, 0.9])
  calibration.record_validation(tmp_path, 1, "student", scored)
  made = [dataclasses.replace(s, manipulation="self_made") if s.label else s for s in scored]
  calibration.record_validation(tmp_path, 2, "student", made)
  given, own = (calibration.read_reliability(tmp_path, step, "student") for step in (1, 2))
  assert given.decision().origin == "chosen on 4 validation videos (2 real, 2 forged) of step 1"
  assert own.decision().origin == "chosen on 4 validation videos (2 real, 2 self-made forgeries of these) of step 2"
  assert own.validation.self_made == 2 and '"self_made": 2' in (tmp_path / calibration.RELIABILITY_FILE).read_text()


def test_contaminated_figures_are_not_kept(tmp_path):
  """Guards a verdict page against the AUC of a test whose videos the run has seen."""
  run, said = types.SimpleNamespace(step=1, weights="student"), []
  figures = Figures(real=3, fake=4, auc=0.9, undefined={})
  scoring.keep_with_run(tmp_path, run, "test", "celeb", [], figures, 2, said.append)
  assert not calibration.read_reliability(tmp_path, 1, "student").tests and "has seen 2 of its videos" in said[0]
  scoring.keep_with_run(tmp_path, run, "test", "celeb", [], figures, 0, said.append)
  assert len(calibration.read_reliability(tmp_path, 1, "student").tests) == 1 and len(said) == 1


def test_one_class_and_damage_are_told(tmp_path):
  """Guards the messages: nothing is fitted on one class, damage is named, an unwritable file stops nothing."""
  assert "one class only" in calibration.record_validation(tmp_path, 1, "student", rows([1, 1], [0.2, 0.9]))
  assert "cannot be written" in calibration.record_validation(tmp_path / "none", 1, "student", rows([0, 1], [0.2, 0.9]))
  (tmp_path / calibration.RELIABILITY_FILE).write_text(
    '{"format": 1, "validations": [{"step": 1, "weights": "student"}]}'
  )
  with pytest.raises(UserError, match="reliability.json.* cannot be read .*score the validation split again"):
    calibration.read_reliability(tmp_path, 1, "student")
  (tmp_path / calibration.RELIABILITY_FILE).write_text("{")
  with pytest.raises(UserError, match="reliability.json.* cannot be read .*score the validation split again"):
    calibration.record_test(tmp_path, 1, "student", "x", Figures(real=1, fake=1, undefined={}))


def test_verdicts_at_the_ends_of_the_band():
  """Guards the ends: fake above the upper one, real up to the lower one, as accuracy counts at a threshold."""
  decision = calibration.Decision(threshold=0.5, lower=0.4, upper=0.6, temperature=2.0, origin="")
  assert [decision.verdict(s) for s in (0.0, 0.4, 0.401, 0.6, 0.601, 1.0)] == [
    "real", "real", "undecided", "undecided", "fake", "fake",
  ]  # fmt: skip
  assert decision.probability(0.8) == pytest.approx(2 / 3)  # odds 4 → √4
