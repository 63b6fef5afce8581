"""Explanations: they are the derivatives that they claim to be, and point at what was planted."""

import importlib

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dfdetect_jax import methods
from dfdetect_jax.figures.explain import Layer, explain, layers_of, make_explainer
from dfdetect_jax.methods.baselines.frame import FrameResNet
from dfdetect_jax.methods.baselines.frame_vit import FrameViT
from dfdetect_jax.methods.baselines.xception import Xception
from dfdetect_jax.methods.dil.model import DIL
from dfdetect_jax.methods.method import ClipSpec, Method
from dfdetect_jax.methods.sdr.model import SDR


class Planted(nn.Module):
  """Tells flicker from stillness: differences of frames, squared and blurred; the head takes their mean."""

  @nn.compact
  def __call__(self, clips, train=False):
    x = jnp.diff(clips.astype(jnp.float32).mean(axis=-1), axis=1)[..., None] / 64
    x = nn.Conv(2, (4, 4), strides=4, kernel_init=nn.initializers.constant(1 / 16), name="cells")(x**2)
    return {"logit": nn.Dense(1, kernel_init=nn.initializers.constant(2.0), name="fc")(x.mean(axis=(1, 2, 3)))[:, 0]}


def test_a_planted_flicker_is_localised():
  """Guards the meaning of both maps: the only cell that flickers, in the only frames, is where they peak."""
  method = Method(model=Planted(), clip_spec=ClipSpec(frames=6, size=32))
  variables = method.init(jax.random.key(0))
  clips = np.full((2, 6, 32, 32, 3), 100, np.uint8)
  clips[0, 3, 20:24, 8:12] = 180  # a cell of row 5, column 2, between the differences 2 and 3
  clips[1, 1, 4:8, 24:28] = 180
  told = explain(method, variables, clips, saliency=True, layers=[Layer("", ("cells",))])
  cam = np.asarray(told.maps["grad_cam"])
  assert cam.shape == (2, 5, 8, 8)
  assert {tuple(map(int, c)) for c in np.argwhere(cam[0] > cam[0].max() / 2)} == {(2, 5, 2), (3, 5, 2)}
  assert {tuple(map(int, c)) for c in np.argwhere(cam[1] > cam[1].max() / 2)} == {(0, 1, 6), (1, 1, 6)}
  pixels = np.asarray(told.maps["saliency"])
  assert (np.argwhere(pixels[0] > 0)[:, 1:].min(0).tolist(), np.argwhere(pixels[0] > 0)[:, 1:].max(0).tolist()) == (
    [20, 8],
    [23, 11],
  )


def test_saliency_is_the_derivative_in_the_pixels():
  """Guards ‖∂logit/∂pixel‖ against central differences in float64's stead: a quadratic, so that they are exact."""
  method = Method(model=Planted(), clip_spec=ClipSpec(frames=3, size=8))
  variables = method.init(jax.random.key(0))
  clips = np.random.default_rng(0).uniform(50, 200, (1, 3, 8, 8, 3)).astype(np.float32)
  told = explain(method, variables, clips)  # an unknown network: saliency is all there is
  assert set(told.maps) == {"saliency"}
  for place in ((0, 1, 1), (1, 4, 7), (2, 7, 0)):
    slopes = []
    for colour in range(3):
      moved = [clips.copy(), clips.copy()]
      moved[0][(0, *place, colour)] += 8
      moved[1][(0, *place, colour)] -= 8
      low, high = (float(method.model.apply(variables, m)["logit"][0]) for m in reversed(moved))
      slopes.append((high - low) / 16)
    np.testing.assert_allclose(told.maps["saliency"][(0, *place)], np.linalg.norm(slopes), rtol=2e-3)


@pytest.mark.parametrize("network", ["resnet", pytest.param("dil", marks=pytest.mark.slow)])
def test_grad_cam_shares_out_the_logit(network):
  """Guards the formula: with a linear head on the mean, Grad-CAM is w·A/N of every place, and sums to logit − bias."""
  if network == "dil":
    model = DIL(depths=(1, 2), width=4, reduction=2, frames=4, stages=(1,))
    shape, spec = (2, 3, 4, 16, 16, 3), ClipSpec(frames=4, size=16, snippets=3)
  else:
    model = FrameResNet(depths=(1, 1), bottleneck=False, width=4)
    shape, spec = (2, 3, 32, 32, 3), ClipSpec(frames=3, size=32)
  method = Method(model=model, clip_spec=spec)
  variables = jax.jit(method.init)(jax.random.key(1))
  clips = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
  told = make_explainer(method)(variables, clips)
  outputs = jax.jit(model.apply)(variables, clips)
  features, head = np.asarray(outputs["feature_map"], np.float64), variables["params"]["fc"]
  expected = features @ np.asarray(head["kernel"], np.float64)[:, 0] / np.prod(features.shape[1:-1])
  np.testing.assert_allclose(told.maps["grad_cam"], expected, rtol=1e-4, atol=1e-7)
  shared = np.asarray(told.maps["grad_cam"]).reshape(2, -1).sum(axis=1)
  np.testing.assert_allclose(shared, outputs["logit"] - head["bias"], rtol=1e-4, atol=1e-5)
  np.testing.assert_allclose(told.probability, jax.nn.sigmoid(outputs["logit"]), rtol=1e-5)


SHAPES = {
  "dip": {"grad_cam": (8, 4, 4), "grad_cam_h": (8, 4, 4), "grad_cam_v": (8, 4, 4), "dica": (1, 4, 4), "idm": (1, 4, 4)},
  "st_ilif": {"grad_cam": (1, 2, 2), "grad_cam_phase": (1, 2, 2), "grad_cam_sequence": (1, 2, 2),
              "cafim_1": (1, 16, 16), "cafim_2": (1, 8, 8), "cafim_3": (1, 4, 4), "cafim_4": (1, 2, 2),
              "affm": (1, 2, 2)},
  "ftcn": {"grad_cam": (2, 2, 2)},
  "sdr": {"grad_cam": (2, 2, 2), **{f"grad_cam_{i}": (2, 2, 2) for i in range(4)}},
  "dil": {"grad_cam": (3, 4, 4, 4), "intra_1_0": (3, 4, 8, 8), "intra_2_0": (3, 4, 8, 8)},
}  # fmt: skip


@pytest.mark.parametrize("name", SHAPES)
def test_every_detector_has_its_maps(name):
  """Guards the layers' names in each network, and which maps it has; traced only."""
  method = methods.build(importlib.import_module(f"configs.{name}").get_config("test"))
  clips = jax.ShapeDtypeStruct((2, *method.clip_spec.shape(train=False)), jnp.uint8)
  variables = jax.eval_shape(method.init, jax.random.key(0))
  told = jax.eval_shape(lambda v, c: explain(method, v, c), variables, clips)
  assert {k: v.shape[1:] for k, v in told.maps.items()} == SHAPES[name]
  assert layers_of(method.model) and told.probability.shape == (2,)


@pytest.mark.slow
def test_the_unrolled_network_is_the_network():
  """Guards SDR, whose branches are taken apart to be looked into: the judgement stays the same."""
  settings = dict(width=4, depths=(1, 1, 1), layers=1, heads=4, mlp=8, bottleneck=8)
  method = Method(model=SDR(frames=2, branches=2, **settings), clip_spec=ClipSpec(frames=2, size=16))
  variables = jax.jit(method.init)(jax.random.key(0))
  clips = np.random.default_rng(0).integers(0, 256, (1, 2, 16, 16, 3)).astype(np.uint8)
  told, plain = jax.jit(lambda v, c: (explain(method, v, c), method.predict(v, c)))(variables, clips)
  np.testing.assert_allclose(told.probability, plain, rtol=1e-5)
  np.testing.assert_allclose(told.maps["grad_cam"], told.maps["grad_cam_0"] + told.maps["grad_cam_1"], rtol=1e-5)


@pytest.mark.parametrize(
  ("model", "expected"),
  [(Xception(width=2, middle=1), (3, 2, 2)), (FrameViT(patch=8, width=8, depth=2, heads=2), (3, 8, 8))],
)
def test_networks_on_frames_have_a_map_for_each(model, expected):
  """Guards the baselines' layers: a map for each of T frames, also where the network has folded T into the batch."""
  method = Method(model=model, clip_spec=ClipSpec(frames=3, size=64))
  clips = jax.ShapeDtypeStruct((2, 3, 64, 64, 3), jnp.uint8)
  told = jax.eval_shape(lambda v, c: explain(method, v, c), jax.eval_shape(method.init, jax.random.key(0)), clips)
  assert told.maps["grad_cam"].shape == (2, *expected)


@pytest.mark.slow
def test_dils_map_over_snippets_and_frames_finds_the_forged_half():
  """Guards U × T: with a head that knows flicker from stillness, the snippets of the forged half stand out, and no
  others, in the frame logits and in Grad-CAM summed over places."""
  model = DIL(depths=(1, 1), width=4, reduction=2, frames=4)
  method = Method(model=model, clip_spec=ClipSpec(frames=4, size=16, snippets=6))
  rng = np.random.default_rng(0)
  clips = rng.uniform(60, 190, (1, 1, 1, 16, 16, 3)) + rng.normal(0, 2, (9, 6, 4, 16, 16, 3))
  clips[:, 3:] += rng.normal(0, 40, (9, 3, 4, 16, 16, 3))  # the second half of each video flickers
  clips = clips.clip(0, 255).astype(np.uint8)
  variables = jax.jit(method.init)(jax.random.key(0))
  features = np.asarray(jax.jit(model.apply)(variables, clips)["feature_map"], np.float64).mean(axis=(3, 4))
  x, y = (
    features[:8].reshape(-1, features.shape[-1]),
    np.tile(np.repeat([-1.0, 1.0], 12), 8),
  )  # the ninth is for the test
  centred = x - x.mean(axis=0)
  kernel = np.linalg.solve(centred.T @ centred + 1e-3 * np.eye(x.shape[1]), centred.T @ y)
  bias = float(-x.mean(axis=0) @ kernel)
  head = {"kernel": jnp.asarray(kernel[:, None], jnp.float32), "bias": jnp.full(1, bias, jnp.float32)}
  told = make_explainer(method)({**variables, "params": {**variables["params"], "fc": head}}, clips[8:])
  by_frame = np.asarray(told.tables["frame_logits"][0])
  by_snippet = by_frame.mean(axis=1)
  assert by_snippet[3:].min() > 0 > by_snippet[:3].max()
  shares = np.asarray(told.maps["grad_cam"][0]).sum(axis=(-2, -1))
  np.testing.assert_allclose(shares * shares.size, by_frame - bias, rtol=1e-3, atol=1e-3)


def test_dip_places_are_rows_and_columns():
  """Guards DIP's own maps: row i and column j of a place come from D_hv and from what the CLS tokens read."""
  from dfdetect_jax.figures.explain import _own

  rng = np.random.default_rng(0)
  outputs = {"attention_h": rng.random((1, 2, 4, 4)), "attention_v": rng.random((1, 2, 4, 4)),
             "diffusion": rng.random((1, 6, 6))}  # fmt: skip
  maps, tables = _own({k: jnp.asarray(v, jnp.float32) for k, v in outputs.items()}, crossed=True)
  h, v = outputs["attention_h"][0].mean(0), outputs["attention_v"][0].mean(0)
  for i in range(3):
    for j in range(3):
      assert maps["dica"][0, 0, i, j] == pytest.approx(v[0, 1 + i] * h[0, 1 + j], rel=1e-5)
      assert maps["idm"][0, 0, i, j] == pytest.approx(outputs["diffusion"][0, i, 3 + j], rel=1e-5)
  np.testing.assert_allclose(tables["attention_v"][0], v, rtol=1e-5)
