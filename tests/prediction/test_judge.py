"""Judging a video: scores against another road to the same clips, the rule over faces, reasons, what is not scored."""

import dataclasses
import json

import jax.numpy as jnp
import numpy as np
import pytest

from data_pipelines.faces.face_tracks import face_tracks
from dfdetect_jax.data.resizing import resize
from dfdetect_jax.data.sampling import test_starts as starts_at_test
from dfdetect_jax.evaluation.calibration import Decision
from dfdetect_jax.prediction import judge as judging
from dfdetect_jax.prediction.clips import Dense
from dfdetect_jax.prediction.judge import combine, judge
from dfdetect_jax.prediction.verdict import VideoVerdict


def test_scores_are_those_of_the_whole_track(toy_judge, film):
  """Guards the verdict against the plain road: all crops of a track, its test clips, the model on each alone."""
  path = film("two.mp4", 40, [(0, 0, 40, 100), (1, 6, 39, 10)])
  setup = toy_judge()
  verdict = judge(setup, path)
  method, spec = setup.run.method, setup.run.method.clip_spec
  found = {t.first_frame: t for t in face_tracks(path, setup.faces, setup.detector)}
  assert [t.first_frame for t in verdict.tracks] == sorted(found) and [t.track for t in verdict.tracks] == [1, 2]
  for track in verdict.tracks:
    whole = found[track.first_frame]
    crops = np.stack([resize(c, spec.size) for c in whole.crops()])
    clips = np.stack([crops[s : s + spec.frames] for [s] in starts_at_test(spec, whole.frames)])
    expected = np.asarray(method.predict(setup.run.variables, jnp.asarray(clips)))
    np.testing.assert_allclose([c.score for c in track.clips], expected, rtol=1e-5)
    assert track.score == pytest.approx(expected.mean(), rel=1e-5)
  assert verdict.score == max(t.score for t in verdict.tracks)
  assert verdict.verdict == setup.decision.verdict(verdict.score)
  assert verdict.probability == setup.decision.probability(verdict.score)
  with_mean = judge(toy_judge(over_tracks="mean"), path)
  weights = np.array([40, 33]) / 73
  assert with_mean.score == pytest.approx(weights @ [t.score for t in with_mean.tracks])


def test_dense_scoring_shows_and_does_not_decide(toy_judge, film):
  """Guards --stride: the same score with more clips, of which only the method's own count."""
  path = film("v.mp4", 40, [(0, 0, 40, 60)])
  plain, dense = judge(toy_judge(), path), judge(toy_judge(dense=Dense(stride=4)), path)
  assert dense.score == pytest.approx(plain.score, rel=1e-6)
  assert sum(c.counts for c in dense.tracks[0].clips) == len(plain.tracks[0].clips) == 2
  assert [c.first_frame for c in dense.tracks[0].clips] == sorted({*range(0, 37, 4), 0, 36})
  assert any("8 of 40 frames" in note for note in plain.notes) and not dense.notes


def test_faces_are_numbered_by_time_and_have_their_own_boxes(toy_judge, film):
  """Guards what tells faces apart: number, box of each clip, and a picture of their own."""
  path = film("three.mp4", 60, [(0, 30, 60, 100), (1, 0, 28, 10), (2, 0, 60, 60)])
  verdict = judge(toy_judge(), path)
  assert [(t.track, t.first_frame) for t in verdict.tracks] == [(1, 0), (2, 0), (3, 30)]
  lefts = [t.clips[0].box[0] for t in verdict.tracks]
  np.testing.assert_allclose(lefts, [10, 60, 100], atol=1.5)
  assert len({t.face for t in verdict.tracks}) == 3 and all(t.face.startswith("data:image/") for t in verdict.tracks)


def test_a_short_face_does_not_decide_a_long_video():
  """Guards the rule over faces: weights, the score, and a sentence that says so."""
  weights, score, rule = combine([0.2, 0.9, 0.4], [60.0, 0.5, 3.0], "max")
  assert (weights, score) == ([1.0, 0.0, 1.0], 0.4) and "at least 2.00 s" in rule and "shorter" in rule
  weights, score, _ = combine([0.2, 0.9, 0.4], [60.0, 0.5, 3.0], "mean")
  assert score == pytest.approx((60 * 0.2 + 3 * 0.4) / 63) and weights[1] == 0
  assert combine([0.9, 0.1], [0.5, 0.4], "max")[0] == [1.0, 1.0]  # all of a short video is short


def test_short_faces_that_look_forged_are_named(toy_judge, film):
  """Guards against silence about what the rule leaves out: the highest five by name, the others by number."""
  faces = [(n % 3, 10 * n, 10 * n + 8, 10 + 50 * (n % 3)) for n in range(7)] + [(0, 85, 160, 100)]
  decision = Decision(threshold=0.0, lower=0.0, upper=0.0, temperature=None, origin="")
  verdict = judge(toy_judge(decision=decision), film("v.mp4", 160, faces))
  [note] = [note for note in verdict.notes if "too short to decide" in note]
  short = sorted(verdict.tracks[:7], key=lambda t: -t.score)
  assert note.count("face ") == 5 and f": face {short[0].track} (" in note and "and 2 more" in note


def test_what_is_not_scored_is_told(toy_judge, film):
  """Guards the stretches without a face, with one that is too short for a clip, and faces that are left out."""
  path = film("gaps.mp4", 75, [(0, 0, 25, 10), (1, 34, 37, 60), (2, 50, 75, 100)])
  verdict = judge(toy_judge(), path)
  [gap] = verdict.not_scored
  assert (gap.start_second, gap.end_second) == (1.0, 2.0) and "a face, but for 0.12 s at most" in gap.reason
  assert any("1 of 3 face tracks are shorter than a clip (4 frames)" in note for note in verdict.notes)
  assert verdict.seconds == 3.0 and verdict.video_frames == 75
  setup = toy_judge()
  fewer = judge(dataclasses.replace(setup, faces=dataclasses.replace(setup.faces, max_tracks=1)), path)
  assert len(fewer.tracks) == 1 and any("1 of 2 face tracks were left out" in note for note in fewer.notes)


def test_reasons_for_no_verdict(toy_judge, film, tmp_path, monkeypatch):
  """Guards that a video which cannot be judged says why, whatever happened, and is no verdict."""
  (tmp_path / "text.mp4").write_text("no video")
  cases = {
    tmp_path / "none.mp4": "no such file",
    tmp_path / "text.mp4": "cannot be decoded",
    film("empty.mp4", 20, []): "no face",
    film("short.mp4", 3, [(0, 0, 3, 10)]): "too short: 3 of at least 4 frames",
    film("glimpse.mp4", 20, [(0, 5, 8, 10)]): "no face for 4 frames on end (longest: 3 of 20 frames)",
  }
  for path, reason in cases.items():
    verdict = judge(toy_judge(), path)
    assert (verdict.status, verdict.verdict, verdict.score) == ("failed", "", None)
    assert reason in verdict.reason
  good = film("good.mp4", 20, [(0, 0, 20, 10)])
  nan = toy_judge(scorer=lambda variables, clips: {"probability": np.full(3, np.nan)})
  assert "not a number (NaN)" in judge(nan, good).reason
  monkeypatch.setattr(judging, "face_tracks", lambda *args, **options: 1 / 0)
  assert judge(toy_judge(), good).reason == "unexpected ZeroDivisionError: division by zero"


def test_many_faces(toy_judge, film):
  """Guards a video of many faces: each stretch is a face of its own, all in one pass over the video."""
  faces = [(n % 3, 10 * n, 10 * n + 8, 10 + 30 * (n % 4)) for n in range(12)]
  verdict = judge(toy_judge(), film("many.mp4", 120, faces))
  assert [t.first_frame for t in verdict.tracks] == [10 * n for n in range(12)]


def test_a_score_per_frame_where_the_model_has_one(toy_judge, film):
  """Guards DIL's lane: each frame of the snippets is told with its second and its probability."""
  import jax

  from dfdetect_jax.methods.method import ClipSpec

  class Method:
    clip_spec = ClipSpec(frames=2, size=16, snippets=2, test_snippets=3, test_clips=1)

  class Model:
    def apply(self, variables, clips, train):
      logits = clips.astype("float32").mean(axis=(-3, -2, -1)) / 100 - 1
      return {"logit": logits.mean(axis=(1, 2)), "frame_logits": logits}

  Method.model = Model()
  setup = toy_judge()
  setup = dataclasses.replace(
    setup, run=dataclasses.replace(setup.run, method=Method, variables={}),
    scorer=judging.make_scorer(Method, setup.run.mesh),
  )  # fmt: skip
  path = film("v.mp4", 21, [(0, 0, 21, 60)])
  [track] = judge(setup, path).tracks
  [clip] = track.clips
  [whole] = face_tracks(path, setup.faces, setup.detector)
  crops = np.stack([resize(c, 16) for c in whole.crops()])
  starts = starts_at_test(Method.clip_spec, 21)[0]
  frames = [s + k for s in starts for k in (0, 1)]
  expected = jax.nn.sigmoid(crops[frames].mean(axis=(1, 2, 3)) / 100 - 1)
  assert [index for index, _, _ in clip.frames] == frames
  np.testing.assert_allclose([second for _, second, _ in clip.frames], np.array(frames) / 25, atol=1e-3)
  np.testing.assert_allclose([p for _, _, p in clip.frames], expected, rtol=1e-4)


def test_verdicts_survive_json(toy_judge, film, tmp_path):
  """Guards the results file: what is written reads back as the same verdict, a name that is no text included."""
  verdict = judge(toy_judge(dense=Dense(clips=3)), film("v.mp4", 30, [(0, 0, 30, 60)]))
  for path in (verdict.path, "tab\there\nand\udcff<b>.mp4"):
    named = dataclasses.replace(verdict, path=path)
    content = json.loads(json.dumps(named.to_json()))
    assert VideoVerdict.from_json(content) == named
    assert content["path"].isprintable() and content["path"].encode()
  assert VideoVerdict.from_json(judge(toy_judge(), tmp_path / "none").to_json()).reason == "no such file"


def test_the_threshold_is_obeyed(toy_judge, film):
  """Guards --threshold: the same scores, the other verdict."""
  path = film("v.mp4", 30, [(0, 0, 30, 60)])
  score = judge(toy_judge(), path).score
  for threshold, verdict in ((score - 1e-3, "fake"), (score + 1e-3, "real")):
    decision = Decision(threshold=threshold, lower=threshold, upper=threshold, temperature=None, origin="")
    assert judge(toy_judge(decision=decision), path).verdict == verdict
