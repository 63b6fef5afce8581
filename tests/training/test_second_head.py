"""Runs with the second head: what they add to a step, whether they learn, and that nothing downstream minds."""

import importlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import dfdetect_jax
from dfdetect_jax.augment.forged_batch import LANDMARKS_OF
from dfdetect_jax.interop import start
from dfdetect_jax.runs.config import override
from dfdetect_jax.runs.restore import restore_run
from dfdetect_jax.training import loop
from dfdetect_jax.training.program import make_program


def config(name, **changes):
  card = importlib.import_module(f"configs.{name}").get_config("test_reals")
  return override(card, {"boundary_weight": 1.0, **changes})


def test_a_step_has_it_only_where_it_is_asked_for():
  """Guards runs without it: no parameter and no metric more; with it one metric."""
  names = {}
  for weight in (0.0, 1.0):
    program = make_program(config("st_ilif", boundary_weight=weight, batch_size=8), 1)
    state, metrics = jax.eval_shape(program.step(), program.abstract, program.batch_shapes(), program.run_key)
    names[weight] = set(metrics)
    assert ("boundary" in state.params) == bool(weight)
  assert names[0.0] == {"loss", "accuracy", "grad_norm"} and names[1.0] == {*names[0.0], "boundary_loss"}


@pytest.mark.slow
def test_a_detector_learns_where_faces_are_blended():
  """Guards the whole step, forging included: on one batch ST-ILIF's boundary loss falls by three tenths."""
  program = make_program(config("st_ilif", batch_size=2), 30, devices=jax.devices()[:1])
  shapes = program.batch_shapes()
  rng = np.random.default_rng(0)
  noise = jnp.asarray(rng.integers(0, 256, (*shapes["clip"].shape[:2], 8, 8, 3)), jnp.float32)
  face = jnp.array([[0.3, 0.35], [0.7, 0.35], [0.5, 0.55], [0.35, 0.75], [0.65, 0.75]])
  points = shapes[LANDMARKS_OF + "clip"]
  batch = {
    "clip": jax.image.resize(noise, shapes["clip"].shape, "linear").astype(jnp.uint8),
    LANDMARKS_OF + "clip": jnp.broadcast_to(face, points.shape),
  }
  step, state, losses = jax.jit(program.step()), program.initial_state(), []
  for _ in range(20):
    state, metrics = step(state.replace(step=jnp.int32(0)), batch, program.run_key)  # the same forgeries each time
    losses.append(float(metrics["boundary_loss"]))
  assert losses[-1] < 0.7 * losses[0]


@pytest.mark.slow
def test_a_run_with_it_is_a_run_like_any_other(toy_dataset, tmp_path):
  """Guards resume, restoring, `load` and `config.init`, to and from runs without it."""
  changes = {"data": str(toy_dataset), "total_steps": 4, "eval_every": 2, "checkpoint_every": 2}
  changes |= {"batch_size": 8, "eval_batch_size": 8}
  changes["optimizer.schedule"] = "constant"  # which does not depend on a run's length
  card = lambda **more: config("baselines", **changes | more)  # noqa: E731
  straight = loop.train_and_evaluate(card(), tmp_path / "a")
  loop.train_and_evaluate(card(total_steps=2), tmp_path / "b")
  resumed = loop.train_and_evaluate(card(), tmp_path / "b")
  jax.tree.map(np.testing.assert_array_equal, resumed.params, straight.params)
  run = restore_run(str(tmp_path / "a"), "latest")
  np.testing.assert_array_equal(run.variables["params"]["boundary"]["kernel"], straight.params["boundary"]["kernel"])
  clips = np.zeros((2, *run.method.clip_spec.shape(train=False)), np.uint8)
  assert dfdetect_jax.load(tmp_path / "a").outputs(clips)["logit"].shape == (2,)

  values, report = start.initial_variables(tmp_path / "a", card(boundary_weight=0.0), jax.random.key(0))
  assert set(report.unused) == {"params/boundary/kernel", "params/boundary/bias"} and not report.fresh
  loop.train_and_evaluate(card(boundary_weight=0.0, total_steps=2), tmp_path / "c")
  values, report = start.initial_variables(tmp_path / "c", card(), jax.random.key(0))
  assert set(report.fresh) == {"params/boundary/kernel", "params/boundary/bias"}
  assert np.abs(values["params"]["boundary"]["kernel"]).max() > 0
