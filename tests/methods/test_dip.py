"""DIP's sizes, settings, losses by hand, objective, teacher, and numbers that must not depend on how it runs."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import dip as card
from dfdetect_jax import methods
from dfdetect_jax.errors import UserError
from dfdetect_jax.layers.transformer import SelfAttention
from dfdetect_jax.methods.dip import losses, model, starts

# What tells whether IDM is alive.
MONITORED = {"mu", "tau_1", "tau_2", "diffusion_median", "bias_spread"}
TINY = dict(patch=8, width=16, heads=2, mlp=24, units=2, spatial=1, temporal=1, layers=1, k_n=3, t=3)
CLIP = (3, 32, 32, 3)


def config(**overrides):
  c = card.get_config("test")
  with c.unlocked():
    c.model.update(TINY)
    c.clips.frames, c.clips.size = CLIP[0], CLIP[1]
    for name, value in overrides.items():
      room, field = name.split("__")
      c[room][field] = value
  return c


def clips(batch, seed=0):
  return jnp.asarray(np.random.default_rng(seed).integers(0, 256, (batch, *CLIP), dtype=np.uint8))


def triplets(batch, seed=0):
  return {name: clips(batch, seed + i) for i, name in enumerate(("anchor", "positive", "negative", "forged"))}


def randomised(tree, seed=0):
  """Random parameters of the tree's shapes, scales about 1."""
  rng = np.random.default_rng(seed)

  def draw(path, p):
    fixed = {"mu": 0.05, "tau_1": 1.0, "tau_2": 1.0, "scale": 1.0}.get(path[-1].key, 0.0)
    return jnp.asarray(fixed + 0.2 * rng.normal(size=p.shape) * (p.ndim > 0), jnp.float32)

  return jax.tree_util.tree_map_with_path(draw, tree)


def shapes(module, clip=(1, *CLIP)):
  return jax.eval_shape(module.init, jax.random.key(0), jax.ShapeDtypeStruct(clip, jnp.uint8))["params"]


# --- sizes -----------------------------------------------------------------------------------------------------------


def counted_by_hand(e, mlp, patch, frames, size, units=3, per_unit=4, layers=6):
  """Parameters from the paper's description: every matrix with its bias, every norm with scale and shift."""
  side = size // patch
  norm, feed_forward, attention = 2 * e, (e * mlp + mlp) + (mlp * e + e), 4 * (e * e + e)
  vit_block = 2 * norm + attention + feed_forward
  embedding = (patch * patch * 3 * e + e) + e + (side * side + 1) * e + frames * e
  head = (e + 1) + (e + 1) + (2 * e + 1)
  learned_scales = 3
  return embedding + units * per_unit * vit_block + norm + layers * 2 * vit_block + 2 * norm + head + learned_scales


@pytest.mark.parametrize(
  ("size", "count"),
  [("b", 170_871_558), ("s", 42_968_454), ("ti", 10_867_398), ("small", 866_886), ("test", 236_838)],
)
def test_parameter_counts(size, count):
  """Guards the named sizes at the paper's T = 16 and 224 px."""
  s = model.SIZES[size]
  params = shapes(model.DIP(**s), (1, 16, 224, 224, 3))
  assert sum(p.size for p in jax.tree.leaves(params)) == count
  assert count == counted_by_hand(s["width"], s["mlp"], s["patch"], 16, 224)


def test_paper_setting_traces():
  """Guards DIP-B at batch 16, 16 frames, 224 px: every output of the shape and dtype that it promises."""
  paper = methods.build(card.get_config()).model
  variables = {"params": shapes(paper, (1, 16, 224, 224, 3))}
  out = jax.eval_shape(paper.apply, variables, jax.ShapeDtypeStruct((16, 16, 224, 224, 3), jnp.uint8))
  assert {name: x.shape for name, x in out.items()} == {
    "logit": (16,), "logit_h": (16,), "logit_v": (16,), "features": (16, 1536), "diffusion": (16, 28, 28),
    "diffusion_similarity": (16, 2, 14, 14), "cosine": (16, 2, 14, 14), "attention_h": (16, 12, 15, 15),
    "attention_v": (16, 12, 15, 15),
  }  # fmt: skip
  assert {x.dtype for x in out.values()} == {jnp.dtype(jnp.float32)}


# --- settings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
  ("name", "value", "message"),
  [
    ("model__size", "xl", "no size 'xl'"),
    ("clips__size", 36, "36 px cannot be cut into patches"),
    ("model__pooling", "median", "must be one of mean, max"),
    ("model__diffusion_path", "fast", "must be one of spectral, power"),
    ("model__k_n", 4, "must be odd"),
    ("model__k_n", -1, "must be odd"),
    ("model__t", 0, "at least 1"),
    ("model__units", 0, "at least 1"),
    ("model__layers", 0, "at least 1"),
    ("model__temporal", -1, "at least 0"),
    ("model__density", "loco", "must be one of stationary, local"),
    ("model__feature_scale", "wide", "must be one of none, width, unit"),
    ("model__temporal_init", "one", "must be one of zero, difference, identity"),
    ("augment__blur", (1.5, 0.5, 2.0), r"the probability in \[0, 1\]"),
    ("augment__temporal", (0.5, -0.1, 0.2), r"cannot draw from \[-0.1, 0.2\]"),
    ("augment__noise", (0.5, 2.0), r"\(probability, smallest, largest\)"),
  ],
)
def test_bad_settings(name, value, message):
  """Guards the user's mistakes: each is one sentence, none a shape error deep inside."""
  with pytest.raises(UserError, match=message):
    methods.build(config(**{name: value}))


# --- losses ----------------------------------------------------------------------------------------------------------


def test_collaborative_cross_entropy_by_hand():
  """Guards Eq. 11: each logit with its own weight. σ(0) = 1/2, σ(ln 3) = 3/4, σ(-ln 4) = 1/5."""
  ln = np.log
  outputs = {
    "logit": jnp.array([0.0, ln(3.0)]),
    "logit_h": jnp.array([ln(3.0), 0.0]),
    "logit_v": jnp.array([-ln(4.0), -ln(4.0)]),
  }
  loss = losses.collaborative_cross_entropy(outputs, jnp.array([1, 0]), 0.5, 0.25)
  expected = (ln(2) + ln(4)) / 2 + 0.5 * (ln(4 / 3) + ln(2)) / 2 + 0.25 * (ln(5) + ln(5 / 4)) / 2
  np.testing.assert_allclose(loss, expected, rtol=1e-6)


def test_spatiotemporal_invariant_loss_by_hand():
  """Guards Eq. 9: which pair is pulled, which pushed, the margin, the hinge per triplet and not on the mean."""
  anchor = jnp.array([[2.0, 0.0], [1.0, 0.0]])
  positive = jnp.array([[3.0, 4.0], [5.0, 0.0]])  # cosines 0.6, 1
  negative = jnp.array([[0.0, 1.0], [-2.0, 0.0]])  # cosines 0, -1
  loss = losses.spatiotemporal_invariant_loss
  # 1 + 0 - 0.6 = 0.4;  1 - 1 - 1 = -1, cut to 0.
  np.testing.assert_allclose(loss(anchor, positive, negative), 0.2, rtol=1e-6)
  np.testing.assert_allclose(loss(anchor, negative, positive), (1.6 + 3.0) / 2, rtol=1e-6)
  np.testing.assert_allclose(loss(anchor, positive, negative, margin=0.8), 0.1, rtol=1e-6)


def test_diffusion_aware_loss_by_hand():
  """Guards Eq. 10: sum over the directions, mean over batch and entries."""
  similarity = jnp.array([[[[1.0, 0.5], [0.5, 1.0]], [[1.0, 0.0], [0.0, 1.0]]]])
  diffused = jnp.array([[[[1.0, 0.3], [0.3, 1.0]], [[1.0, 1.0], [0.0, 1.0]]]])
  np.testing.assert_allclose(losses.diffusion_aware_loss(similarity, diffused), 2 * 0.04 / 4 + 1 / 4, rtol=1e-6)


def test_normalised_cosine_by_hand():
  """Guards norm(·) of Eq. 10: opposite 0, orthogonal ½, parallel 1, whatever the lengths; zero vectors stay finite."""
  tokens = jnp.array([[[2.0, 0.0], [0.0, 3.0], [-1.0, 0.0], [0.0, 0.0]]])
  expected = [[1, 0.5, 0, 0.5], [0.5, 1, 0.5, 0.5], [0, 0.5, 1, 0.5], [0.5, 0.5, 0.5, 0.5]]
  np.testing.assert_allclose(model.cosine_similarity(tokens)[0], expected, atol=1e-6)
  gradient = jax.grad(lambda x: model.cosine_similarity(x).sum())(tokens)
  assert np.isfinite(gradient).all()


# --- objective -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tiny():
  """The tiny method, random parameters, a teacher of its own; compiled once: loss with gradients, the model."""
  method = methods.build(config())
  params = randomised(shapes(method.model))
  teacher = randomised(shapes(method.model), seed=1)
  value_and_gradients = jax.jit(jax.value_and_grad(method.loss, argnums=(0, 2), has_aux=True))
  return method, params, teacher, value_and_gradients, jax.jit(method.model.apply)


@pytest.mark.slow
def test_student_and_teacher_see_the_right_clips(tiny):
  """Guards Fig. 5: anchor and forged clip as they are to the student, the other two augmented to the teacher."""
  method, params, teacher, value_and_gradients, apply = tiny
  batch, rng = triplets(2), jax.random.key(3)
  (loss, (metrics, _)), _ = value_and_gradients(params, {}, teacher, batch, rng)

  real, fake = apply({"params": params}, batch["anchor"]), apply({"params": params}, batch["forged"])
  mixed = jnp.stack([batch["positive"][0], batch["negative"][0], batch["positive"][1], batch["negative"][1]])
  augmented = jax.jit(method.augment)(rng, mixed)
  assert np.abs(augmented - mixed.astype(jnp.float32)).max() > 1, "the drawn augmentations do something"
  targets = [apply({"params": teacher}, augmented[i : i + 2])["features"] for i in (0, 2)]
  targets = jnp.concatenate(targets)
  both = {name: jnp.concatenate([real[name], fake[name]]) for name in real}
  cce = losses.collaborative_cross_entropy(both, jnp.array([0, 0, 1, 1]), 0.5, 0.5)
  sti = losses.spatiotemporal_invariant_loss(real["features"], targets[0::2], targets[1::2])
  da = losses.diffusion_aware_loss(both["cosine"], both["diffusion_similarity"])
  np.testing.assert_allclose(metrics["cce"], cce, rtol=1e-4)
  np.testing.assert_allclose(metrics["sti"], sti, rtol=1e-4)
  np.testing.assert_allclose(metrics["da"], da, rtol=1e-4)
  np.testing.assert_allclose(loss, cce + sti + da, rtol=1e-4)


@pytest.mark.slow
def test_teacher_gets_no_gradient(tiny):
  """Guards the EMA teacher: it matters for the loss, and no gradient flows into it."""
  _, params, teacher, value_and_gradients, _ = tiny
  batch, rng = triplets(2), jax.random.key(3)
  (_, (metrics, _)), (by_student, by_teacher) = value_and_gradients(params, {}, teacher, batch, rng)
  assert all(not g.any() for g in jax.tree.leaves(by_teacher))
  assert all(np.isfinite(g).all() for g in jax.tree.leaves(by_student))
  (_, (others, _)), _ = value_and_gradients(params, {}, params, batch, rng)
  assert metrics["sti"] != others["sti"] and metrics["cce"] == others["cce"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["random", "black", "static"])
def test_gradients_at_the_start_are_finite(tiny, kind):
  """Guards the first step on any video: at init, equal tokens and equal eigenvalues must not give NaN."""
  method, _, _, value_and_gradients, _ = tiny
  params = jax.jit(method.init)(jax.random.key(0))["params"]
  batch = triplets(2)
  if kind == "black":
    batch = {name: jnp.zeros_like(x) for name, x in batch.items()}
  if kind == "static":
    batch = {name: jnp.repeat(x[:, :1], CLIP[0], axis=1) for name, x in batch.items()}
  (loss, _), (gradient, _) = value_and_gradients(params, {}, params, batch, jax.random.key(1))
  assert np.isfinite(loss)
  for path, g in jax.tree_util.tree_leaves_with_path(gradient):
    assert np.isfinite(g).all(), jax.tree_util.keystr(path)
  assert gradient["logit"]["kernel"].any()


@pytest.mark.slow
def test_switches_take_losses_and_augmentations_away(tiny):
  """Guards Tables VII and VIII: a loss that is off is not computed, augmentations that are off leave clips alone."""
  method, params, *_ = tiny
  bare = dataclasses.replace(method, sti_weight=0.0, da_weight=0.0)
  _, (metrics, _) = jax.eval_shape(bare.loss, params, {}, None, triplets(1), jax.random.key(0))
  assert set(metrics) == {"cce", "accuracy"} | MONITORED
  off = dataclasses.replace(method, augmentations=())
  np.testing.assert_array_equal(off.augment(jax.random.key(0), clips(2)), clips(2))
  assert [a.name for a in method.augmentations] == ["blur", "saturation", "noise", "temporal"]
  for a in method.augmentations:
    one = dataclasses.replace(off, augmentations=(dataclasses.replace(a, probability=1.0),))
    assert np.abs(one.augment(jax.random.key(0), clips(2)) - clips(2).astype(jnp.float32)).max() > 1, a.name


# --- how it runs, not what it computes -------------------------------------------------------------------------------


@pytest.mark.slow
def test_scan_and_remat_compute_the_same(tiny):
  """Guards scanned units (parameters stacked along a leading axis) and rematerialisation: outputs and gradients."""
  method, params, *_ = tiny
  plain = method.model
  scanned = dataclasses.replace(plain, scan=True, remat="dots_with_no_batch_dims_saveable")
  units = [params["ste"][f"unit{i}"] for i in range(TINY["units"])]
  ste = {name: tree for name, tree in params["ste"].items() if not name.startswith("unit")}
  ste["units"] = jax.tree.map(lambda *leaves: jnp.stack(leaves), *units)
  stacked = {**params, "ste": ste}
  assert jax.tree.map(jnp.shape, stacked) == jax.tree.map(jnp.shape, shapes(scanned))

  def total(module):
    def f(p):
      out = module.apply({"params": p}, clips(2))
      return jnp.sum(out["logit"]) + jnp.sum(out["features"] ** 2) + jnp.sum(out["diffusion_similarity"]), out

    return jax.jit(jax.grad(f, has_aux=True))

  gradient, out = total(plain)(params)
  again, same = total(scanned)(stacked)
  for name in out:
    np.testing.assert_allclose(same[name], out[name], atol=2e-5, rtol=1e-4, err_msg=name)
  expected = {**gradient, "ste": {n: t for n, t in gradient["ste"].items() if not n.startswith("unit")}}
  expected["ste"]["units"] = jax.tree.map(lambda *g: jnp.stack(g), *[gradient["ste"][f"unit{i}"] for i in range(2)])
  for (path, a), b in zip(jax.tree_util.tree_leaves_with_path(again), jax.tree.leaves(expected), strict=True):
    name = jax.tree_util.keystr(path)
    if name.endswith("['key']['bias']"):  # softmax does not see it: its gradient is rounding, not the same in both
      assert max(np.abs(a).max(), np.abs(b).max()) < 1e-6, name
      continue
    scale = max(1e-3, float(np.abs(b).max()))
    assert np.abs(a - b).max() < 1e-4 * scale, name


@pytest.mark.slow
def test_bfloat16(tiny):
  """Guards mixed precision: float32 parameters, finite float32 outputs that are close to float32's."""
  method, params, _, _, apply = tiny
  half = dataclasses.replace(method.model, dtype=jnp.dtype(jnp.bfloat16))
  assert {p.dtype for p in jax.tree.leaves(shapes(half))} == {jnp.dtype(jnp.float32)}
  out = jax.jit(half.apply)({"params": params}, clips(2))
  full = apply({"params": params}, clips(2))
  for name, x in out.items():
    assert x.dtype == jnp.float32 and np.isfinite(x).all(), name
  cosine = losses.cosine(out["features"], full["features"])
  assert cosine.min() > 0.99


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_scales_that_cross_zero(tiny, sign):
  """Guards W and the similarities in [0, 1]: a drifting μ below zero would overflow exp(-μ ‖f_i - f_j‖²)."""
  _, params, _, _, apply = tiny
  scales = {"mu": jnp.float32(9.0 * sign), "tau_1": jnp.float32(2.0 * sign), "tau_2": jnp.float32(2.0 * sign)}
  out = apply({"params": {**params, **scales}}, clips(2))
  assert all(np.isfinite(x).all() for x in out.values())
  assert out["diffusion_similarity"].min() >= 0 and out["diffusion_similarity"].max() <= 1 + 1e-5


def test_predict_is_a_probability_and_ignores_the_batch(tiny):
  """Guards evaluation: a clip's score is σ(logit) and does not depend on the clips beside it."""
  method, params, _, _, apply = tiny
  predict = jax.jit(method.predict)
  first, other = clips(2), clips(2, seed=9)
  score = predict({"params": params}, first)
  np.testing.assert_allclose(score, 1 / (1 + np.exp(-apply({"params": params}, first)["logit"])), rtol=1e-5)
  np.testing.assert_allclose(predict({"params": params}, other.at[1].set(first[1]))[1], score[1], rtol=1e-5)


def test_temporal_attention_may_start_as_a_difference():
  """Guards `temporal_init=difference`: uniform attention then takes each token's mean over time away, no more."""
  x = jax.random.normal(jax.random.key(0), (2, 5, 8))
  attention = SelfAttention(2)
  params = attention.init(jax.random.key(1), x)["params"]
  params = starts.difference({"temporal0": {"attention": params}})["temporal0"]["attention"]
  kernel = params["qkv"]["kernel"]
  params["qkv"]["kernel"] = kernel.at[:, :2].set(0.0)  # no queries, no keys: attention is uniform
  out = attention.apply({"params": params}, x)
  expected = -np.mean(np.asarray(x, np.float64), axis=1, keepdims=True)
  np.testing.assert_allclose(out, np.broadcast_to(expected, x.shape), atol=1e-6)


@pytest.mark.parametrize(
  ("start", "changes"),
  [("difference", {"['qkv']['kernel']", "['out']['kernel']"}), ("identity", {"['fc2']['kernel']"}), ("zero", set())],
)
@pytest.mark.parametrize("scan", [False, True])
def test_starts_change_temporal_blocks_alone(scan, start, changes):
  """Guards `Method.start`: which kernels of temporal blocks differ from the modules' start, in scanned units too."""
  method = methods.build(config(model__scan=scan, model__temporal_init=start))
  assert method.model == methods.build(config(model__scan=scan)).model
  before = randomised(shapes(method.model))
  after = method.start(before) if method.start else before
  differing = 0
  for (path, a), b in zip(jax.tree_util.tree_leaves_with_path(before), jax.tree.leaves(after), strict=True):
    name = jax.tree_util.keystr(path)
    changed = "temporal0" in name and any(name.endswith(kernel) for kernel in changes)
    assert np.array_equal(a, b) != changed, name
    differing += changed
  assert differing == len(changes) * (1 if scan else TINY["units"])
  if start == "difference":  # queries and keys stay
    qkv = [tree["ste"]["units" if scan else "unit1"]["temporal0"]["attention"]["qkv"] for tree in (before, after)]
    np.testing.assert_array_equal(*(x["kernel"][..., :2, :, :] for x in qkv))


@pytest.mark.slow
def test_the_student_may_see_augmented_clips(tiny):
  """Guards `student_augmented`: the cross-entropy is the mean over both pairs of clips, and its gradient sees both."""
  method, params, teacher, *_ = tiny
  both = dataclasses.replace(method, student_augmented=True, sti_weight=0.0, da_weight=0.0)
  batch, rng = triplets(2), jax.random.key(3)
  _, (metrics, _) = jax.jit(both.loss)(params, {}, teacher, batch, rng)
  mixed = jnp.stack([batch["positive"], batch["negative"]], axis=1).reshape(4, *CLIP)
  plain = jnp.stack([batch["anchor"], batch["forged"]], axis=1).reshape(4, *CLIP)
  apply = jax.jit(method.model.apply)
  want = [
    losses.collaborative_cross_entropy(apply({"params": params}, x), jnp.array([0, 1, 0, 1]), 0.5, 0.5)
    for x in (plain, jax.jit(method.augment)(rng, mixed))
  ]
  np.testing.assert_allclose(metrics["cce"], np.mean(want), rtol=1e-4)


@pytest.mark.parametrize("dica", [True, False])
def test_metrics_tell_whether_the_diffusion_is_alive(dica):
  """Guards the figures by which a dead IDM is noticed, against NumPy: between nodes, and of the bias that DiCA gets."""
  method, length = methods.build(config(model__dica=dica)), 4
  params = {"mu": jnp.float32(-0.3), "tau_1": jnp.float32(0.5), "tau_2": jnp.float32(2.0)}
  d = np.random.default_rng(0).uniform(0, 3, (3, 2 * length, 2 * length))
  found = method._diffusion_metrics(params, {"diffusion": jnp.asarray(d, jnp.float32)})
  assert set(found) == MONITORED
  assert [float(found[name]) for name in ("mu", "tau_1", "tau_2")] == pytest.approx([0.3, 0.5, 2.0])
  between = [x[i, j] for x in d for i in range(2 * length) for j in range(2 * length) if i != j]
  np.testing.assert_allclose(found["diffusion_median"], np.median(between), rtol=1e-5)
  spread = np.mean([np.std(np.exp(-0.5 * (x[:length, length:] if dica else x[:length, :length]))) for x in d])
  np.testing.assert_allclose(found["bias_spread"], spread, rtol=1e-5)
  assert method._diffusion_metrics(params, {}) == {}
