"""FTCN: sizes, time's arrow, configs, refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import ftcn as configs
from dfdetect_jax import methods
from dfdetect_jax.errors import UserError
from dfdetect_jax.runs.config import override


def build(variant=None, **overrides):
  config = configs.get_config(variant)
  return methods.build(override(config, {name.replace("__", "."): v for name, v in overrides.items()}))


def shapes(method):
  return jax.eval_shape(method.init, jax.random.key(0))


def count(tree):
  return sum(leaf.size for leaf in jax.tree.leaves(tree))


def test_parameter_count_of_each_stage():
  """Guards the layer table, stage by stage."""
  params = shapes(build())["params"]
  trunk = params["trunk"]
  assert count(trunk["stem"]) == 1_088
  assert [count([v for k, v in trunk.items() if k.startswith(f"res{s}_")]) for s in (2, 3, 4)] == [
    191_232, 891_904, 5_263_360,
  ]  # fmt: skip
  assert count(params["head"]) == 8_418_305
  assert count(params) == 14_765_889


@pytest.mark.parametrize(("size", "parameters"), [("small", 932_305), ("test", 31_413)])
def test_parameter_counts_of_other_sizes(size, parameters):
  """Guards the size table."""
  assert count(shapes(build(size))["params"]) == parameters


def test_map_sizes_of_the_layer_table():
  """Guards the place of the pools: 56² after the stem, then 28² and 14², T halved after res2."""
  method = build()
  clips = jax.ShapeDtypeStruct((1, 32, 224, 224, 3), jnp.uint8)
  _, state = jax.eval_shape(
    lambda v, c: method.model.apply(v, c, capture_intermediates=True, mutable=["intermediates"]), shapes(method), clips
  )
  trunk = state["intermediates"]["trunk"]
  maps = {name: trunk[name]["__call__"][0].shape for name in ("stem", "res2_2", "res3_3", "res4_5")}
  assert maps == {
    "stem": (1, 32, 56, 56, 64),
    "res2_2": (1, 32, 56, 56, 256),
    "res3_3": (1, 16, 28, 28, 512),
    "res4_5": (1, 16, 14, 14, 1024),
  }
  assert trunk["__call__"][0].shape == (1, 16, 1024)


def test_time_flip_and_space_flip(randomised):
  """Guards that the network sees time's arrow, and nothing of where things lie beyond what max-pools leave."""
  method = build("test")
  variables = randomised(method)
  clips = np.random.default_rng(0).integers(0, 256, (1, 4, 32, 32, 3)).astype(np.uint8)
  both = jnp.concatenate([clips, clips[:, ::-1], clips.swapaxes(2, 3)])
  logit = jax.jit(method.model.apply)(variables, both)["logit"]
  assert abs(logit[1] - logit[0]) > 1e-3 * abs(logit[0])
  np.testing.assert_allclose(logit[2], logit[0], rtol=1e-4)


@pytest.mark.slow
def test_a_step_learns_and_updates_statistics(randomised):
  """Guards loss and gradient as numbers, float32 against bfloat16 with rematerialisation."""
  rng = np.random.default_rng(0)
  clips = rng.integers(0, 256, (16, 4, 32, 32, 3))  # of four clips bfloat16's gradient has a cosine of 0.92 to 0.98
  batch = {"clip": jnp.asarray(clips, jnp.uint8), "label": jnp.tile(jnp.array([0, 1]), 8)}
  variables = randomised(build("test"))
  params, state = variables["params"], {"batch_stats": variables["batch_stats"]}
  losses = []
  for settings in ({}, {"dtype": "bfloat16", "remat": "nothing_saveable"}):
    method = build("test", model__dropout=0.0, **settings)
    grad = jax.jit(
      jax.value_and_grad(lambda p, m=method: m.loss(p, state, None, batch, jax.random.key(0)), has_aux=True)
    )
    (loss, (_, new_state)), gradient = grad(params)
    losses.append((loss, jnp.concatenate([g.ravel() for g in jax.tree.leaves(gradient)])))
    moved = jax.tree.map(lambda a, b: bool(jnp.any(a != b)), new_state, state)
    assert all(jax.tree.leaves(moved))
    (stepped, _), _ = grad(jax.tree.map(lambda p, g: p - 1e-3 * g, params, gradient))
    assert stepped < loss
  (loss, gradient), (rough_loss, rough_gradient) = losses
  np.testing.assert_allclose(rough_loss, loss, atol=0.05)
  cosine = gradient @ rough_gradient / (jnp.linalg.norm(gradient) * jnp.linalg.norm(rough_gradient))
  assert cosine > 0.975


@pytest.mark.parametrize(
  ("overrides", "message"),
  [
    ({"clips__frames": 31}, "31 frames; the number must be even"),
    ({"clips__size": 100}, "100×100 px; height and width must be multiples of 16"),
    ({"model__size": "huge"}, "model.size is 'huge'.*paper, small, test"),
    ({"model__form": "fft"}, "model.form is 'fft'.*conv2d, conv3d, matmul"),
  ],
)
def test_contradictions_are_refused(overrides, message):
  """Guards that a clip spec that does not fit is refused with the numbers, before anything is compiled."""
  with pytest.raises(UserError, match=message):
    build(**overrides)


def test_snippets_are_refused():
  """Guards that a U axis is named as what does not fit."""
  config = configs.get_config()
  with config.unlocked():
    config.clips.snippets = 2
  with pytest.raises(UserError, match="clips.snippets is 2"):
    methods.build(config)


def test_clips_of_other_shapes_are_refused():
  """Guards the model's own check: positions fix T."""
  method = build("test")
  variables = shapes(method)
  for shape, message in (((1, 6, 32, 32, 3), "clips of 6 frames.*positions are for 4"), ((4, 32, 32, 3), "shape")):
    with pytest.raises(UserError, match=message):
      jax.eval_shape(method.model.apply, variables, jax.ShapeDtypeStruct(shape, jnp.uint8))
