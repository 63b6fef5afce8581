"""Scoring a split: every video once, the same at any device count and batch size."""

import dataclasses

import jax
import numpy as np
import pytest

from dfdetect_jax import schema
from dfdetect_jax.data.frames import FrameReader
from dfdetect_jax.devices.mesh import make_mesh
from dfdetect_jax.errors import UserError
from dfdetect_jax.evaluation import evaluator
from dfdetect_jax.evaluation.evaluator import make_predictor, score_split
from dfdetect_jax.runs.config import base_config


@pytest.fixture(scope="module")
def scoring(toy, toy_dataset):
  """Scores the test split with random weights."""
  method = toy.build(toy.get_config())
  variables = method.init(jax.random.key(0))

  def score(devices=8, batch_size=8, method=method, directory=toy_dataset, split="test", **options):
    mesh = make_mesh(base_config().mesh, jax.devices()[:devices])
    predict = make_predictor(method, mesh)
    rows = score_split(
      predict, variables, method, str(directory), split, mesh=mesh, batch_size=batch_size, progress=False, **options
    )
    return rows, predict

  return score


def test_every_video_is_scored_once(scoring):
  """Guards against videos scored twice or lost: 8 videos, one too short for a clip, one without a face."""
  rows, _ = scoring()
  ids = [row.video_id for row in rows]
  assert len(ids) == len(set(ids)) == 10
  failed = {row.video_id: row.reason for row in rows if row.status != "ok"}
  assert failed == {
    "toy/original/c23/test004": "face track of 3 frames is shorter than a clip of 4",
    "toy/DF/c23/lost": "no face",
  }
  assert {row.label for row in rows if "/DF/" in row.video_id} == {1}


def test_short_tracks_are_scored_on_demand(scoring, toy, toy_dataset):
  """Guards the option for short tracks: the one of three frames is scored by frames 0 1 2 1, the others as before."""
  method = toy.build(toy.get_config())
  demanded = dataclasses.replace(method, clip_spec=dataclasses.replace(method.clip_spec, shortest=3))
  plain, _ = scoring()
  rows, predict = scoring(method=demanded)
  [short] = [row for row in rows if row.video_id == "toy/original/c23/test004"]
  [track] = [t for t in schema.read_tracks(toy_dataset, "test") if t.video_id == short.video_id]
  frames = FrameReader(str(toy_dataset), "test", demanded.clip_spec.size).read(track.first, 3, track)
  clip = np.stack([frames[[0, 1, 2, 1]]] * 8)
  assert short.status == "ok" and short.clips == 1
  assert short.score == pytest.approx(float(predict(method.init(jax.random.key(0)), clip)[0]), abs=1e-6)
  others = {row.video_id: row.score for row in rows if row is not short}
  assert others == {row.video_id: row.score for row in plain if row.video_id != short.video_id}


@pytest.mark.parametrize("devices, batch_size", [(1, 1), (1, 5), (8, 16), (4, 4)])
def test_devices_and_batches_do_not_change_scores(scoring, devices, batch_size):
  """Guards padding and sharding at test: the same score for each video, in the same order."""
  expected, _ = scoring()
  found, _ = scoring(devices, batch_size)
  assert [row.video_id for row in found] == [row.video_id for row in expected]
  for a, b in zip(expected, found, strict=True):
    assert (a.score is None) == (b.score is None)
    if a.score is not None:
      assert b.score == pytest.approx(a.score, abs=1e-6)


def test_scores_are_means_over_clips_then_over_tracks(scoring):
  """Guards the video score against a hand-made one: clips averaged in a track, the larger or mean track counts."""
  top, mean = (scoring(over_tracks=over)[0] for over in ("max", "mean"))
  for rows, over in ((top, max), (mean, np.mean)):
    for row in rows:
      if row.status == "ok":
        assert [len(clips) for clips in row.clip_scores] == [2] * row.tracks
        assert row.score == pytest.approx(over([np.mean(clips) for clips in row.clip_scores]), abs=1e-9)
  assert sum(row.tracks == 2 for row in top) == 2


def test_the_prediction_compiles_once(scoring):
  """Guards against a compilation per video or for the last, padded batch."""
  _, predict = scoring()
  assert predict._cache_size() == 1


def test_a_batch_that_does_not_fit_the_devices(scoring):
  """Guards the message for an evaluation batch that cannot be cut up."""
  with pytest.raises(UserError, match="eval_batch_size=12 cannot be cut"):
    scoring(batch_size=12)


def test_a_failed_video_without_a_label_is_in_no_figure(caplog):
  """Guards a list by hand or of an outside source: a row without a label would be no row of a score file."""
  known, unknown = (schema.Failure(path=p, reason="no face", video_id=p, label=y) for p, y in (("a", 1), ("b", None)))
  [row] = evaluator._failed([known, unknown])
  assert (row.video_id, row.label, row.failed) == ("a", 1, True)
  assert "1 videos without a face track have no label either" in caplog.text
