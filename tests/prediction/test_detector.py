"""A detector as a Python object: `dfdetect_jax.load`."""

import jax
import numpy as np
import pytest

import dfdetect_jax
from dfdetect_jax.errors import UserError
from dfdetect_jax.evaluation import scores
from dfdetect_jax.runs.config import override
from dfdetect_jax.training import loop


@pytest.fixture(scope="module")
def detector(toy, toy_dataset, tmp_path_factory):
  """The toy, trained for a few steps and loaded."""
  workdir = tmp_path_factory.mktemp("detector") / "run"
  config = override(toy.get_config().unlock(), {"data": str(toy_dataset), "total_steps": 4, "eval_every": 0})
  with jax.numpy_dtype_promotion("standard"):  # Adam's bias correction
    loop.train_and_evaluate(config, workdir)
  return dfdetect_jax.load(workdir)


def _clips(detector, count=3):
  shape = (count, *detector.clip_spec.shape(train=False))
  return np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)


def test_scores_and_outputs_are_the_models(detector):
  """Guards `score` and `outputs` against the module applied by hand to the same weights."""
  clips = _clips(detector)
  logit = detector.model.apply(detector.variables, clips, train=False)["logit"]
  np.testing.assert_allclose(detector.score(clips), 1 / (1 + np.exp(-np.asarray(logit, np.float64))), atol=1e-6)
  np.testing.assert_allclose(detector.outputs(clips)["logit"], logit, atol=1e-6)
  np.testing.assert_allclose(detector.score(clips[0]), detector.score(clips)[:1], atol=1e-6)  # one clip, no batch axis


@pytest.mark.parametrize(
  "change, told",
  [
    (lambda c: c[:, :2], r"shape \[3, 2, 16, 16, 3\] .*\[B, 4, 16, 16, 3\]"),
    (lambda c: (c / 255).astype(np.float32), "values from 0 to 1: .*scale 0-255"),
    (lambda c: c.astype(np.float32) * 2, "scale 0-255"),
    (lambda c: c.astype(np.float32) * np.nan, "scale 0-255"),
    (lambda c: c.astype(np.int32), "dtype int32"),
  ],
)
def test_clips_of_another_kind_are_refused(detector, change, told):
  """Guards clips in [0, 1], NaN, other lengths and dtypes from being scored without a word."""
  with pytest.raises(UserError, match=told):
    detector.score(change(_clips(detector)))


def test_a_split_is_evaluated(detector, toy_dataset, tmp_path):
  """Guards `evaluate`: every video once, failures included, figures from the rows alone; seen videos are refused."""
  found = detector.evaluate(toy_dataset, "test")
  assert len({s.video_id for s in found.scores}) == len(found.scores) == 10
  assert sum(s.failed for s in found.scores) == 2 and found.summary.overall.video.n == 10
  scores.write_scores(tmp_path / "scores.csv", found.scores)
  assert scores.read_scores(tmp_path / "scores.csv") == [
    type(s)(**{name: getattr(s, name) for name in scores.COLUMNS}) for s in found.scores
  ]


def test_the_door_is_light():
  """Guards `import dfdetect_jax` from importing jax before anything is asked of it."""
  import subprocess
  import sys

  code = "import sys, dfdetect_jax; sys.exit('jax' in sys.modules or not callable(dfdetect_jax.load_config))"
  assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
