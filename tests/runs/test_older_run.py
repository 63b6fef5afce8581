"""A run, its shards and its scores as they were before the house was built, read by today's code.

`older_run.tar.xz` was written by commit 6ec8674 (2026-11-21) with its own programs: six generated videos of 16 frames
built at 32 px, four steps of `configs/ftcn.py:test`, and the scores of the test split. Later code never writes it.
"""

import json
import pathlib
import tarfile

import numpy as np
import pytest

import dfdetect_jax
from data_pipelines import verify
from dfdetect_jax import evaluate
from dfdetect_jax.evaluation import report
from dfdetect_jax.evaluation.document import to_markdown
from dfdetect_jax.evaluation.scores import read_scores
from dfdetect_jax.schema import read_tracks


@pytest.fixture(scope="module")
def older(tmp_path_factory) -> pathlib.Path:
  folder = tmp_path_factory.mktemp("older")
  with tarfile.open(pathlib.Path(__file__).parent / "older_run.tar.xz") as archive:
    archive.extractall(folder, filter="data")
  return folder


def test_shards_verify(older):
  """Guards datasets that others have built: schema 1, without landmarks or checksums."""
  assert verify.main([str(older / "shards")]) == 0
  tracks = [track for split in ("train", "val", "test") for track in read_tracks(older / "shards", split)]
  assert [track.frames for track in tracks] == [16] * 6 and {track.landmarks for track in tracks} == {0}


@pytest.mark.slow
def test_a_run_scores_its_test_split_as_it_did(older, tmp_path):
  """Guards checkpoint, config, layers and reading at once: each clip's score is what the older code gave it."""
  evaluate.main([f"--workdir={older / 'run'}", f"--data={older / 'shards'}", f"--output={tmp_path}"])
  then, now = read_scores(older / "run/test/scores.csv"), read_scores(tmp_path / "scores.csv")
  assert [row.video_id for row in now] == [row.video_id for row in then] and len(then) == 2
  for a, b in zip(then, now):
    np.testing.assert_allclose(b.clip_scores, a.clip_scores, atol=2e-6)
  overall = [json.loads((f / "metrics.json").read_text())["overall"] for f in (older / "run/test", tmp_path)]
  assert overall[0]["video"]["auc"] == overall[1]["video"]["auc"]


def test_scores_are_reported(older):
  """Guards score files that others keep, and the record of where they come from."""
  page, _ = report.report([older / "run/test/scores.csv"])
  assert "FTCN" in to_markdown(page)


@pytest.mark.slow
def test_the_library_loads_it(older):
  """Guards `dfdetect_jax.load`, and the list of what the run has seen, which its test must not hold."""
  detector = dfdetect_jax.load(older / "run")
  assert detector.evaluate(older / "shards", "test").summary.overall.video.n == 2
