"""Baselines: sizes, mean of frame logits, configs, refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import baselines as configs
from dfdetect_jax import methods
from dfdetect_jax.errors import UserError
from dfdetect_jax.methods.baselines.frame import FrameResNet
from dfdetect_jax.runs.config import override


@pytest.mark.parametrize(
  ("variant", "count"),
  [
    ("resnet18", 11_176_512 + 513),
    ("resnet50", 23_508_032 + 2_049),
    # The published I3D-R50 has 28,043,472 with Kinetics' 400 classes: 2049 · 400 of them in its head.
    ("i3d_r50", 28_043_472 - 2_049 * 400 + 2_049),
  ],
)
def test_parameter_count(variant, count):
  """Guards the sizes."""
  variables = jax.eval_shape(methods.build(configs.get_config(variant)).init, jax.random.key(0))
  assert sum(p.size for p in jax.tree.leaves(variables["params"])) == count


@pytest.mark.slow
def test_logit_is_the_mean_over_frames():
  """Guards that a clip's logit is the mean of what each of its frames gets alone."""
  model = FrameResNet((1, 1), False, width=4)
  clips = np.random.default_rng(0).integers(0, 256, (2, 3, 32, 32, 3), dtype=np.uint8)
  variables = jax.jit(model.init)(jax.random.key(0), clips)
  apply = jax.jit(model.apply)
  alone = apply(variables, clips.reshape(6, 1, 32, 32, 3))["logit"].reshape(2, 3)
  outputs = apply(variables, clips)
  np.testing.assert_allclose(outputs["frame_logits"], alone, rtol=1e-4, atol=1e-5)
  np.testing.assert_allclose(outputs["logit"], alone.mean(1), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(("variant", "dtype"), [("resnet18_test", "float32"), ("i3d_r50_test", "bfloat16")])
def test_step(variant, dtype):
  """Guards training: finite loss, a gradient in every parameter, also with bfloat16 and rematerialisation."""
  config = override(
    configs.get_config(variant), {"dtype": dtype, "remat": "nothing_saveable" if dtype == "bfloat16" else ""}
  )
  method = methods.build(config)
  rng = np.random.default_rng(0)
  clips = rng.integers(0, 256, (4, *method.clip_spec.shape(train=True)), dtype=np.uint8)
  batch = {"clip": jnp.asarray(clips), "label": jnp.array([0, 1, 0, 1], jnp.int32)}
  variables = dict(jax.jit(method.init)(jax.random.key(0)))
  params = variables.pop("params")

  def loss(params):
    return method.loss(params, variables, None, batch, jax.random.key(1))

  (value, (_, state)), gradient = jax.jit(jax.value_and_grad(loss, has_aux=True))(params)
  assert np.isfinite(value) and value.dtype == jnp.float32
  for path, leaf in jax.tree_util.tree_leaves_with_path(gradient):
    assert leaf.dtype == jnp.float32 and np.isfinite(leaf).all() and np.any(leaf != 0), jax.tree_util.keystr(path)
  assert {leaf.dtype for leaf in jax.tree.leaves(state)} == {jnp.dtype(jnp.float32)}


@pytest.mark.parametrize(
  ("variant", "overrides", "words"),
  [
    ("", {"model.network": "resnet19"}, "resnet18, resnet50, xception, i3d_r50"),
    ("i3d_r50", {"clips.frames": 1}, "clips.frames is 1"),
    ("", {"clips.frames": 0}, "frames is 0"),
  ],
)
def test_settings_that_do_not_fit_are_refused(variant, overrides, words):
  """Guards refusal before compilation, with the number or the choices in the message."""
  with pytest.raises(UserError, match=words):
    methods.build(override(configs.get_config(variant), overrides))
