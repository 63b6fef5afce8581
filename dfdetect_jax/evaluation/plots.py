"""Pictures of a score file: ROC curves, score histogram, reliability diagram, as SVG; equal scores give equal bytes."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn import metrics as sk

from dfdetect_jax.evaluation import metrics
from dfdetect_jax.evaluation.style import CYCLE, FAKE, INK, PALE, REAL, SOFT, look, to_svg

# Labels and scores of each curve or set, by name.
Sets = Mapping[str, tuple[np.ndarray, np.ndarray]]


@look()
def score_pictures(sets: Sets) -> bytes:
  """ROC curves of all sets; score histogram and reliability of the first, side by side.

  Args:
    sets: labels `[N]` and fake probabilities `[N]` by name; the first holds all videos.
  """
  figure = Figure(figsize=(13, 4.1), layout="constrained")
  left, middle, right = figure.subplots(1, 3)
  labels, scores = next(iter(sets.values()))
  _roc(left, sets)
  _histogram(middle, labels, scores)
  _reliability(right, labels, scores)
  return to_svg(figure)


@look()
def roc_picture(sets: Sets) -> bytes:
  """ROC curves of several detectors on the same videos, whole and the corner of few false alarms."""
  figure = Figure(figsize=(12, 4.4), layout="constrained")
  left, right = figure.subplots(1, 2)
  _roc(left, sets)
  _roc(right, sets, legend=False)
  right.set(xlim=(0, 0.2), ylim=(0, 1.01), aspect="auto", title="ROC, few false alarms")
  return to_svg(figure)


def _roc(axes: Axes, sets: Sets, legend: bool = True) -> None:
  axes.plot([0, 1], [0, 1], color=SOFT, linewidth=0.8, linestyle=":")
  for number, (name, (labels, scores)) in enumerate(sets.items()):
    area = metrics.auc(labels, scores)
    if area is None:
      continue
    fpr, tpr, _ = sk.roc_curve(labels, scores)
    style: dict[str, Any] = {"linewidth": 2.0 if number == 0 else 1.3, "zorder": 3 if number == 0 else 2}
    axes.plot(fpr, tpr, color=CYCLE[number % len(CYCLE)], label=f"{name}  {100 * area:.2f}", **style)
  axes.set(xlabel="real videos called fake", ylabel="fakes found", title="ROC", aspect="equal")
  axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
  if legend and axes.get_legend_handles_labels()[1]:
    axes.legend(loc="lower right", title="AUC [%]")


def _histogram(axes: Axes, labels: np.ndarray, scores: np.ndarray) -> None:
  edges = np.linspace(0, 1, 31).tolist()
  for value, name, colour in ((0, "real", REAL), (1, "fake", FAKE)):
    members = scores[labels == value]
    if len(members):
      weights = np.full(len(members), 100 / len(members))
      axes.hist(members, edges, weights=weights, color=colour, alpha=0.25)
      axes.hist(
        members, edges, weights=weights, color=colour, histtype="step", linewidth=1.4, label=f"{name} ({len(members)})"
      )
  axes.set(xlabel="fake probability", ylabel="share of the class [%]", title="Scores", xlim=(0, 1))
  axes.legend()


def _reliability(axes: Axes, labels: np.ndarray, scores: np.ndarray) -> None:
  number = metrics.calibration_bin(scores)
  count = np.bincount(number, minlength=metrics.CALIBRATION_BINS)
  used = count > 0
  mean = np.bincount(number, scores, metrics.CALIBRATION_BINS)[used] / count[used]
  share = np.bincount(number, labels, metrics.CALIBRATION_BINS)[used] / count[used]
  centres = (np.arange(metrics.CALIBRATION_BINS)[used] + 0.5) / metrics.CALIBRATION_BINS
  axes.bar(centres, count[used] / len(scores), 0.9 / metrics.CALIBRATION_BINS, color=PALE, label="share of videos")
  axes.plot([0, 1], [0, 1], color=SOFT, linewidth=0.8, linestyle=":")
  axes.plot(mean, share, color=INK, linewidth=1.4, marker="o", markersize=4, label="share that is fake")
  axes.set(xlabel="fake probability", ylabel="share", title="Reliability", aspect="equal")
  axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
  axes.legend(loc="upper left")
