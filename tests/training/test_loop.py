"""The loop: resuming, diverging, compiling once, skipping, tracing. The toy method stands for all."""

import dataclasses
import json
import logging
import shutil

import jax
import numpy as np
import pytest
from helpers.folders import metrics_of

from dfdetect_jax import schema
from dfdetect_jax.errors import UserError
from dfdetect_jax.runs.checkpoints import Checkpoints
from dfdetect_jax.runs.config import override
from dfdetect_jax.runs.restore import restore_run
from dfdetect_jax.training import loop, validation


def assert_identical(a, b):
  """Every leaf of two states is the same, bit for bit."""
  for (path, x), y in zip(jax.tree_util.tree_flatten_with_path(a)[0], jax.tree.leaves(b), strict=True):
    np.testing.assert_array_equal(np.asarray(x), np.asarray(y), err_msg=str(path))


@pytest.fixture(scope="module")
def straight(toy, toy_dataset, tmp_path_factory):
  """A run of twenty steps: its workdir and last state."""
  config = toy.get_config().unlock()
  config.data = str(toy_dataset)
  workdir = tmp_path_factory.mktemp("straight")
  with jax.numpy_dtype_promotion("standard"):
    state = loop.train_and_evaluate(config, workdir)
  return workdir, state


@pytest.mark.slow
def test_a_run_that_stops_half_way_goes_on_bit_for_bit(toy_config, straight, tmp_path):
  """Guards exact resume: N steps, stop, N more give the state and the metrics of 2N steps, validations included."""
  workdir, state = straight
  loop.train_and_evaluate(override(toy_config, {"total_steps": 10}), tmp_path)
  resumed = loop.train_and_evaluate(override(toy_config, {"total_steps": 20}), tmp_path)
  assert_identical(resumed, state)
  assert metrics_of(tmp_path) == metrics_of(workdir)
  assert [line["step"] for line in metrics_of(tmp_path)] == [5, 10, 10, 15, 20, 20]


@pytest.mark.slow
def test_a_finished_run_started_again_changes_nothing(toy_config, straight, tmp_path):
  """Guards against a run that trains past its end, or forgets metrics, when its command is given once more."""
  workdir, state = straight
  shutil.copytree(workdir, tmp_path / "run")
  assert_identical(loop.train_and_evaluate(toy_config, tmp_path / "run"), state)
  assert metrics_of(tmp_path / "run") == metrics_of(workdir)


@pytest.mark.slow
def test_metrics_after_the_checkpoint_are_forgotten(toy_config, straight, tmp_path):
  """Guards metrics.jsonl after a kill between checkpoints: no step twice, half-written lines gone."""
  workdir, state = straight
  shutil.copytree(workdir, tmp_path / "run")
  shutil.rmtree(tmp_path / "run" / "checkpoints" / "20")
  with open(tmp_path / "run" / "metrics.jsonl", "a") as file:
    file.write('{"step": 23, "train/lo')
  assert_identical(loop.train_and_evaluate(toy_config, tmp_path / "run"), state)
  assert metrics_of(tmp_path / "run") == metrics_of(workdir)


@pytest.mark.slow
def test_a_run_goes_on_on_another_mesh(toy_config, straight, tmp_path, monkeypatch):
  """Guards restoring onto other devices: saved from data=8, it goes on under fsdp=4, equal up to reduction order."""
  workdir, state = straight
  monkeypatch.setattr("dfdetect_jax.devices.mesh.FSDP_MIN_SIZE", 16)
  shutil.copytree(workdir, tmp_path / "run")
  shutil.rmtree(tmp_path / "run" / "checkpoints" / "20")
  other = loop.train_and_evaluate(override(toy_config, {"mesh.fsdp": 4}), tmp_path / "run")
  assert other.params["Dense_0"]["kernel"].sharding.spec == jax.sharding.PartitionSpec("fsdp", None)
  for a, b in zip(jax.tree.leaves(state.params), jax.tree.leaves(other.params), strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)


@pytest.mark.slow
def test_the_seed_decides(toy_config, straight, tmp_path):
  """Guards against randomness that the seed does not reach."""
  other = loop.train_and_evaluate(override(toy_config, {"seed": 1, "total_steps": 5, "eval_every": 0}), tmp_path)
  assert other.step == 5
  assert metrics_of(tmp_path)[0]["train/loss"] != metrics_of(straight[0])[0]["train/loss"]


@pytest.mark.slow
def test_the_step_and_the_prediction_compile_once(toy_config, tmp_path, caplog):
  """Guards against recompilation in the loop, at the end of an epoch, in later validations or per video."""
  with jax.log_compiles(), caplog.at_level(logging.WARNING, logger="jax"):
    loop.train_and_evaluate(toy_config, tmp_path)
  compiled = [r.getMessage().split()[1] for r in caplog.records if r.getMessage().startswith("Compiling ")]
  assert compiled.count("jit(train_step)") == 1, compiled
  assert compiled.count("jit(predict)") == 1, compiled


def test_another_run_is_not_continued(toy_config, straight):
  """Guards against going on under other settings; each is named with both values."""
  with pytest.raises(UserError, match=r"model.width: 16 → 8; optimizer.b1: 0.9 → 0.5\)"):
    loop.train_and_evaluate(override(toy_config, {"model.width": 8, "optimizer.b1": 0.5}), straight[0])


def test_a_checkpoint_of_another_architecture_names_the_paths(toy_config, straight, tmp_path):
  """Guards the message for weights that do not fit the config."""
  shutil.copytree(straight[0], tmp_path / "run")
  (tmp_path / "run" / "config.json").unlink()
  with pytest.raises(
    UserError, match=r"(?s)params differ in 4 .*Dense_0/kernel: saved .*\[48, 16\], needed .*\[48, 8\]"
  ):
    loop.train_and_evaluate(override(toy_config, {"model.width": 8}), tmp_path / "run")


@pytest.mark.slow
def test_divergence_stops_and_names_the_last_good_checkpoint(toy_config, tmp_path):
  """Guards the NaN policy: the step is named, the checkpoint before it is kept, nothing bad is saved after it."""
  config = override(toy_config, {"optimizer.learning_rate": 1e30, "checkpoint_every": 1, "log_every": 1})
  with pytest.raises(loop.Diverged, match=r"at step (\d+); the last good checkpoint is .*checkpoints") as error:
    loop.train_and_evaluate(config, tmp_path)
  step = int(str(error.value).split("at step ")[1].split(";")[0])
  checkpoints = Checkpoints(tmp_path, 2)
  assert checkpoints.latest() in (step - 1, step - 2)  # a finite loss may already come with an infinite update
  checkpoints.close()


@pytest.mark.slow
@pytest.mark.parametrize("bad, survives", [((4, 5), True), ((4, 5, 6), False)])
def test_up_to_k_bad_steps_in_a_row_are_skipped(toy_config, tmp_path, monkeypatch, bad, survives, toy):
  """Guards skip_nonfinite: bad steps leave the state alone and are recorded; one more in a row than allowed stops."""
  clean = toy.ToyMethod.loss

  def poisoned(self, params, model_state, teacher, batch, rng):
    loss, aux = clean(self, params, model_state, teacher, batch, rng)
    keys = [jax.random.fold_in(_run_key(toy_config), s - 1) for s in bad]
    hit = sum(jax.numpy.all(jax.random.key_data(rng) == jax.random.key_data(k)) for k in keys)
    return jax.numpy.where(hit > 0, jax.numpy.nan, loss), aux

  monkeypatch.setattr(toy.ToyMethod, "loss", poisoned)
  config = override(toy_config, {"skip_nonfinite": 2, "total_steps": 8, "eval_every": 0, "log_every": 1})
  if not survives:
    with pytest.raises(loop.Diverged, match="at step 6, the 3th in a row"):
      loop.train_and_evaluate(config, tmp_path)
    return
  state = loop.train_and_evaluate(config, tmp_path)
  assert int(state.step) == 8 and all(np.isfinite(x).all() for x in jax.tree.leaves(state.params))
  assert int(state.opt_state[0].count) == 6
  lines = {line["step"]: line for line in metrics_of(tmp_path) if "train/loss" in line}
  assert [lines[s]["train/skipped"] for s in range(3, 7)] == [0, 1, 2, 2]


def _run_key(config):
  return jax.random.split(jax.random.key(config.seed))[1]


@pytest.mark.slow
def test_triplets_train_too(toy, toy_config, tmp_path, capsys):
  """Guards the loop's other kind of example, and the list of tracks left out."""
  state = loop.train_and_evaluate(override(toy_config, {"clips.example": "triplet", "total_steps": 5}), tmp_path)
  assert int(state.step) == 5
  assert "18 training tracks (1 left out, shorter than 4 frames), 18 examples an epoch" in capsys.readouterr().out


@pytest.mark.slow
def test_a_trace_of_chosen_steps(toy_config, tmp_path):
  """Guards --profile: an xplane file for xprof."""
  loop.train_and_evaluate(override(toy_config, {"total_steps": 5, "eval_every": 0}), tmp_path, profile=(2, 3))
  assert list((tmp_path / "profile").rglob("*.xplane.pb"))


@pytest.mark.slow
def test_speeds_are_recorded(straight):
  """Guards the metrics that tell whether devices or data are slow."""
  line = json.loads((straight[0] / "metrics.jsonl").read_text().splitlines()[0])
  for name in ("step_seconds", "clips_per_second_per_device", "data_wait", "checkpoint_seconds", "tflops_per_device"):
    assert line[f"speed/{name}"] >= 0
  assert line["speed/clips_per_second"] == pytest.approx(8 * line["speed/clips_per_second_per_device"])
  assert line["speed/step_seconds"] == pytest.approx(1 / line["speed/steps_per_second"])


def test_weights_are_chosen_by_name(straight):
  """Guards evaluation's choice of checkpoint and of teacher or student."""
  workdir, state = straight
  teacher, student = restore_run(workdir, "latest"), restore_run(workdir, "20", "student")
  assert (teacher.step, teacher.weights, student.weights) == (20, "teacher", "student")
  assert_identical(teacher.variables["params"], state.teacher)
  assert_identical(student.variables["params"], state.params)
  best = max((line for line in metrics_of(workdir) if "val/auc" in line), key=lambda line: line["val/auc"])
  assert restore_run(workdir).step == best["step"]
  with pytest.raises(UserError, match="has no checkpoint '7'"):
    restore_run(workdir, "7")
  with pytest.raises(UserError, match="is not the workdir of a run"):
    restore_run(workdir / "checkpoints")


@pytest.mark.slow
def test_unreadable_checkpoints_are_set_aside(toy_config, straight, tmp_path, caplog):
  """Guards the fall-back: a truncated latest checkpoint costs the steps since the one before it, never the run."""
  workdir, state = straight
  shutil.copytree(workdir, tmp_path / "run")
  for file in (tmp_path / "run" / "checkpoints" / "20" / "params").rglob("*"):
    if file.is_file():
      file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
  assert_identical(loop.train_and_evaluate(toy_config, tmp_path / "run"), state)
  assert "checkpoint 20 cannot be read" in caplog.text
  assert (tmp_path / "run" / "damaged_checkpoints" / "20").is_dir()


@pytest.mark.slow
@pytest.mark.parametrize("item", ["params", "opt_state", "run"])
def test_missing_files_count_as_unreadable(toy_config, straight, tmp_path, caplog, item):
  """Guards the fall-back for each part of a checkpoint that may be gone."""
  shutil.copytree(straight[0], tmp_path / "run")
  shutil.rmtree(tmp_path / "run" / "checkpoints" / "20" / item)
  assert_identical(loop.train_and_evaluate(toy_config, tmp_path / "run"), straight[1])
  assert "checkpoint 20 cannot be read" in caplog.text


def test_when_no_checkpoint_can_be_read_the_run_stops(toy_config, straight, tmp_path):
  """Guards against starting over silently when everything that was saved is damaged."""
  shutil.copytree(straight[0], tmp_path / "run")
  for step in (15, 20):
    shutil.rmtree(tmp_path / "run" / "checkpoints" / str(step) / "params")
  with pytest.raises(UserError, match="none of the 2 checkpoints"):
    loop.train_and_evaluate(toy_config, tmp_path / "run")


@pytest.mark.slow
def test_a_run_sees_only_the_videos_that_its_config_names(toy_config, tmp_path, capsys):
  """Guards cross-manipulation trainings: a forgery left out must be neither trained on nor validated on."""
  data = tmp_path / "data"
  shutil.copytree(toy_config.data, data)
  other = lambda t: dataclasses.replace(t, manipulation="F2F") if t.label and t.video_id[-1] in "0246" else t  # noqa: E731
  tracks = [other(track) for track in schema.read_tracks(data)]
  schema.write_tracks(data, tracks)
  config = override(toy_config, {"data": str(data), "total_steps": 1, "videos.manipulations": ("F2F",)})
  seen = []
  scored = validation.score_split
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(validation, "score_split", lambda *args, **kwargs: seen.extend(scored(*args, **kwargs)) or seen)
    loop.train_and_evaluate(config, tmp_path / "run")
  long = [t for t in tracks if t.frames > 3 and t.manipulation in ("original", "F2F")]
  assert f"{len([t for t in long if t.split == 'train'])} training tracks" in capsys.readouterr().out
  assert {s.video_id for s in seen if not s.failed} == {t.video_id for t in long if t.split == "val"}
  with pytest.raises(UserError, match="no video of NT in split 'train'.*toy/DF/c23/train"):
    loop.train_and_evaluate(override(config, {"videos.manipulations": ("NT",)}), tmp_path / "none")
