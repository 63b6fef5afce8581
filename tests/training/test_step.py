"""One step: teacher, accumulation, keys."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dfdetect_jax.errors import UserError
from dfdetect_jax.methods.method import Method, binary_cross_entropy
from dfdetect_jax.runs.state import init_state
from dfdetect_jax.training.optimizers import make_optimizer
from dfdetect_jax.training.step import make_train_step


@pytest.fixture(scope="module")
def made(toy):
  """Method, optimizer and state of the toy."""
  config = toy.get_config()
  method = toy.build(config)
  shapes = jax.eval_shape(method.init, jax.random.key(0))
  optimizer, _ = make_optimizer(config.optimizer, shapes["params"], 10)
  return method, optimizer, init_state(method, optimizer, jax.random.key(0))


@pytest.fixture(scope="module")
def batch():
  rng = np.random.default_rng(0)
  return {
    "clip": jnp.asarray(rng.integers(0, 256, (8, 4, 16, 16, 3)), jnp.uint8),
    "label": jnp.asarray([0, 1] * 4, jnp.int32),
  }


def test_teacher_is_the_moving_average_of_the_student(made, batch):
  """Guards θt ← 0.99 θt + 0.01 θs in float32, after the student's update and without rounding to a compute dtype."""
  method, optimizer, state = made
  step = jax.jit(make_train_step(method, optimizer))
  for _ in range(3):
    new, _ = step(state, batch, jax.random.key(1))
    for old, student, teacher in zip(*map(jax.tree.leaves, (state.teacher, new.params, new.teacher)), strict=True):
      expected = 0.99 * np.asarray(old, np.float64) + 0.01 * np.asarray(student, np.float64)
      assert teacher.dtype == jnp.float32
      np.testing.assert_allclose(teacher, expected, rtol=3e-7, atol=1e-9)
    state = new
  assert not np.array_equal(state.teacher["Dense_0"]["kernel"], state.params["Dense_0"]["kernel"])


def test_compute_dtype_does_not_reach_the_state(toy, batch):
  """Guards bf16: parameters, statistics, teacher, optimizer state and loss stay float32."""
  config = toy.get_config().unlock()
  config.dtype = "bfloat16"
  method = toy.build(config)
  shapes = jax.eval_shape(method.init, jax.random.key(0))
  optimizer, _ = make_optimizer(config.optimizer, shapes["params"], 10)
  state = init_state(method, optimizer, jax.random.key(0))
  state, metrics = jax.eval_shape(make_train_step(method, optimizer), state, batch, jax.random.key(1))
  kept = (state.params, state.model_state, state.teacher, state.opt_state, state.progress, metrics)
  assert {x.dtype for x in jax.tree.leaves(kept)} == {jnp.dtype("float32"), jnp.dtype("int32")}


@dataclasses.dataclass(frozen=True)
class Uncoupled(Method):
  """A loss that is a mean over examples: no dropout, no batch statistics."""

  def loss(self, params, model_state, teacher, batch, rng):
    del teacher, rng
    logit = self.model.apply({"params": params, **model_state}, batch["clip"])["logit"]
    return binary_cross_entropy(logit, batch["label"]), ({}, model_state)


@pytest.mark.slow
@pytest.mark.parametrize("parts", [2, 4])
def test_accumulated_parts_equal_the_large_batch(made, batch, parts):
  """Guards gradient accumulation: gradients are averaged, not summed, and no row is lost."""
  method, optimizer, state = made
  method = Uncoupled(model=method.model, clip_spec=method.clip_spec, ema_decay=0.99)
  whole, whole_metrics = jax.jit(make_train_step(method, optimizer))(state, batch, jax.random.key(1))
  cut, cut_metrics = jax.jit(make_train_step(method, optimizer, parts))(state, batch, jax.random.key(1))
  # The gradient as Adam's first moment keeps it: parameters divide by its size and would amplify rounding.
  mu = lambda s: s.opt_state[0].mu  # noqa: E731
  for a, b in zip(jax.tree.leaves(mu(whole)), jax.tree.leaves(mu(cut)), strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-8)
  np.testing.assert_allclose(whole_metrics["loss"], cut_metrics["loss"], rtol=1e-6)
  np.testing.assert_allclose(whole_metrics["grad_norm"], cut_metrics["grad_norm"], rtol=1e-5)


def test_accumulation_on_a_cpu_is_no_loop(made, batch):
  """Guards its time: in a loop XLA takes tens of times as long for a convolution's gradients there."""
  method, optimizer, state = made
  method = Uncoupled(model=method.model, clip_spec=method.clip_spec, ema_decay=0.99)  # without dropout, a loop too
  text = jax.jit(make_train_step(method, optimizer, 4)).lower(state, batch, jax.random.key(1)).as_text()
  assert "stablehlo.while" not in text


def test_accumulation_needs_equal_parts(made, batch):
  """Guards the message for a batch that cannot be cut."""
  method, optimizer, state = made
  with pytest.raises(UserError, match="accumulate=3 does not cut batch_size=8"):
    jax.eval_shape(make_train_step(method, optimizer, 3), state, batch, jax.random.key(1))


def test_randomness_is_of_the_step(made, batch):
  """Guards resume: dropout at step s follows from the run's key and s, and differs between steps."""
  method, optimizer, state = made
  step = jax.jit(make_train_step(method, optimizer))
  loss = lambda state, key: float(step(state, batch, key)[1]["loss"])  # noqa: E731
  later = state.replace(step=state.step + 1)
  key = jax.random.key(1)
  assert loss(state, key) == loss(state, key)
  assert loss(state, key) != loss(later, key)
  assert loss(state, key) != loss(state, jax.random.key(2))


def test_what_is_frozen_costs_no_gradient(toy, batch):
  """Guards frozen parameters: they stay bit for bit, the others learn as before, and their product is not computed."""
  config = toy.get_config().unlock()
  config.optimizer.rules = ((r"Dense_0/kernel", 0.0, 0.0), (r".*", 1.0, 1.0))
  method = toy.build(config)
  optimizer, _ = make_optimizer(config.optimizer, jax.eval_shape(method.init, jax.random.key(0))["params"], 10)
  state = init_state(method, optimizer, jax.random.key(0))
  trained = jax.tree.map(lambda _: True, state.params)
  trained["Dense_0"]["kernel"] = False
  made, products = [], []
  for some in (None, trained):
    lowered = jax.jit(make_train_step(method, optimizer, trained=some)).lower(state, batch, jax.random.key(1))
    products.append(lowered.as_text().count("dot_general"))
    made.append(lowered.compile()(state, batch, jax.random.key(1))[0].params)
  assert products[1] == products[0] - 1
  np.testing.assert_array_equal(made[1]["Dense_0"]["kernel"], state.params["Dense_0"]["kernel"])
  assert not np.array_equal(made[1]["Dense_1"]["kernel"], state.params["Dense_1"]["kernel"])
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7), *made)
