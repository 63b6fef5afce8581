"""Runs on real videos alone: forgeries at every step and at validation, resumed bit for bit."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dfdetect_jax import schema
from dfdetect_jax.augment.self_blending import SelfBlending
from dfdetect_jax.data.forgeries import Forgeries
from dfdetect_jax.devices.mesh import make_mesh
from dfdetect_jax.evaluation.evaluator import score_split
from dfdetect_jax.evaluation.forged_twins import ForgedTwins
from dfdetect_jax.runs.config import override
from dfdetect_jax.runs.trained_videos import trained_videos
from dfdetect_jax.training import loop
from dfdetect_jax.training.program import make_program
from dfdetect_jax.training.videos import training_videos


@pytest.fixture
def reals(toy_dataset, tmp_path):
  """The toy dataset without a fake in val, as its list of tracks tells; the records are the same."""
  folder = tmp_path / "reals"
  folder.mkdir()
  for file in toy_dataset.iterdir():
    (folder / file.name).symlink_to(file)
  (folder / schema.TRACKS_FILE).unlink()
  tracks = schema.read_tracks(toy_dataset)
  schema.write_tracks(folder, [t for t in tracks if t.split == "test" or t.label == 0])
  return folder


def config_on(toy_config, folder, **changes):
  return override(toy_config, {"data": str(folder), "forgeries": "self_made", **changes})


@pytest.mark.slow
def test_reals_alone_are_enough(toy_config, reals, tmp_path):
  """Guards learning from real videos: it trains, validates by AUC on forgeries of val, keeps the best step, and a run
  that stopped goes on to the same parameters, bit for bit."""
  changes = {"clips.example": "triplet", "total_steps": 6, "eval_every": 3, "checkpoint_every": 3, "log_every": 1}
  straight = loop.train_and_evaluate(config_on(toy_config, reals, **changes), tmp_path / "a")
  loop.train_and_evaluate(override(toy_config, {"total_steps": 3}), tmp_path / "b")
  resumed = loop.train_and_evaluate(override(toy_config, {"total_steps": 6}), tmp_path / "b")
  jax.tree.map(np.testing.assert_array_equal, resumed.params, straight.params)
  lines = [json.loads(line) for line in (tmp_path / "a" / "metrics.jsonl").read_text().splitlines()]
  assert [line["step"] for line in lines if "val/auc" in line] == [3, 6]
  assert int(straight.progress.best_step) in (3, 6)
  assert {v.label for v in trained_videos(tmp_path / "a", toy_config)} == {0}


def test_what_a_run_on_reals_says(toy_config, toy_dataset, reals):
  """Guards silence: forged validation is said with its count; given fakes of val are used where there are some, and
  those of train, which the run passes by, are not said to have been seen."""
  spec = loop.methods.build(toy_config).clip_spec
  videos = training_videos(config_on(toy_config, reals), spec)
  assert videos.forges_validation
  assert "fixed self-made forgeries of its 4 real tracks take their place" in videos.warnings[0]
  given = training_videos(config_on(toy_config, toy_dataset), spec)
  assert not given.forges_validation and not given.warnings
  assert {(t.split, t.label) for t in given.everything} == {
    ("train", 0), ("val", 0), ("val", 1), ("test", 0), ("test", 1)
  }  # fmt: skip
  assert {t.label for t in given.tracks} == {0} and given.epoch == len(given.tracks) * spec.train_clips


@pytest.mark.parametrize("example, clips", [("clip", 32), ("pair", 32), ("triplet", 64)])
def test_the_step_is_traced_with_what_the_loader_gives(toy_config, example, clips):
  """Guards the shapes between loader, forging and objective, for both sources and the accumulated step."""
  for source in ("self_made", "both", *(("given",) if example == "pair" else ())):
    config = override(toy_config, {"forgeries": source, "clips.example": example, "batch_size": 16, "accumulate": 2})
    program = make_program(config, 1)
    assert program.clips_per_step == clips
    assert program.batch_shapes().keys() == Forgeries(source).batch_shapes(program.method.clip_spec, 16).keys()
    _, metrics = jax.eval_shape(program.step(), program.abstract, program.batch_shapes(), program.run_key)
    assert metrics["loss"].shape == ()


@pytest.mark.slow
def test_twins_are_scored_once_each_and_alike(toy, toy_dataset):
  """Guards validation without fakes: every real track as it is and forged, the same scores at any batch size.

  The detector that stands in measures how much frames differ, so its score tells what was done to the clip.
  """

  @dataclasses.dataclass(frozen=True)
  class Differences(toy.ToyMethod):
    def predict(self, variables, clips):
      return jnp.mean(jnp.abs(jnp.diff(clips.astype(jnp.float32), axis=-4)), axis=(-4, -3, -2, -1)) / 255

  spec = toy.ClipSpec(frames=4, size=16, test_clips=3)
  method, mesh = Differences(model=None, clip_spec=spec), make_mesh(toy.get_config().mesh)
  twins = ForgedTwins(method, mesh, SelfBlending(post_processing=0.0, photometric=0.0))
  found = {}
  for batch in (8, 16):
    rows = score_split(
      None, {}, method, str(toy_dataset), "val", mesh=mesh, batch_size=batch, progress=False, twins=twins
    )
    found[batch] = {row.video_id: (row.label, row.manipulation, row.score) for row in rows if not row.failed}
  real = {t.video_id for t in schema.read_tracks(toy_dataset, "val") if t.label == 0 and t.frames >= 4}
  assert set(found[8]) == real | {f"{name}/self_made" for name in real}
  assert all(found[8][name][0] == 0 and found[8][f"{name}/self_made"][:2] == (1, "self_made") for name in real)
  assert any(abs(found[8][name][2] - found[8][f"{name}/self_made"][2]) > 1e-4 for name in real)
  for name, (label, manipulation, score) in found[8].items():
    assert found[16][name] == (label, manipulation, pytest.approx(score, abs=1e-6))
