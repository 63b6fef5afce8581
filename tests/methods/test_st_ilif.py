"""ST-ILIF: properties of the phase image and of the differences, sizes, switches, configs, refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import st_ilif as configs
from dfdetect_jax import methods
from dfdetect_jax.errors import UserError
from dfdetect_jax.methods.st_ilif import model, phase, tdm
from dfdetect_jax.runs.config import override


def build(variant=None, **overrides):
  config = configs.get_config(variant)
  return methods.build(override(config, {name.replace("__", "."): v for name, v in overrides.items()}))


def test_phase_image_shifts_with_the_frame():
  """Guards the sign of the phase: with the printed e^{-jφ} the image would be turned and shift the other way."""
  grey = jnp.asarray(np.random.default_rng(0).uniform(0, 255, (32, 48)), jnp.float32)
  shifted = phase.phase_image(jnp.roll(grey, (5, -7), (0, 1)))
  np.testing.assert_allclose(shifted, jnp.roll(phase.phase_image(grey), (5, -7), (0, 1)), atol=0.02)


@pytest.mark.parametrize("shape", [(224, 224), (64, 96)])
def test_phase_image_has_the_papers_root_mean_square(shape):
  """Guards A's growth with the size: RMS is A/√(HW), 25000/224 at all sizes."""
  image = phase.phase_image(jnp.asarray(np.random.default_rng(0).uniform(0, 255, shape), jnp.float32))
  np.testing.assert_allclose(np.sqrt(np.mean(np.square(image))), 25000 / 224, rtol=1e-4)


def test_phase_image_of_black_frames_is_finite():
  """Guards F / |F| at F = 0: all phases count as 0, which is an impulse in the corner."""
  image = np.asarray(phase.phase_image(jnp.zeros((8, 8))))
  np.testing.assert_allclose(image[0, 0], 25000 / 224 * 8, rtol=1e-5)
  assert np.abs(image).sum() == pytest.approx(image[0, 0], rel=1e-5)


def test_scaling_before_the_cast_keeps_grey_levels_apart():
  """Guards `unit_input`: in bfloat16 no grey level is off by over a quarter of one, on 0-255 by up to a half."""
  levels = jnp.arange(256.0)
  half = phase.to_unit(levels).astype(jnp.bfloat16).astype(jnp.float32)
  np.testing.assert_allclose(half * 127.5 + 127.5, levels, atol=0.2501)
  assert len(np.unique(half)) == 256
  assert np.abs((levels - 0.5).astype(jnp.bfloat16).astype(jnp.float32) - (levels - 0.5)).max() == 0.5


@pytest.mark.parametrize("unit", [True, False])
def test_what_the_phase_aware_stream_gets(unit, monkeypatch):
  """Guards the stream's input: phase image and grey mean in this order, scaled where `unit_input` says so."""

  class Seen(Exception):
    pass

  def stage(self, k, x, train=False):
    raise Seen(x)

  monkeypatch.setattr(model.PhaseStream, "stage", stage)
  clips = np.random.default_rng(0).integers(0, 256, (1, 3, 32, 32, 3), dtype=np.uint8)
  with pytest.raises(Seen) as seen:
    model.STILIF(8, stream="phase", unit_input=unit).init(jax.random.key(0), jnp.asarray(clips))
  grey = clips.astype(np.float64).mean((1, 4))
  want = np.stack([phase.phase_image(jnp.asarray(grey, jnp.float32)), grey], axis=-1)
  np.testing.assert_allclose(seen.value.args[0], want / 127.5 - 1 if unit else want, atol=1e-3)


@pytest.mark.parametrize(("name", "middle"), [("sobel", 2.0), ("prewitt", 1.0)])
def test_edge_images_equal_brute_force(name, middle):
  """Guards the kernels of Fig. 6 and the repeated edges (no response of the frame's border on a flat image)."""
  grey = np.random.default_rng(0).uniform(0, 255, (6, 7)).astype(np.float32)
  kernel = np.array([1.0, middle, 1.0])[:, None] * np.array([-1.0, 0.0, 1.0])
  padded = np.pad(grey.astype(np.float64), 1, mode="edge")
  want = np.zeros_like(grey, np.float64)
  for i in range(6):
    for j in range(7):
      window = padded[i : i + 3, j : j + 3]
      want[i, j] = np.hypot((window * kernel).sum(), (window * kernel.T).sum())
  np.testing.assert_allclose(phase.RECONSTRUCTIONS[name](jnp.asarray(grey)), want, rtol=1e-5)
  assert not np.asarray(phase.RECONSTRUCTIONS[name](jnp.full((4, 4), 7.0))).any()


def test_differences():
  """Guards order, sign and channel layout of the differences, and that a still clip has none."""
  frames = jnp.asarray(np.random.default_rng(0).normal(size=(2, 5, 4, 4, 3)), jnp.float32)
  want = np.stack([frames[:, t + 1] - frames[:, t] for t in range(4)], axis=1)
  np.testing.assert_array_equal(tdm.frame_differences(frames, "scan"), want)
  single = np.concatenate([want[:, t] for t in range(4)], axis=-1)[:, None]
  np.testing.assert_array_equal(tdm.frame_differences(frames, "single"), single)
  still = np.repeat(frames[:, :1], 5, axis=1)
  for recurrence in tdm.RECURRENCES:
    assert not np.asarray(tdm.frame_differences(still, recurrence)).any()


@pytest.mark.parametrize(
  ("settings", "count"),
  [
    # The differences' stem has 12 input channels, of which `scan` has 3: 9·7²·64 = 28,224 fewer.
    ({}, 22_096_595),
    ({"recurrence": "scan"}, 22_068_371),
    ({"cafim": False}, 21_707_691 + 28_224),
    ({"affm": False}, 16_823_433 + 28_224),
    ({"stream": "phase"}, 4_962_049),
    ({"stream": "sequence"}, 11_500_705 + 28_224),
    # ResNet-18 with one output instead of 1000: 11,689,512 - 512,487.
    ({"stream": "sequence", "tdm": False}, 11_177_025),
    ({"width": 16}, 1_388_747 + 28_224 // 4),
    ({"width": 8}, 350_367 + 28_224 // 8),
  ],
)
def test_parameter_count(settings, count):
  """Guards the sizes and what each switch takes away."""
  net = model.STILIF(**settings)
  variables = jax.eval_shape(net.init, jax.random.key(0), jnp.zeros((1, 5, 64, 64, 3), jnp.uint8))
  assert sum(p.size for p in jax.tree.leaves(variables["params"])) == count


def random_clips(method):
  rng = np.random.default_rng(0)
  return rng.integers(0, 256, (4, *method.clip_spec.shape(train=True)), dtype=np.uint8)


@pytest.mark.slow
def test_step(randomised):
  """Guards training: finite loss, a gradient in every parameter, new statistics."""
  method = build("test")
  clips = random_clips(method)
  batch = {"clip": clips, "label": np.array([0, 1, 0, 1], np.int32)}
  variables = dict(randomised(method))
  params = variables.pop("params")

  @jax.jit
  def step(params, state, batch):
    def loss(params):
      return method.loss(params, state, None, batch, jax.random.key(1))

    (value, (metrics, state)), gradient = jax.value_and_grad(loss, has_aux=True)(params)
    return value, metrics, state, gradient

  value, metrics, state, gradient = step(params, variables, batch)
  assert np.isfinite(value) and value.dtype == jnp.float32 and 0 <= metrics["accuracy"] <= 1
  for path, leaf in jax.tree_util.tree_leaves_with_path(gradient):
    assert leaf.dtype == jnp.float32 and np.isfinite(leaf).all() and np.any(leaf != 0), jax.tree_util.keystr(path)
  for path, leaf in jax.tree_util.tree_leaves_with_path(state):
    assert leaf.dtype == jnp.float32 and np.isfinite(leaf).all(), jax.tree_util.keystr(path)
  changed = jax.tree.map(lambda old, new: bool((old != new).any()), variables, state)
  assert all(jax.tree.leaves(changed))


@pytest.mark.slow
def test_bfloat16_keeps_float32_parameters():
  """Guards mixed precision: float32 parameters, statistics and outputs, and a logit near the float32 one."""
  method, exact = build("test", dtype="bfloat16"), build("test")
  variables = jax.jit(method.init)(jax.random.key(0))
  assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype(jnp.float32)}
  clips = random_clips(method)
  outputs = jax.jit(method.model.apply)(variables, clips)
  assert all(o.dtype == jnp.float32 and np.isfinite(o).all() for o in jax.tree.leaves(outputs))
  want = jax.jit(exact.model.apply)(variables, clips)
  # The transform is float32 in both; the features differ by bfloat16's rounding.
  np.testing.assert_array_equal(outputs["phase_image"], want["phase_image"])
  assert np.linalg.norm(outputs["features"] - want["features"]) < 0.03 * np.linalg.norm(want["features"])


@pytest.mark.slow
def test_remat_keeps_the_names():
  """Guards that weights trained with rematerialisation load without, and the other way round."""
  with_remat, without = (
    jax.eval_shape(build("test", remat=r).init, jax.random.key(0)) for r in ("nothing_saveable", "")
  )
  assert jax.tree.structure(with_remat) == jax.tree.structure(without)


@pytest.mark.parametrize(
  ("overrides", "words"),
  [
    ({"clips__frames": 4}, "T = 4"),
    ({"clips__frames": 1}, "T = 1"),
    ({"clips__size": 100}, "100×100"),
    ({"model__stream": "phrase"}, "both, phase, sequence"),
    ({"model__reconstruction": "canny"}, "amplitude"),
    ({"model__recurrence": "double"}, "single, scan"),
    ({"model__size": "huge"}, "resnet18"),
  ],
)
def test_settings_that_do_not_fit_are_refused(overrides, words):
  """Guards refusal before compilation, with the number or the choices in the message."""
  with pytest.raises(UserError, match=words):
    build(None, **overrides)


def test_clips_that_do_not_fit_are_refused():
  """Guards the model's own door, which a user with converted weights comes through."""
  with pytest.raises(UserError, match="snippets"):
    jax.eval_shape(model.STILIF(8).init, jax.random.key(0), jnp.zeros((1, 4, 5, 64, 64, 3), jnp.uint8))
