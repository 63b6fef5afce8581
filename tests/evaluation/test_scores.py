"""The score file: exact round trip, and every way in which one can be wrong."""

import csv

import numpy as np
import pytest

from dfdetect_jax.errors import UserError
from dfdetect_jax.evaluation import scores
from dfdetect_jax.schema import Track


def _track(number: int = 0, **changes) -> Track:
  fields = dict(
    video_id="FF++/Deepfakes/c23/000_003", track=number, split="test", label=1, first=0, frames=40, first_frame=0,
    fps=25.0, dataset="FF++", manipulation="Deepfakes", compression="c23", pair="000", identity="000+003",
    path="000_003.mp4", sha256="ab", size=64,
  )  # fmt: skip
  return Track(**(fields | changes))


def test_round_trip_is_exact(tmp_path):
  """Guards against rounding in the file: figures computed from it would differ from those of the run."""
  rng = np.random.default_rng(0)
  rows = [
    scores.score_video(
      [_track(0, video_id=f"v{i}"), _track(1, video_id=f"v{i}")],
      [rng.random(3, np.float32), rng.random(2)],
      "mean",
      [[0, 8, 16], [4, 5]],
      8,
    )
    for i in range(20)
  ]
  rows.append(scores.failed_video("v, with a comma", 0, 'no "face"', dataset="FF++", split="test"))
  scores.write_scores(tmp_path / "scores.csv", rows)
  assert scores.read_scores(tmp_path / "scores.csv") == rows
  assert [p.name for p in tmp_path.iterdir()] == ["scores.csv"]  # nothing half-written stays behind


def test_video_score_is_mean_over_clips_then_over_tracks():
  """Guards the order of the means: pooling the clips of all tracks would let a long track outvote a short one."""
  clips = [[0.0, 0.5, 0.25], [1.0]]
  assert scores.aggregate_tracks(clips, "max") == 1.0
  assert scores.aggregate_tracks(clips, "mean") == 0.625
  row = scores.score_video([_track(0), _track(1)], clips)
  assert (row.score, row.clips, row.tracks, row.failed) == (1.0, 4, 2, False)
  with pytest.raises(UserError, match="median"):
    scores.aggregate_tracks(clips, "median")


def test_minimal_and_foreign_files_are_read(tmp_path):
  """Guards the door for score files of others: three columns suffice and unknown ones do no harm."""
  path = tmp_path / "scores.csv"
  path.write_text("video_id,label,score,note\na,0,0.25,x\nb,1,1,\n", encoding="utf-8-sig")
  assert scores.read_scores(path) == [
    scores.VideoScore(video_id="a", label=0, score=0.25),
    scores.VideoScore(video_id="b", label=1, score=1.0),
  ]
  path.write_text("video_id,label,score,status,reason\na,0,,failed,no face\n")
  assert scores.read_scores(path) == [scores.failed_video("a", 0, "no face")]


@pytest.mark.parametrize(
  "text, says",
  [
    ("video_id,score\na,0.5\n", "column label is missing"),
    ("", "column video_id, label, score is missing"),
    ("video_id,label,score\n", "no rows"),
    ("video_id,label,score\na,0,0.5\na,1,0.5\n", "'a' stands in two rows"),
    ("video_id,label,score\na,0,1.5\n", "line 2: score is 1.5"),
    ("video_id,label,score\na,0,-0.1\n", "score is -0.1"),
    ("video_id,label,score\na,0,nan\n", "score is nan"),
    ("video_id,label,score\na,0,\n", "score is ''"),
    ("video_id,label,score\na,2,0.5\n", "label is 2"),
    ("video_id,label,score\na,fake,0.5\n", "label is 'fake'"),
    ("video_id,label,score\n,0,0.5\n", "video_id is empty"),
    ("video_id,label,score,status\na,0,0.5,maybe\n", "status is 'maybe'"),
    ("video_id,label,score,clip_scores\na,0,0.5,0.5 2\n", "clip_scores is 2"),
    ("video_id,label,score,clip_scores,clip_starts\na,0,0.5,0.5 0.5,0\n", "as many clips"),
  ],
)
def test_wrong_files_are_refused(tmp_path, text, says):
  """Guards against figures from a file that is not what it seems; the message names place and value."""
  path = tmp_path / "scores.csv"
  path.write_text(text)
  with pytest.raises(UserError, match=says):
    scores.read_scores(path)


def test_merged_ids_are_refused(tmp_path):
  """Guards against ids without the manipulation: 000_003 of Deepfakes and of Face2Face are two videos."""
  merged = [
    scores.VideoScore(video_id="000_003", label=1, score=0.5, manipulation=m) for m in ("Deepfakes", "Face2Face")
  ]
  with pytest.raises(UserError, match="dataset/manipulation/compression/name"):
    scores.write_scores(tmp_path / "scores.csv", merged)
  assert not list(tmp_path.iterdir())


def test_missing_file_and_folder_are_user_errors(tmp_path):
  """Guards against tracebacks for a mistyped path."""
  with pytest.raises(UserError, match="none.csv"):
    scores.read_scores(tmp_path / "none.csv")
  with pytest.raises(UserError, match="cannot be written"):
    scores.write_scores(tmp_path / "no" / "scores.csv", [])


def test_anyone_can_read_the_columns(tmp_path):
  """Guards the published layout: the first columns by name and order, failed videos at one half."""
  scores.write_scores(tmp_path / "s.csv", [scores.failed_video("a", 1, "no face")])
  with open(tmp_path / "s.csv", newline="") as file:
    header, row = list(csv.reader(file))
  assert (
    header[:13]
    == (
      "video_id label score dataset manipulation compression split identity clips tracks status reason clip_scores"
    ).split()
  )
  assert row[:3] == ["a", "1", "0.5"]


def test_a_probability_that_is_no_number_is_named():
  """Guards against a traceback of scikit-learn (or a score of NaN) when a network has overflowed."""
  with pytest.raises(UserError, match=r"probability is NaN \(not a number\) for 2 of 3 clips.*earlier checkpoint"):
    scores.aggregate_tracks([[0.5, float("nan")], [float("nan")]])
