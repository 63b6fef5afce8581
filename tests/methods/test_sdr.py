"""SDR: branches, integration, gradients, switches, configs, refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import sdr as configs
from dfdetect_jax import methods
from dfdetect_jax.errors import UserError
from dfdetect_jax.methods.ftcn.model import FTCN, Trunk
from dfdetect_jax.methods.method import binary_cross_entropy
from dfdetect_jax.methods.sdr import objective
from dfdetect_jax.methods.sdr.contrastive import contrastive_loss
from dfdetect_jax.methods.sdr.trfi import mutual_information_loss
from dfdetect_jax.runs.config import override


def build(variant=None, **overrides):
  config = configs.get_config(variant)
  return methods.build(override(config, {name.replace("__", "."): v for name, v in overrides.items()}))


def shapes(method):
  return jax.eval_shape(method.init, jax.random.key(0))


def random_views(batch=2, branches=4):
  return jnp.array(np.random.default_rng(1).integers(0, 256, (batch, branches, 4, 32, 32, 3)), jnp.uint8)


def batch_of(clips):
  return {"clip": jnp.asarray(clips), "label": jnp.arange(len(clips), dtype=jnp.int32) % 2}


@pytest.mark.parametrize(
  ("variant", "parameters"),
  [
    ("", 37_497_606),
    ("shared", 18_454_854),
    ("fig2_branches1", 16_866_626),
    ("fig2_branches6", 51_261_832),
    ("table3_none", 14_765_889),
    ("small", 2_374_342),
    ("test", 77_142),
  ],
)
def test_parameter_counts(variant, parameters):
  """Guards the sizes: a branch is FTCN's trunk, 6,347,584; shared weights are there once."""
  assert sum(leaf.size for leaf in jax.tree.leaves(shapes(build(variant))["params"])) == parameters


@pytest.mark.slow
def test_permuting_branches_changes_nothing(randomised):
  """Guards that branches meet their own views, statistics, fusion blocks and heads, and are otherwise alike."""
  method = build("test")
  variables, views = randomised(method), random_views()
  order = np.array([2, 0, 3, 1])
  width = 64

  def blocks(kernel):
    return kernel.reshape(4, width, -1)[order].reshape(kernel.shape)

  # Slot m of head i holds the m-th of the branches other than i: spread out to [head, branch], permuted, closed again.
  others = np.array([[j for j in range(4) if j != i] for i in range(4)])
  left_out = np.asarray(variables["params"]["heads"]["left_out_kernel"])
  spread = np.zeros((4, 4, width), np.float32)
  spread[np.arange(4)[:, None], others] = left_out
  spread = spread[order][:, order]
  params = {
    **variables["params"],
    "branches": jax.tree.map(lambda p: p[order], variables["params"]["branches"]),
    "fusion": {
      **variables["params"]["fusion"],
      "squeeze": {
        **variables["params"]["fusion"]["squeeze"],
        "kernel": blocks(variables["params"]["fusion"]["squeeze"]["kernel"]),
      },
    },
    "heads": {
      "joint": {
        **variables["params"]["heads"]["joint"],
        "kernel": blocks(variables["params"]["heads"]["joint"]["kernel"]),
      },
      "left_out_kernel": spread[np.arange(4)[:, None], others],
      "left_out_bias": variables["params"]["heads"]["left_out_bias"][order],
    },
  }
  statistics = jax.tree.map(lambda s: s[order], variables["batch_stats"])
  forward = jax.jit(method.model.apply)
  before = forward(variables, views)
  after = forward({"params": params, "batch_stats": statistics}, views[:, order])
  for name in ("logit", "joint_logit", "fused"):
    np.testing.assert_allclose(after[name], before[name], rtol=1e-4, atol=1e-5)
  for name in ("features", "left_out_logits"):
    np.testing.assert_allclose(after[name], before[name][:, order], rtol=1e-4, atol=1e-5)
    assert not np.allclose(before[name], before[name][:, order], rtol=1e-2)


@pytest.mark.slow
def test_branches_are_ftcn_trunks(randomised):
  """Guards both ways of running branches against FTCN's trunk, one at a time; clips at test go to all branches."""
  clips = random_views()[:, 0]
  for variant, overrides in (("test", {}), ("test", {"model__shared": True})):
    method = build(variant, **overrides)
    variables = randomised(method)
    features = jax.jit(method.model.apply)(variables, clips)["features"]
    assert features.shape == (2, 4, 2, 64)
    trunk = jax.jit(Trunk(method.model.width, method.model.depths).apply)
    for i in range(4):
      if method.model.shared:
        own = {name: collection["branch"] for name, collection in variables.items() if "branch" in collection}
      else:
        own = {name: jax.tree.map(lambda p, i=i: p[i], variables[name]["branches"]) for name in variables}
      np.testing.assert_allclose(features[:, i], trunk(own, clips), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_gradients_flow_where_they_should(randomised):
  """Guards each loss's reach: the joint side is stopped in L_MI, TRFI's heads are the only ones L_CE does not train."""
  method = build("test", model__dropout=0.0)
  variables, views = randomised(method), random_views()
  state = {"batch_stats": variables["batch_stats"]}
  label = jnp.array([0, 1])

  def losses(params):
    out, _ = method.model.apply({"params": params, **state}, views, train=True, mutable=["batch_stats"])
    return jnp.stack([
      binary_cross_entropy(out["logit"], label),
      mutual_information_loss(out["joint_logit"], out["left_out_logits"]),
      contrastive_loss(jnp.mean(out["features"], axis=2), label),
    ])  # fmt: skip

  jacobian = jax.jit(jax.jacrev(losses))(variables["params"])

  def reaches(loss):
    heads = jacobian["heads"]
    parts = {
      **{f"branch{i}": jax.tree.map(lambda g, i=i: g[:, i], jacobian["branches"]) for i in range(4)},
      "fusion": jacobian["fusion"], "head": jacobian["head"], "joint": heads["joint"],
      "left_out": [heads["left_out_kernel"], heads["left_out_bias"]],
    }  # fmt: skip
    return {name for name, part in parts.items() if any(np.any(g[loss] != 0) for g in jax.tree.leaves(part))}

  branches = {f"branch{i}" for i in range(4)}
  assert reaches(0) == branches | {"fusion", "head"}
  assert reaches(1) == branches | {"left_out"}
  assert reaches(2) == branches


@pytest.mark.slow
def test_loss_is_the_weighted_sum_and_updates_each_branch(randomised):
  """Guards Eq. 6's weights, the metrics' names, and statistics kept branch by branch."""
  method = build("test", objective__alpha=2.0, objective__beta=0.5, objective__gamma=0.3)
  variables = randomised(method)
  params, state = variables["params"], {"batch_stats": variables["batch_stats"]}
  batch = batch_of(random_views(4)[:, 0])
  total, (metrics, new_state) = jax.jit(method.loss)(params, state, None, batch, jax.random.key(0))
  want = 2 * metrics["cross_entropy"] + 0.5 * (metrics["mutual_information"] + metrics["heads"])
  np.testing.assert_allclose(total, want + 0.3 * metrics["contrastive"], rtol=1e-6)
  assert all(value > 0 for name, value in metrics.items() if name != "accuracy")
  mean = new_state["batch_stats"]["branches"]["stem"]["bn"]["mean"]
  old = state["batch_stats"]["branches"]["stem"]["bn"]["mean"]
  # Four views that differ, through four sets of weights.
  assert mean.shape == (4, 4) and len({row.tobytes() for row in np.asarray(mean - 0.9 * old)}) == 4


def test_contrastive_loss_is_a_switch():
  """Guards the row of Table III without it."""
  method = build("test", objective__gamma=0.0)
  variables = shapes(method)
  state = {"batch_stats": variables["batch_stats"]}
  _, (metrics, _) = jax.eval_shape(
    lambda p, s: method.loss(p, s, None, batch_of(random_views(2)[:, 0]), jax.random.key(0)), variables["params"], state
  )
  assert sorted(metrics) == ["accuracy", "cross_entropy", "heads", "mutual_information"]


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{"dtype": "bfloat16", "remat": "nothing_saveable"}, {"model__shared": True}])
def test_a_step_lowers_the_loss(settings, randomised):
  """Guards loss and gradient as numbers in each way of running the branches."""
  method = build("test", model__dropout=0.0, **settings)
  variables = randomised(method)
  state = {"batch_stats": variables["batch_stats"]}
  batch = batch_of(random_views(4)[:, 0])
  grad = jax.jit(jax.value_and_grad(lambda p: method.loss(p, state, None, batch, jax.random.key(0))[0]))
  loss, gradient = grad(variables["params"])
  assert all(np.isfinite(g).all() for g in jax.tree.leaves(gradient))
  stepped, _ = grad(jax.tree.map(lambda p, g: p - 1e-3 * g, variables["params"], gradient))
  assert stepped < loss


def test_without_trfi_it_is_ftcn():
  """Guards the first row of Table III: FTCN alone, without perturbed views."""
  method = build("table3_none")
  assert isinstance(method.model, FTCN) and not method.augmentations


def test_tpa_is_a_switch(monkeypatch):
  """Guards the ablation's wiring: as many views as branches, their parameters drawn per clip or per frame."""
  calls = []
  key, clips = jax.random.key(0), jnp.zeros((1, 2, 4, 4, 3), jnp.uint8)

  def views(*args):
    assert args[0] is key and args[1] is clips
    calls.append(args[2:])
    return jnp.zeros((1, args[2], 2, 4, 4, 3))

  monkeypatch.setattr(objective, "perturbed_views", views)
  for tpa in (True, False):
    build("test", objective__tpa=tpa, model__branches=3).augment(key, clips)
  build("test", objective__tpa=False, objective__redrawn=("flip", "cutout")).augment(key, clips)
  assert calls == [(3, ()), (3, ("flip", "crop")), (4, ("flip", "cutout"))]


@pytest.mark.parametrize(
  ("overrides", "message"),
  [
    ({"model__branches": 7}, "model.branches is 7, it must be 1 to 6"),
    ({"clips__frames": 5}, "5 frames; the number must be even"),
    ({"clips__size": 30}, "30×30 px; height and width must be multiples of 16"),
    ({"model__size": "huge"}, "model.size is 'huge'.*paper, small, test"),
    ({"objective__redrawn": ("flop",)}, "redrawn.*color_jitter, cutout, flip, crop"),
  ],
)
def test_contradictions_are_refused(overrides, message):
  """Guards that settings that do not fit are refused with the numbers, before anything is compiled."""
  with pytest.raises(UserError, match=message):
    build("test", **overrides)


def test_views_must_be_as_many_as_branches():
  """Guards against views silently dropped or doubled."""
  method = build("test")
  with pytest.raises(UserError, match="3 views for 4 branches"):
    jax.eval_shape(method.model.apply, shapes(method), jax.ShapeDtypeStruct((2, 3, 4, 32, 32, 3), jnp.uint8))
