"""SDR's losses against float64 brute force, values by loops and gradients by central differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dfdetect_jax.methods.sdr.contrastive import contrastive_loss
from dfdetect_jax.methods.sdr.trfi import PredictiveHeads, mutual_information_loss


def sigmoid(x):
  return 1 / (1 + np.exp(-x))


def brute_mutual_information(joint, left_out, temperature):
  total = 0.0
  for b in range(len(joint)):
    p = sigmoid(joint[b] / temperature)
    for q in sigmoid(left_out[b] / temperature):
      total += p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))
  return total / len(joint)


def brute_contrastive(features, label, tau):
  views = [(f / np.linalg.norm(f), y) for clip, y in zip(features, label) for f in clip]
  losses = []
  for a, (f, y) in enumerate(views):
    positives = [p for p, (_, other) in enumerate(views) if p != a and other == y]
    if positives:
      total = sum(np.exp(f @ g / tau) for n, (g, _) in enumerate(views) if n != a)
      losses.append(-np.mean([np.log(np.exp(f @ views[p][0] / tau) / total) for p in positives]))
  return np.mean(losses)


def central_differences(function, x, step=1e-6):
  gradient = np.zeros_like(x)
  for index in np.ndindex(x.shape):
    up, down = x.copy(), x.copy()
    up[index] += step
    down[index] -= step
    gradient[index] = (function(up) - function(down)) / (2 * step)
  return gradient


@pytest.mark.parametrize("temperature", [1.0, 1.5])
def test_mutual_information_loss(temperature):
  """Guards the KL's direction, the sum over branches, the temperature on both sides, where gradients go."""
  rng = np.random.default_rng(0)
  joint, left_out = rng.normal(size=4) * 3, rng.normal(size=(4, 3)) * 3
  loss, gradient = jax.value_and_grad(mutual_information_loss, (0, 1))(
    joint.astype(np.float32), left_out.astype(np.float32), temperature
  )
  np.testing.assert_allclose(loss, brute_mutual_information(joint, left_out, temperature), rtol=1e-5)
  want = central_differences(lambda q: brute_mutual_information(joint, q, temperature), left_out)
  np.testing.assert_allclose(gradient[1], want, rtol=1e-4, atol=1e-6)
  # The joint side is stopped: exactly nothing flows there.
  np.testing.assert_array_equal(gradient[0], 0)


def test_mutual_information_loss_at_extremes():
  """Guards against log 0: saturated logits, agreement, and a single branch (nothing left out)."""
  joint = jnp.array([200.0, -200.0, 0.0])
  left_out = jnp.array([[-200.0], [200.0], [0.0]])
  loss, gradient = jax.value_and_grad(mutual_information_loss, 1)(joint, left_out)
  np.testing.assert_allclose(loss, (2 * 200 / 1.5 * 1.0) * 1.0 / 3, rtol=1e-5)
  assert np.isfinite(gradient).all()
  assert mutual_information_loss(joint, joint[:, None]) == 0
  assert mutual_information_loss(joint, jnp.zeros((3, 0))) == 0


@pytest.mark.slow
@pytest.mark.parametrize("label", [[1, 0, 1, 0], [1, 0, 0, 0], [1, 1, 1, 1]])
@pytest.mark.parametrize("branches", [1, 3])
def test_contrastive_loss(label, branches):
  """Guards positives across branches and batch, denominators without the anchor, anchors without positives."""
  rng = np.random.default_rng(0)
  features, label = rng.normal(size=(4, branches, 5)), np.array(label)
  loss, gradient = jax.value_and_grad(contrastive_loss)(jnp.float32(features), jnp.asarray(label), 0.1)
  np.testing.assert_allclose(loss, brute_contrastive(features, label, 0.1), rtol=1e-5)
  want = central_differences(lambda f: brute_contrastive(f, label, 0.1), features)
  np.testing.assert_allclose(gradient, want, rtol=1e-3, atol=1e-5)


@pytest.mark.slow
def test_contrastive_loss_without_pairs_is_zero():
  """Guards the empty mean: one view, or one of each class, gives 0 and no NaN in the gradient."""
  for features, label in ((jnp.ones((1, 1, 4)), jnp.array([1])), (jnp.ones((2, 1, 4)), jnp.array([0, 1]))):
    loss, gradient = jax.value_and_grad(contrastive_loss)(features, label)
    assert loss == 0
    np.testing.assert_array_equal(gradient, 0)


def test_predictive_heads():
  """Guards that head i sees all branches but the i-th, in order, averaged over time."""
  rng = np.random.default_rng(0)
  r = jnp.array(rng.normal(size=(2, 3, 4, 5)), jnp.float32)
  heads = PredictiveHeads()
  params = heads.init(jax.random.key(0), r)["params"]
  params = jax.tree.map(lambda p: rng.normal(size=p.shape).astype(np.float32), params)
  joint, left_out = heads.apply({"params": params}, r)
  mean = np.asarray(r, np.float64).mean(2)
  want = mean.reshape(2, 15) @ params["joint"]["kernel"][:, 0] + params["joint"]["bias"][0]
  np.testing.assert_allclose(joint, want, rtol=1e-4)
  for i in range(3):
    others = np.delete(mean, i, axis=1).reshape(2, 10)
    want = others @ params["left_out_kernel"][i].reshape(10) + params["left_out_bias"][i]
    np.testing.assert_allclose(left_out[:, i], want, rtol=1e-4, atol=1e-5)
