"""The benchmark that asks whether the generated dataset is a fair test, and what it rests on."""

import importlib.util
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from data_pipelines.synthetic.forgeries import MANIPULATIONS

PROGRAM = pathlib.Path(__file__).parents[3] / "benchmarks" / "synthetic_fairness.py"


@pytest.fixture(scope="module")
def fairness():
  spec = importlib.util.spec_from_file_location("synthetic_fairness", PROGRAM)
  module = importlib.util.module_from_spec(spec)
  sys.modules[spec.name] = module  # dataclasses look their module up
  spec.loader.exec_module(module)
  return module


def make_samples(fairness, pairs: int):
  return [
    fairness.Sample(f"{pair}", f"pair {pair}", "train", kind, pathlib.Path())
    for pair in range(pairs)
    for kind in ("real", *MANIPULATIONS)
  ]


def test_cross_validation_keeps_pairs_apart(fairness):
  """Guards the out-of-fold scores: a feature that only names (pair, label) must not help, one that tells must."""
  samples = make_samples(fairness, 20)
  labels = np.array([s.fake for s in samples])
  names = np.eye(40)[[2 * int(s.target) + s.fake for s in samples]]
  leaky = fairness.cross_validate(list(names), samples)
  assert abs(roc_auc_score(labels, leaky) - 0.5) < 0.15
  telling = fairness.cross_validate(list(labels[:, None] + 0.0), samples)
  assert roc_auc_score(labels, telling) == 1.0


def test_interval_draws_whole_pairs(fairness):
  """Guards the intervals: with one pair there is nothing to draw, and the interval is the value itself."""
  samples = make_samples(fairness, 1)
  value, low, high = fairness.auc_interval(samples, np.array([0.5, 0.1, 0.7, 0.9, 0.8]), draws=20)
  assert value == low == high == 0.75


def test_change_features_ignore_what_the_whole_crop_does(fairness):
  """Guards the temporal reference: exposure flicker cancels, a flickering patch shows where it is."""
  rng = np.random.default_rng(0)
  picture = rng.integers(90, 160, (1, 64, 64, 3))
  flicker = picture + rng.integers(-12, 13, (20, 1, 1, 1))
  patch = np.repeat(picture, 20, 0)
  patch[:, 32:40, 24:32] += rng.integers(-12, 13, (20, 1, 1, 1))
  grids = [fairness.change_features(c.astype(np.uint8))[: 8 * 8 * 3].reshape(8, 8, 3)[..., 0] for c in (flicker, patch)]
  assert grids[0].max() < 0.0
  assert np.unravel_index(grids[1].argmax(), (8, 8)) == (4, 3) and grids[1].max() > 1.5


@pytest.mark.slow
def test_default_detector_follows_the_faces(tmp_path):
  """Guards the agreement with the default detector (98 % of the frames, here at the harsher c40), and the program."""
  command = [sys.executable, str(PROGRAM), f"--output={tmp_path}", "--identities=6", "--compression=c40", "--steps=2"]
  environment = {"PYTHONPATH": str(PROGRAM.parents[1]), "JAX_PLATFORMS": "cpu"}
  done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment})
  assert done.returncode == 0, done.stderr
  figures = json.loads((tmp_path / "fairness.json").read_text())
  assert figures["tracked"] >= 0.98 and not figures["lost"]
  assert figures["results"]["duration"]["auc"] == 0.5
  assert (tmp_path / "fairness.png").stat().st_size > 10_000
