"""DIP's diffusion distances (Eq. 1-5) against float64 NumPy formulations written from the paper's sums."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dfdetect_jax.methods.dip import diffusion

L, K_N, T, MU = 8, 3, 20, 0.05


def brute_force(w, t):
  """Eq. 3-4 as printed, for one graph in float64; ŵ(k) = Σd / d_k."""
  degree = w.sum(axis=1)
  p = np.eye(len(w))
  for _ in range(t):
    p = p @ (w / degree[:, None])
  return (((p[:, None, :] - p[None, :, :]) ** 2) * (degree.sum() / degree)).sum(axis=-1)


def spectral_sum(w, t):
  """Eq. 5 written out: Σ_r λ_r^{2t} (ψ_r(i) - ψ_r(j))², ψ_r P's right eigenvectors with Σ_i π_i ψ_r(i)² = 1."""
  degree = w.sum(axis=1)
  eigenvalues, v = np.linalg.eigh(w / np.sqrt(np.outer(degree, degree)))
  psi = v / np.sqrt(degree / degree.sum())[:, None]
  distance = np.zeros_like(w)
  for r, eigenvalue in enumerate(eigenvalues):
    distance += eigenvalue ** (2 * t) * (psi[:, None, r] - psi[None, :, r]) ** 2
  return distance


def scores(features, mu, k_n):
  """Eq. 1-2 with loops: W of one graph in float64."""
  length = len(features) // 2
  w = np.zeros((2 * length, 2 * length))
  for i in range(2 * length):
    for j in range(2 * length):
      if abs(i % length - j % length) <= k_n // 2:
        w[i, j] = np.exp(-mu * np.sum((features[i] - features[j]) ** 2))
  return w


def finite_differences(f, x, step=1e-5):
  """Gradient of the scalar f at x by central differences of fourth order in float64."""
  gradient = np.zeros_like(x)
  for index in np.ndindex(x.shape):
    here = x[index]
    for weight, offset in ((8, 1), (-8, -1), (-1, 2), (1, -2)):
      x[index] = here + offset * step
      gradient[index] += weight * f(x) / (12 * step)
    x[index] = here
  return gradient


def graphs():
  """Float64 W of graphs whose S has all kinds of spectra, each `[2L, 2L]`."""
  rng = np.random.default_rng(0)
  near = rng.normal(size=(2 * L, 16))
  groups = np.repeat([0, 1, 0, 1], L // 2)[:, None] * 100.0 * np.ones((1, 16))
  return {
    "generic": scores(near, MU, K_N),
    # Features far apart: W = I, all eigenvalues are 1.
    "identity": scores(100.0 * near, MU, K_N),
    "near_identity": scores(3.0 * near, MU, K_N),
    # Two groups of equal nodes far from each other: eigenvalue 1 twice, 0 elsewhere.
    "blocks": scores(groups, MU, 2 * L),
    # All nodes alike: the band itself; half of the spectrum is exactly 0.
    "equal": scores(np.zeros((2 * L, 16)), MU, K_N),
  }


CASES = graphs()


@functools.cache
def value_and_gradients(path, t=T):
  """D^t of all cases, and the gradient of Σ G ∘ D^t for a fixed G that is not symmetric."""
  w = jnp.asarray(np.stack(list(CASES.values())), jnp.float32)
  g = jnp.asarray(cotangent(), jnp.float32)

  def total(w):
    d = diffusion.diffusion_distance(w, t, path)
    return jnp.sum(g[None] * d), d

  (_, d), gradient = jax.jit(jax.value_and_grad(total, has_aux=True))(w)
  return dict(zip(CASES, np.asarray(d))), dict(zip(CASES, np.asarray(gradient)))


def test_cases_are_worth_testing():
  """Guards the oracle itself: a graph so well mixed that D^t is nothing would pass whatever the code does."""
  for w in CASES.values():
    assert brute_force(w, T).max() > 0.1


def cotangent():
  return np.random.default_rng(1).normal(size=(2 * L, 2 * L))


def relative_error(actual, expected):
  """Largest error in terms of the largest entry, or of 1, the least that S^{2t}'s scaled entries K come to."""
  return np.abs(actual - expected).max() / max(1.0, np.abs(expected).max())


@pytest.mark.parametrize("case", CASES)
def test_equation_5_equals_equation_4(case):
  """Guards the scaling ψ_r = v_r √(Σd / d) and the weights ŵ = 1/π, without which the two equations differ."""
  np.testing.assert_allclose(spectral_sum(CASES[case], T), brute_force(CASES[case], T), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("path", diffusion.PATHS)
@pytest.mark.parametrize("case", CASES)
def test_value_equals_brute_force(path, case):
  """Guards D^t itself against a slip in normalisation, exponent or scaling, on graphs of every kind."""
  assert relative_error(value_and_gradients(path)[0][case], brute_force(CASES[case], T)) < 1e-5


@pytest.mark.parametrize("path", diffusion.PATHS)
@pytest.mark.parametrize("case", CASES)
def test_gradient_equals_finite_differences(path, case):
  """Guards the derivative where eigenvalues coincide: eigh's own is NaN there, a clamped one is finite and wrong."""
  g = cotangent()

  def f(w):
    # D^t is defined on symmetric W; an entry and its mirror image move together, half each.
    return np.sum(g * brute_force((w + w.T) / 2, T))

  expected = finite_differences(f, CASES[case].copy())
  actual = value_and_gradients(path)[1][case]
  assert np.isfinite(actual).all()
  # The zeros that the mask puts into W are no variables, but the derivative is right there too.
  assert relative_error((actual + actual.T) / 2, expected) < 1e-5


@pytest.mark.parametrize("case", CASES)
def test_both_paths_agree(case):
  """Guards the promise that the path is how D^t is computed, not what: 1e-5 in value and gradient."""
  (d_s, g_s), (d_p, g_p) = value_and_gradients("spectral"), value_and_gradients("power")
  assert relative_error(d_s[case], d_p[case]) < 1e-5
  assert relative_error(g_s[case] + g_s[case].T, g_p[case] + g_p[case].T) < 1e-5


@pytest.mark.parametrize("t", [1, 10, 25, 40])
@pytest.mark.parametrize("path", diffusion.PATHS)
def test_every_number_of_steps_of_table_6(path, t):
  """Guards the exponent 2t and both of its binary decompositions, odd and even t."""
  w = jnp.asarray(CASES["generic"], jnp.float32)
  d = diffusion.diffusion_distance(w, t, path)
  assert relative_error(np.asarray(d), brute_force(CASES["generic"], t)) < 1e-5


def test_plain_eigh_derivative_fails_here():
  """Guards the test cases: on W = I the derivative that eigh brings along must be one that is not finite."""

  def naive(s):
    eigenvalues, v = jnp.linalg.eigh(s)
    return jnp.einsum("ir,r,jr->ij", v, eigenvalues ** (2 * T), v)[0, 1]

  assert not np.isfinite(jax.grad(naive)(jnp.eye(2 * L))).all()


@pytest.mark.parametrize("n", [1, 2, 5, 20, 40, 80])
def test_divided_differences(n):
  """Guards Φ at eigenvalues that are equal, nearly equal, zero, negative: the sum without cancellation."""
  x = np.array([-0.3, 0.0, 0.0, 0.7, 0.7 + 1e-7, 1.0, 1.0], np.float32)
  a, b = x.astype(np.float64)[:, None], x.astype(np.float64)[None, :]
  expected = sum(a**k * b ** (n - 1 - k) for k in range(n))
  actual = diffusion.divided_differences(jnp.asarray(x), n)
  np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-12)


@pytest.mark.parametrize("k_n", [3, 7, 9, 15])
def test_neighbours(k_n):
  """Guards Eq. 2's neighbourhood: k_n nodes, itself included, in each direction, fewer at the ends; L = 14."""
  mask = diffusion.neighbours(14, k_n)
  assert mask.shape == (28, 28) and mask.dtype == bool
  for i in range(28):
    reach = range(i % 14 - (k_n - 1) // 2, i % 14 + (k_n - 1) // 2 + 1)
    expected = {j + side for j in reach if 0 <= j < 14 for side in (0, 14)}
    assert set(np.flatnonzero(mask[i])) == expected
  if k_n < 15:
    assert mask[7].sum() == 2 * k_n


@pytest.mark.parametrize("k_n", [3, 7])
@pytest.mark.parametrize("spread", [0.1, 1.0, 30.0])
def test_score_matrix_at_vit_width(k_n, spread):
  """Guards the Gram form of ‖f_i - f_j‖² against cancellation: E = 768, features about a common mean far from zero."""
  features = spread * np.random.default_rng(2).normal(size=(2, 28, 768)) + 5.0
  features = features.astype(np.float32)
  w = np.asarray(diffusion.score_matrix(jnp.asarray(features), jnp.float32(MU), k_n))
  expected = np.stack([scores(f.astype(np.float64), MU, k_n) for f in features])
  np.testing.assert_allclose(w, expected, rtol=2e-4, atol=1e-7)
  np.testing.assert_array_equal(w, np.swapaxes(w, 1, 2))
  np.testing.assert_array_equal(np.diagonal(w, axis1=1, axis2=2), 1.0)
  assert (w >= 0).all() and (w <= 1).all()


@pytest.mark.parametrize("path", diffusion.PATHS)
@pytest.mark.parametrize("spread", [0.1, 0.2, 10.0])
def test_gradient_in_features_and_mu_at_vit_width(path, spread):
  """Guards the whole chain features, μ → W → D^t at E = 768, from near features to ones far apart (W = I)."""
  rng = np.random.default_rng(3)
  features = spread * rng.normal(size=(1, 2 * L, 768)).astype(np.float32)
  g = cotangent()

  def total(features, mu):
    d = diffusion.diffusion_distance(diffusion.score_matrix(features, mu, K_N), T, path)
    return jnp.sum(jnp.asarray(g, jnp.float32)[None] * d)

  by_features, by_mu = jax.jit(jax.grad(total, argnums=(0, 1)))(jnp.asarray(features), jnp.float32(MU))
  by_features = np.asarray(by_features, np.float64)[0]
  assert np.isfinite(by_features).all() and (np.abs(by_features).max() > 1e-3) == (spread < 1)
  x = features[0].astype(np.float64)

  def reference(x, mu):
    return np.sum(g * brute_force(scores(x, mu, K_N), T))

  expected_mu = finite_differences(lambda m: reference(x, m[0]), np.array([MU]), 1e-6)[0]
  # Derivatives along random directions and along the gradient itself.
  directions = [*rng.normal(size=(3, *x.shape)), by_features / max(np.linalg.norm(by_features), 1e-30)]
  for v in directions:
    expected = finite_differences(lambda s, v=v: reference(x + s[0] * v, MU), np.zeros(1), 1e-4)[0]
    scale = np.linalg.norm(by_features) + 1e-6
    assert abs(np.sum(by_features * v) - expected) < 2e-4 * scale
  assert abs(by_mu - expected_mu) <= 2e-4 * abs(expected_mu) + 1e-4


@pytest.mark.parametrize("path", diffusion.PATHS)
def test_local_density_by_brute_force(path):
  """Guards `density=local`: ŵ(k) = 1 / d_k in Eq. 4, with which D stays in [0, 2]."""
  w = np.stack(list(CASES.values()))
  found = jax.jit(lambda w: diffusion.diffusion_distance(w, 3, path, "local"))(jnp.asarray(w, jnp.float32))
  for ours, one in zip(np.asarray(found), w):
    degree = one.sum(1)
    p = np.linalg.matrix_power(one / degree[:, None], 3)
    want = (((p[:, None] - p[None]) ** 2) / degree).sum(-1)
    np.testing.assert_allclose(ours, want, atol=1e-5)
    assert -1e-5 < ours.min() and ours.max() < 2 + 1e-5


@pytest.mark.parametrize(("scale", "divided_by"), [("none", 1), ("width", 16), ("unit", None)])
def test_feature_scales(scale, divided_by):
  """Guards Eq. 2's distances: as they are, over E, or between unit vectors."""
  x = np.random.default_rng(0).normal(size=(2 * L, 16))
  y = np.asarray(diffusion.scaled(jnp.asarray(x, jnp.float32), scale), np.float64)
  between = lambda a: ((a[:, None] - a[None]) ** 2).sum(-1)  # noqa: E731
  unit = x / np.linalg.norm(x, axis=1, keepdims=True)
  np.testing.assert_allclose(
    between(y), between(unit) if divided_by is None else between(x) / divided_by, rtol=1e-4, atol=1e-5
  )


@pytest.mark.parametrize(("platform", "path"), [("cpu", "power"), ("tpu", "power"), ("gpu", "spectral")])
def test_auto_takes_the_path_of_the_platform(platform, path, monkeypatch):
  """Guards `auto`: bit for bit the path that is meant for the platform."""
  w = np.random.default_rng(5).uniform(0.1, 1, (1, 6, 6)).astype(np.float32)
  w = jnp.asarray(w + w.swapaxes(1, 2))
  want = diffusion.diffusion_distance(w, 3, path)
  monkeypatch.setattr(jax, "default_backend", lambda: platform)
  np.testing.assert_array_equal(diffusion.diffusion_distance(w, 3, "auto"), want)
