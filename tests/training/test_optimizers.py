"""Optimizers, schedules and rules against their formulas."""

import importlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dfdetect_jax.errors import UserError
from dfdetect_jax.runs.config import base_config
from dfdetect_jax.runs.state import path_name
from dfdetect_jax.training import optimizers

PARAMS = {
  "dense": {"kernel": np.array([[1.0, -2.0], [0.5, 3.0]], np.float32), "bias": np.array([1.0, -1.0], np.float32)},
  "norm": {"scale": np.array([1.5], np.float32)},
  "cls_token": np.array([2.0], np.float32),
}
DECAYED = {"dense/kernel"}


def settings(**values):
  config = base_config().optimizer
  config.update(values)
  return config


def gradients(steps):
  rng = np.random.default_rng(0)
  return [jax.tree.map(lambda p: rng.normal(size=p.shape).astype(np.float32), PARAMS) for _ in range(steps)]


def run(config, grads, total_steps=10):
  optimizer, _ = optimizers.make_optimizer(config, PARAMS, total_steps)
  params, state = jax.tree.map(jnp.asarray, PARAMS), None
  state = optimizer.init(params)
  for grad in grads:
    updates, state = optimizer.update(grad, state, params)
    params = optax.apply_updates(params, updates)
  return params


def by_name(tree):
  return {path_name(path): np.asarray(x) for path, x in jax.tree_util.tree_flatten_with_path(tree)[0]}


@pytest.mark.parametrize("name", ["adamw", "adam", "sgd", "nesterov"])
def test_steps_equal_the_formulas_in_float64(name):
  """Guards the optimizers: decay apart from the gradient (AdamW) or in it, bias correction, none on biases."""
  rate, decay, b1, b2, momentum, eps = 1e-2, 0.3, 0.8, 0.95, 0.7, 1e-8
  grads = gradients(4)
  found = by_name(
    run(
      settings(
        name="sgd" if name == "nesterov" else name, learning_rate=rate, weight_decay=decay, b1=b1, b2=b2,
        momentum=momentum, nesterov=name == "nesterov",
      ),
      grads,
    )
  )  # fmt: skip
  for path, value in by_name(PARAMS).items():
    p = value.astype(np.float64)
    m = v = np.zeros_like(p)
    factor = decay if path in DECAYED else 0.0
    for t, grad in enumerate(grads, 1):
      g = by_name(grad)[path].astype(np.float64)
      if name != "adamw":
        g = g + factor * p
      if name in ("sgd", "nesterov"):
        m = momentum * m + g
        p = p - rate * (g + momentum * m if name == "nesterov" else m)
        continue
      m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g**2
      step = (m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + eps)
      p = p - rate * (step + (factor * p if name == "adamw" else 0.0))
    np.testing.assert_allclose(found[path], p, rtol=2e-6, err_msg=path)


def test_clipping_scales_the_whole_gradient_once():
  """Guards clipping by the global norm, not per parameter: SGD moves by the clipped gradient."""
  [grad] = gradients(1)
  norm = np.sqrt(sum((g.astype(np.float64) ** 2).sum() for g in jax.tree.leaves(grad)))
  found = run(settings(name="sgd", learning_rate=1.0, momentum=0.0, clip_norm=0.5), [grad])
  for path, value in by_name(PARAMS).items():
    np.testing.assert_allclose(found_at(found, path), value - by_name(grad)[path] * 0.5 / norm, rtol=1e-6, atol=1e-7)


def found_at(tree, path):
  return by_name(tree)[path]


def test_the_first_rule_that_matches_counts():
  """Guards the order of rules and that they match whole names; a rate factor of 0 freezes."""
  rules = ((r"dense/.*", 0.5, 0.0), (r".*kernel", 1.0, 1.0), (r".*", 0.0, 2.0))
  decay, rate = optimizers.rule_factors(PARAMS, rules)
  assert by_name(decay) == {"dense/kernel": 0.5, "dense/bias": 0.5, "norm/scale": 0.0, "cls_token": 0.0}
  assert by_name(rate) == {"dense/kernel": 0.0, "dense/bias": 0.0, "norm/scale": 2.0, "cls_token": 2.0}
  moved = run(settings(learning_rate=0.1, rules=rules), gradients(2))
  np.testing.assert_array_equal(moved["dense"]["kernel"], PARAMS["dense"]["kernel"])
  assert not np.array_equal(moved["norm"]["scale"], PARAMS["norm"]["scale"])


def test_a_parameter_that_no_rule_covers_is_named():
  """Guards against a parameter that silently gets no decay or no update."""
  with pytest.raises(UserError, match="no rule for: cls_token, norm/scale"):
    optimizers.rule_factors(PARAMS, ((r"dense/.*", 1.0, 1.0), (r"scale", 1.0, 1.0)))
  with pytest.raises(UserError, match="optimizer.rules must be"):
    optimizers.rule_factors(PARAMS, ((r"(", 1.0, 1.0),))


def test_schedules():
  """Guards the learning rates: linear warm-up to the peak, then constant, or cosine down to its final factor."""
  rate = lambda step, **values: float(  # noqa: E731
    optimizers.make_schedule(settings(learning_rate=0.2, **values), 110)(step)
  )
  assert [rate(s) for s in (0, 50)] == pytest.approx([0.2, 0.2])
  warm = {"warmup_steps": 10, "warmup_factor": 0.1}
  assert [rate(s, **warm) for s in (0, 5, 10, 50)] == pytest.approx([0.02, 0.11, 0.2, 0.2])
  cosine = {**warm, "schedule": "cosine", "final_factor": 0.05}
  expected = [0.2 * (0.05 + 0.95 * 0.5 * (1 + np.cos(np.pi * k / 100))) for k in (0, 25, 50, 100)]
  assert [rate(10 + k, **cosine) for k in (0, 25, 50, 100)] == pytest.approx(expected)
  with pytest.raises(UserError, match="must be constant, cosine or plateau"):
    rate(0, schedule="cosin")
  with pytest.raises(UserError, match="must be rest or run"):
    rate(0, schedule="cosine", cosine_over="all")


def test_a_cosine_over_the_whole_run_is_met_by_the_warm_up():
  """Guards FTCN's schedule, epoch by epoch as SlowFast's solver computes it: warm-up to the cosine at its tenth."""

  def expected(epoch):
    cosine = lambda e: 0.1 * (np.cos(np.pi * e / 100) + 1) / 2  # noqa: E731
    return cosine(epoch) if epoch >= 10 else 0.01 + epoch * (cosine(10) - 0.01) / 10

  config = importlib.import_module("configs.ftcn").get_config().optimizer
  schedule = optimizers.make_schedule(config, 22_500)  # 100 epochs of 225 steps
  for epoch in (0, 5, 9, 10, 11, 50, 99, 100):
    assert float(schedule(225 * epoch)) == pytest.approx(expected(epoch), rel=1e-5, abs=1e-8)  # float32


def test_unknown_optimizer():
  """Guards the message for a mistyped name."""
  with pytest.raises(UserError, match="it must be adamw, adam or sgd"):
    optimizers.make_optimizer(settings(name="adamm"), PARAMS, 1)
