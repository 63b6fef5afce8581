"""DIL as a whole: sizes, switches, what the modules see, what it refuses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import dil as dil_config
from dfdetect_jax import methods
from dfdetect_jax.errors import UserError
from dfdetect_jax.methods.dil.difference import second_difference
from dfdetect_jax.methods.dil.inter_sim import InterSIM
from dfdetect_jax.methods.dil.intra_sim import MotionAttention
from dfdetect_jax.methods.dil.model import DIL, SIZES


def clips(shape, seed=0):
  return jax.random.randint(jax.random.key(seed), shape, 0, 256).astype(jnp.uint8)


def build(variant, **overrides):
  config = dil_config.get_config(variant).unlock()
  config.update_from_flattened_dict(overrides)
  return methods.build(config)


@pytest.fixture(scope="module")
def trained():
  """The test size with parameters that use both modules (Conv_U as well, which starts as the identity)."""
  method = build("test")
  variables = jax.jit(method.init)(jax.random.key(0))
  rng = np.random.default_rng(1)
  return method, jax.tree.map(lambda v: np.asarray(v) + rng.uniform(0, 0.1, v.shape).astype(np.float32), variables)


def abstract_variables(variant):
  return jax.eval_shape(build(variant).init, jax.random.key(0))


@pytest.mark.parametrize(
  "variant, count",
  [
    ("test", 16_541),
    ("small", 928_715),
    ("table4_none", 23_510_081),  # ResNet-50 with one class: 25,557,032 − 2,046,951
    ("", 23_762_440),
  ],
)
def test_parameter_counts(variant, count):
  """Guards the architecture of each named size against silent changes."""
  assert sum(v.size for v in jax.tree.leaves(abstract_variables(variant)["params"])) == count


@pytest.mark.parametrize(
  "switches, intra, inter",
  [
    ({}, {"1_0", "2_0", "2_2"}, {"1_1", "2_1"}),
    ({"inter": False}, {"1_0", "2_0", "2_2"}, set()),
    ({"intra": False}, set(), {"1_1", "2_1"}),
    ({"stages": (2,)}, {"2_0", "2_2"}, {"2_1"}),
  ],
)
def test_where_the_modules_are(switches, intra, inter):
  """Guards the alternation (Intra in even blocks of a stage, Inter in odd ones) and the switches of Tables 4 and 6."""
  model = DIL(**{**SIZES["test"], "depths": (2, 3), **switches})
  x = jax.ShapeDtypeStruct((1, 3, 4, 32, 32, 3), jnp.uint8)
  outputs, variables = jax.eval_shape(lambda x: model.init_with_output(jax.random.key(0), x), x)
  maps = {name.removeprefix("intra_attention_") for name in outputs if name.startswith("intra")}
  assert maps == intra == {n[5:] for n, block in variables["params"].items() if "intra" in block}
  maps = {name.removeprefix("inter_attention_") for name in outputs if name.startswith("inter")}
  assert maps == inter == {n[5:] for n, block in variables["params"].items() if "inter" in block}


@pytest.mark.slow
def test_attention_maps_are_among_the_outputs(trained):
  """Guards the maps that Fig. 4 and 5 draw: their shapes, their range, and that they vary with the input."""
  method, variables = trained
  outputs = jax.jit(method.model.apply)(variables, clips((2, 3, 4, 32, 32, 3)))
  shapes = {"intra_attention_1_0": (2, 3, 4, 8, 8), "intra_attention_2_0": (2, 3, 4, 8, 8)}
  shapes |= {"inter_attention_1_1": (2, 3, 4), "inter_attention_2_1": (2, 3, 4)}
  for name, shape in shapes.items():
    drawn = np.asarray(outputs[name])
    assert drawn.shape == shape and 0 < drawn.min() < drawn.max() < 1
  np.testing.assert_allclose(outputs["logit"], np.mean(outputs["frame_logits"], axis=(1, 2)), rtol=1e-6)


@pytest.mark.slow
def test_a_static_snippet_gives_zero_differences():
  """Guards Eq. 1: with the depth-wise convolution set to identity, only the bias is left of a static snippet's map."""
  frame = jax.random.normal(jax.random.key(0), (2, 1, 6, 5, 8))
  static = jnp.tile(frame, (1, 4, 1, 1, 1))
  module = MotionAttention(reduction=2)
  params = jax.jit(module.init)(jax.random.key(1), static)["params"]
  params["depthwise"]["kernel"] = jnp.zeros((3, 3, 1, 4)).at[1, 1].set(1)
  np.testing.assert_array_equal(module.apply({"params": params}, static), 0.25)
  moving = static.at[:, 2, 3, 3].add(1)
  assert np.ptp(module.apply({"params": params}, moving)) > 1e-3


@pytest.mark.slow
def test_inter_sim_starts_with_the_identity_over_snippets():
  """Guards Conv_U's start: each snippet comes out as itself, scaled by its own attention, 1 + F₁ · F₂."""
  x = jax.random.normal(jax.random.key(0), (2, 3, 4, 5, 6, 8))
  module = InterSIM(reduction=2)
  (y, drawn), _ = jax.jit(module.init_with_output)(jax.random.key(1), x)
  factor = y / x
  np.testing.assert_allclose(factor, jnp.broadcast_to(factor[..., :1, :1, :], factor.shape), rtol=1e-5)
  np.testing.assert_allclose(jnp.mean(factor[..., 0, 0, :], axis=-1), 1 + drawn, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("switches", [{}, {"learnable_kernel": False, "coordinate": False}, {"stages": (2,)}])
def test_first_block_may_start_as_a_second_difference(switches):
  """Guards `temporal_init=difference`: the 3×3 convolution of the first block with Intra-SIM, and of no other, sees
  nothing of still frames (but for a snippet's ends), and of a frame that differs once itself there and −½ beside it.
  """
  model = DIL(**{**SIZES["test"], "frames": 6, **switches})
  still = jnp.tile(clips((1, 1, 1, 32, 32, 3)), (1, 1, 6, 1, 1, 1))
  variables = jax.jit(model.init)(jax.random.key(0), still)
  variables["params"] = second_difference(variables["params"])
  first = "layer2_0" if switches.get("stages") else "layer1_0"
  kernel = variables["params"][first]["intra"]["kernel"]
  if model.learnable_kernel:  # without what depends on the input the kernel is what its bias says
    kernel["phi2"]["kernel"] = jnp.zeros_like(kernel["phi2"]["kernel"])
  seen = jax.jit(
    lambda x: model.apply(
      variables, x, capture_intermediates=lambda module, _: module.name == "conv2", mutable=["intermediates"]
    )[1]["intermediates"]
  )

  def convolved(x, block):
    return np.asarray(seen(x)[block]["conv2"]["__call__"][0], np.float64)[0, 0]

  y = convolved(still, first)
  scale = np.abs(y[0]).mean()  # the ends: zeros lie beyond them
  assert np.abs(y[1:-1]).max() < 1e-4 * scale
  other = {"layer1_0", "layer2_0"} - {first}
  assert all(np.abs(convolved(still, block)[1:-1]).mean() > 0.1 for block in other)

  moving = still.at[:, :, 3].set(clips((1, 1, 32, 32, 3), seed=1))
  y = convolved(moving, first)[2:5]
  assert np.abs(y[1]).mean() > 0.2 * scale
  np.testing.assert_allclose([(y[k] * y[1]).sum() / (y[1] ** 2).sum() for k in (0, 2)], -0.5, atol=0.02)


@pytest.mark.slow
def test_image_start_is_the_usual_one():
  """Guards the default against the other start: for ImageNet's weights no layer starts otherwise than it always did."""
  assert dil_config.get_config("").model.temporal_init == "image"
  model = DIL(**SIZES["test"])
  params = jax.jit(model.init)(jax.random.key(0), clips((1, 1, 4, 32, 32, 3)))["params"]["layer1_0"]
  conv1 = params["conv1"]["kernel"]
  assert not np.array_equal(*np.split(conv1, 2, axis=-1))
  assert not np.any(params["intra"]["kernel"]["phi2"]["bias"])


@pytest.mark.slow
def test_order_matters_within_and_across_snippets(trained):
  """Guards both modules' view of time: a network of frames would not see frames or snippets change places."""
  method, variables = trained
  apply = jax.jit(lambda x: method.model.apply(variables, x)["logit"])
  x = clips((2, 3, 4, 32, 32, 3))
  logit = apply(x)
  assert np.all(np.abs(apply(x[:, :, ::-1]) - logit) > 1e-5)
  assert np.all(np.abs(apply(x[:, jnp.array([1, 0, 2])]) - logit) > 1e-5)


def test_snippets_may_differ_between_training_and_test(trained):
  """Guards U = 4 in training against U = 8 at test with the same parameters."""
  method, variables = trained
  assert method.clip_spec.shape(True)[0] == 2 and method.clip_spec.shape(False)[0] == 3
  assert jax.eval_shape(method.model.apply, variables, clips((2, 5, 4, 32, 32, 3)))["logit"].shape == (2,)


def test_refuses_clips_that_do_not_fit(trained):
  """Guards the refusal before compilation, with the numbers, of a T other than the model's and of clips without U."""
  method, variables = trained
  with pytest.raises(UserError, match=r"T = 4 frames.*have T = 5"):
    jax.eval_shape(method.model.apply, variables, clips((2, 2, 5, 32, 32, 3)))
  with pytest.raises(UserError, match=r"\[B, U, T, H, W, 3\].*\[2, 4, 32, 32, 3\]"):
    jax.eval_shape(method.model.apply, variables, clips((2, 4, 32, 32, 3)))


@pytest.mark.parametrize(
  "overrides, message",
  [
    ({"clips.snippets": 0}, "clips.snippets is 0"),
    ({"clips.frames": 1}, "clips.frames is 1"),
    ({"clips.size": 4}, "at least 8"),
    ({"model.size": "resnet"}, "there is no size 'resnet'"),
    ({"model.temporal_init": "zero"}, "temporal_init is 'zero', it must be one of image, difference"),
    ({"model.stages": (1, 3)}, r"stages is \(1, 3\)"),
  ],
)
def test_refuses_settings_that_contradict_each_other(overrides, message):
  """Guards the messages about settings that DIL cannot have."""
  with pytest.raises(UserError, match=message):
    build("test", **overrides)


def test_augmentation_flips_whole_examples():
  """Guards clip consistency: all frames of all snippets are mirrored together, or none."""
  method = build("test")
  x = clips((16, 2, 4, 8, 8, 3))
  x, y = np.asarray(x, np.float32), np.asarray(method.augment(jax.random.key(0), x))
  flipped = [np.array_equal(b, a[..., ::-1, :]) for a, b in zip(x, y)]
  kept = [np.array_equal(b, a) for a, b in zip(x, y)]
  assert all(f != k for f, k in zip(flipped, kept)) and any(flipped) and any(kept)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_one_training_step(dtype):
  """Guards the objective: finite loss and gradients that reach every parameter; bfloat16 and remat; state updated."""
  method = build("test", dtype=dtype, remat="nothing_saveable" if dtype == "bfloat16" else "")
  variables = jax.jit(method.init)(jax.random.key(0))
  state = {"batch_stats": variables["batch_stats"]}
  batch = {"clip": clips((4, 2, 4, 32, 32, 3)), "label": jnp.array([0, 1, 1, 0])}
  step = jax.jit(jax.value_and_grad(lambda p: method.loss(p, state, None, batch, jax.random.key(2)), has_aux=True))
  (loss, (metrics, new_state)), gradients = step(variables["params"])
  assert loss.dtype == jnp.float32 and np.isfinite(loss) and np.isfinite(metrics["accuracy"])
  for path, g in jax.tree_util.tree_leaves_with_path(gradients):
    assert g.dtype == jnp.float32 and np.all(np.isfinite(g)) and np.any(g != 0), jax.tree_util.keystr(path)
  changed = jax.tree.map(lambda a, b: bool(np.any(a != b)), state, new_state)
  assert all(jax.tree.leaves(changed))
