"""Self-made forgeries: identity at strength zero, nothing outside the mask, time only where it is told to."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dfdetect_jax.augment import face_mask, forged_batch, self_blending, warping
from dfdetect_jax.augment.self_blending import SelfBlending

FULL = SelfBlending()
STILL = SelfBlending(drift=0.0, fitting_error=0.0, flicker=0.0)
SIZE = 32
QUICK = {"xla_backend_optimization_level": 0}  # compiles in a third of the time


@pytest.fixture(scope="module")
def clips():
  """Two clips `[2, 6, 32, 32, 3]` of smooth texture that moves, and landmarks of a face that moves along."""
  y, x = np.mgrid[:SIZE, :SIZE] / SIZE
  rng = np.random.default_rng(0)
  rows = []
  for _ in range(2):
    phases, waves = rng.uniform(0, 6, (6, 3)), rng.uniform(2, 14, (6, 3, 2))
    frames = [
      sum(np.sin(waves[k, :, 0] * (x[..., None] + 0.01 * t) + waves[k, :, 1] * y[..., None] + phases[k])
          for k in range(6)) for t in range(6)
    ]  # fmt: skip
    rows.append(np.clip(128 + 40 * np.stack(frames), 0, 255).astype(np.uint8))
  path = 0.01 * np.arange(6)[None, :, None, None]
  points = 0.1 + 0.8 * face_mask.FIVE_POINTS + path + rng.normal(0, 0.01, (2, 1, 5, 2))
  return np.stack(rows), points.astype(np.float32)


@functools.cache  # compiled once for each set of options
def compiled(options):
  return jax.jit(lambda k, c, p: forged_batch.forgeries(k, c, p, options), compiler_options=QUICK)


def forge(clips, options, seed=0):
  return [np.asarray(a) for a in compiled(options)(jax.random.split(jax.random.key(seed), 2), *clips)]


def forged(key, batch, options):
  return jax.jit(lambda k, b: forged_batch.forged_batch(k, b, options), compiler_options=QUICK)(key, batch)


def test_strength_zero_is_the_clip_bit_for_bit(clips):
  """Guards against traces that no switch takes away; and a strength near zero, which runs all of the code."""
  batch = {"clip": clips[0], forged_batch.LANDMARKS_OF + "clip": clips[1]}
  for strength in (0.0, 1e-4):
    options = SelfBlending(strength=strength, swap=0.0)
    made = forged(jax.random.key(0), batch, options)
    assert made["clip"].dtype == jnp.uint8 and made["label"].tolist() == [0, 1, 0, 1]
    change = np.abs(np.asarray(made["clip"]).astype(int) - np.repeat(clips[0], 2, axis=0))
    # Near zero the coding alone is left, at quality 98; all else rounds away.
    assert change.max() <= (0 if not strength else 8) and change.mean() < 1


def test_outside_the_mask_nothing_changes(clips):
  """Guards against clues elsewhere: before post-processing a forgery is its real twin where the mask is 0."""
  for seed in range(3):
    real, forged, mask = forge(clips, FULL, seed)
    assert ((forged == real) | (mask[..., None] > 0)).all()
    assert 0.02 < (mask > 0).mean() < 0.9 and mask.max() <= 1 and np.isfinite(forged).all()
    assert np.abs(forged - real)[mask > 0.2].mean() > 0.5


@pytest.mark.slow
def test_with_a_blend_of_nothing_both_classes_are_the_same(clips):
  """Guards against shortcuts: all that is done to a forgery but the blend is done to its real twin, bit for bit, so
  that nothing could tell them apart; in triplets too, whose real and forged clips come by two ways."""
  batch = {"clip": clips[0], forged_batch.LANDMARKS_OF + "clip": clips[1]}
  made = np.asarray(forged(jax.random.key(1), batch, SelfBlending(ratios=(0.0,)))["clip"])
  np.testing.assert_array_equal(made[0::2], made[1::2])
  assert (made[0::2] != clips[0]).any()
  batch = dict.fromkeys(("anchor", "positive", "negative", "forged"), clips[0])
  batch |= {forged_batch.LANDMARKS_OF + name: clips[1] for name in ("negative", "forged")}
  made = forged(jax.random.key(1), batch, SelfBlending(ratios=(0.0,)))
  np.testing.assert_array_equal(made["anchor"], made["forged"])
  np.testing.assert_array_equal(made["positive"], made["negative"])


def test_without_temporal_terms_frames_may_change_places(clips):
  """Guards one draw per clip: forging permuted frames is permuting forged frames, temporal terms aside."""
  order = np.array([3, 0, 5, 1, 4, 2])
  permuted = clips[0][:, order], clips[1][:, order]
  for a, b in zip(forge(clips, STILL), forge(permuted, STILL), strict=True):
    np.testing.assert_allclose(a[:, order], b, atol=0.05)


def test_each_temporal_term_has_its_switch(clips):
  """Guards the switches: each alone makes mask, place or blend of a clip vary in time, and none without it."""
  rng = np.random.default_rng(4)
  draws = self_blending.Draws(*(rng.uniform(size=x.shape).astype(np.float32) for x in
                                jax.eval_shape(lambda: self_blending.draw(jax.random.key(0), 6))))  # fmt: skip
  still = jnp.asarray(np.repeat(clips[1][0, :1], 6, axis=0))  # a face that does not move

  def varies(**on):
    options = dataclasses.replace(STILL, **on)

    @functools.partial(jax.jit, compiler_options=QUICK)
    def parts(draws, points):
      blend = [a.reshape(6, -1) for a in self_blending.blend_of_frames(draws, options)]
      region, places = (
        f(draws, (16, 16), points, options) for f in (self_blending.face_region, self_blending.face_places)
      )
      return region, places, jnp.concatenate(blend, axis=1)

    return [bool(np.ptp(np.asarray(part), axis=0).max() > 1e-5) for part in parts(draws, still)]

  assert varies() == [False, False, False]
  assert varies(drift=1.0) == [True, True, False]
  assert varies(fitting_error=1.0) == [False, True, False]
  assert varies(flicker=1.0) == [False, False, True]


def test_drift_is_slow_and_its_regions_are_their_own():
  """Guards the drift: second differences within (2π/10)², amplitude within 1, nodes that do not move together."""
  draws = np.random.default_rng(3).uniform(size=(2, 2, 5, 5, 2)).astype(np.float32)
  wave = np.asarray(warping.wave(*jnp.asarray(draws), 60))
  assert np.abs(wave).max() <= 1 and np.abs(np.diff(wave, 2, axis=0)).max() <= (2 * np.pi / 10) ** 2
  together = np.corrcoef(wave.reshape(60, -1).T)[np.triu_indices(50, 1)]
  assert np.abs(together).mean() < 0.5 and np.median(wave.std(axis=0)) > 0.3


def test_a_look_up_is_bilinear():
  """Guards the warp against swapped axes and half pixels, with an explicit loop; whole places are exact."""
  rng = np.random.default_rng(1)
  clip = rng.uniform(0, 255, (2, 5, 7, 3)).astype(np.float32)
  places = rng.uniform(-1, 8, (2, 5, 7, 2)).astype(np.float32)
  places[0, 0, 0] = [3, 2]
  found = np.asarray(jax.jit(warping.sample)(clip, places))
  for t, i, j in np.ndindex(2, 5, 7):
    x, y = np.clip(places[t, i, j].astype(np.float64), 0, [6, 4])
    a, b = int(min(x, 5)), int(min(y, 3))
    u, v = x - a, y - b
    wanted = (1 - v) * ((1 - u) * clip[t, b, a] + u * clip[t, b, a + 1])
    wanted = wanted + v * ((1 - u) * clip[t, b + 1, a] + u * clip[t, b + 1, a + 1])
    np.testing.assert_allclose(found[t, i, j], wanted, rtol=1e-4, atol=2e-3)
  np.testing.assert_array_equal(found[0, 0, 0], clip[0, 2, 3])


def test_a_swap_puts_the_others_landmarks_onto_ones_own():
  """Guards the fit of two faces: a turned, scaled, moved copy of the landmarks is found back exactly."""
  rng = np.random.default_rng(2)
  own = rng.uniform(0.2, 0.8, (3, 5, 2)).astype(np.float32)
  turn = 0.7 * np.array([[np.cos(0.4), -np.sin(0.4)], [np.sin(0.4), np.cos(0.4)]], np.float32)
  other = (own @ turn.T + np.float32(0.1)).astype(np.float32)
  found = jax.jit(self_blending.fitted, compiler_options=QUICK)(
    jnp.asarray(own[:, None]), jnp.asarray(own), jnp.asarray(other)
  )
  np.testing.assert_allclose(found[:, 0], other, atol=1e-5)


def test_a_swap_takes_the_face_of_the_next_row(clips):
  """Guards swaps: the other clip's face, in this one's colours, and nothing outside the mask."""
  always = SelfBlending(swap=1.0, ratios=(1.0,), flicker=0.0, post_processing=0.0)
  real, forged, mask = forge(clips, always)
  own = forge(clips, dataclasses.replace(always, swap=0.0))[1]
  assert np.abs(forged - own).mean() > 2 and ((forged == real) | (mask[..., None] > 0)).all()
  weight = mask[0][..., None] / mask[0].sum()
  face = np.asarray(self_blending.match_colors(jnp.asarray(own[1]), jnp.asarray(real[0]), jnp.asarray(mask[0])))
  np.testing.assert_allclose((weight * face).sum((0, 1, 2)), (weight * real[0]).sum((0, 1, 2)), atol=2)


def test_landmarks_may_lie_anywhere(clips):
  """Guards faces larger than their crop and faces outside of it: finite clips, untouched where there is no face."""
  huge, gone, flat = (clips[1] - 0.5) * 4 + 0.5, clips[1] + 3, clips[1] * 0
  for points, covers in ((huge, True), (gone, False), (flat, False)):
    real, forged, mask = forge((clips[0], points.astype(np.float32)), FULL)
    assert np.isfinite(forged).all() and ((mask > 0).any() == covers)
    if not covers:
      np.testing.assert_array_equal(forged, real)


@pytest.mark.slow
def test_batches_look_like_those_of_given_forgeries(clips):
  """Guards the methods' ignorance: names, shapes and dtypes of what the loader gives, with and without snippets.

  Rows that are not to be forged keep their given clip, under the same changes as the real ones.
  """
  clip, points = (jnp.asarray(a) for a in clips)
  forge_flag = jnp.array([True, False])
  of = forged_batch.LANDMARKS_OF
  snippets = {"clip": clip.reshape(2, 2, 3, SIZE, SIZE, 3), of + "clip": points.reshape(2, 2, 3, 5, 2)}
  key = jax.random.key(0)
  whole = forged(key, {"clip": clip, of + "clip": points}, FULL)
  cut = forged(key, snippets, FULL)
  assert cut["clip"].shape == (4, 2, 3, SIZE, SIZE, 3)
  np.testing.assert_array_equal(cut["clip"].reshape(whole["clip"].shape), whole["clip"])

  plain = SelfBlending(photometric=0.0, post_processing=0.0)
  given = clip[::-1]
  both = forged(key, {"clip": clip, of + "clip": points, "given": given, "forge": forge_flag}, plain)["clip"]
  np.testing.assert_array_equal(both[0::2], clip)
  np.testing.assert_array_equal(both[3], given[1])
  assert (both[1] != clip[0]).any() and (both[1] != given[0]).any()

  triplet = {"anchor": clip, "positive": clip[:, ::-1], "negative": given, "forged": clip, "forge": forge_flag}
  made = forged(key, triplet | {of + "negative": points, of + "forged": points}, plain)
  assert set(made) == {"anchor", "positive", "negative", "forged"}
  np.testing.assert_array_equal(made["anchor"], clip)
  np.testing.assert_array_equal(made["positive"], clip[:, ::-1])
  np.testing.assert_array_equal(made["forged"][1], clip[1])
  assert (made["forged"][0] != clip[0]).any() and (made["negative"][0] != given[0]).any()


def test_boundaries_are_those_of_each_clips_own_mask(clips):
  """Guards the map that a second head learns: 4m(1 - m) of the very blend of that row, nothing in real clips, and for a
  clip that somebody else forged a mark that it is not known."""
  clip, points = (jnp.asarray(a) for a in clips)
  plain, key = SelfBlending(photometric=0.0, post_processing=0.0), jax.random.key(3)
  batch = {
    "clip": clip,
    "given": clip[::-1],
    forged_batch.LANDMARKS_OF + "clip": points,
    "forge": jnp.array([True, False]),
  }
  batch = {n: a if a.ndim == 1 else a.reshape(2, 2, 3, *a.shape[2:]) for n, a in batch.items()}  # two snippets
  made = jax.jit(lambda k, b: forged_batch.forged_batch(k, b, plain, True), compiler_options=QUICK)(key, batch)
  found = np.asarray(made["boundary"]).reshape(4, 6, SIZE, SIZE)
  assert made["boundary"].shape == made["clip"].shape[:-1] and not found[[0, 2]].any()
  assert (found[3] == forged_batch.UNKNOWN).all()
  mask = compiled(plain)(jax.random.split(jax.random.split(key)[0], 2), clip, points).mask
  mask = np.asarray(mask, np.float64)[0]
  np.testing.assert_allclose(found[1], 4 * mask * (1 - mask), atol=1e-5)
  assert 0.02 < (found[1] > 0.1).mean() < 0.9
