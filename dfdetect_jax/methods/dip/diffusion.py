"""Inconsistency Diffusion Module (IDM): diffusion distances on the graph of directional tokens (DIP §III-C1).

The 2L nodes are the L horizontal tokens followed by the L vertical ones. All of it runs in float32.

Which path: on a CPU `power` takes 0.1 of `spectral`'s time for the value and 0.4 with the gradient (two cores, batch
32, 28 nodes: 0.15 against 1.45 ms, 0.64 against 1.69 ms). Either is nothing beside the encoder. `auto`, the default,
takes it there and on TPUs, which loop over a batch of eigendecompositions, and elsewhere the paper's `spectral`; on
GPUs neither has been timed yet (`benchmarks.against_torch ops` does). Both are within 6e-6 of Eq. 4 in float64, in
value and in gradient.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

HIGHEST = jax.lax.Precision.HIGHEST
PATHS = ("spectral", "power")
DENSITIES = ("stationary", "local")
FEATURE_SCALES = ("none", "width", "unit")


def neighbours(length: int, k_n: int) -> Bool[np.ndarray, "2*{length} 2*{length}"]:
  """Which nodes are joined: |i - j| ≤ ⌊k_n/2⌋ within a direction and across the two.

  Args:
    length: L, tokens per direction.
    k_n: neighbourhood size, the node itself included (odd).

  Returns:
    bool `[2L, 2L]`.

  >>> neighbours(3, 3)[0].astype(int).tolist()  # the first row: itself and the second, and likewise the columns
  [1, 1, 0, 1, 1, 0]
  """
  position = np.arange(length)
  band = np.abs(position[:, None] - position[None, :]) <= k_n // 2
  return np.tile(band, (2, 2))


def scaled(features: Float[Array, "*batch E"], feature_scale: str) -> Float[Array, "*batch E"]:
  """Features by whose distances Eq. 2 scores, `[..., E]` to the same.

  LayerNorm makes ‖f‖² about E. At ViT widths μ‖f_i − f_j‖² with μ = 0.05 then leaves a node no neighbours as soon as
  tokens differ (decision: as printed).

  Args:
    feature_scale: `none`; `width`, which divides squared distances by E; `unit`, which makes ‖f‖ = 1.

  >>> [round(x, 4) for x in scaled(jnp.array([3.0, 4.0]), "unit").tolist()]
  [0.6, 0.8]
  """
  if feature_scale == "width":
    return features * features.shape[-1] ** -0.5
  if feature_scale == "unit":
    return features * jax.lax.rsqrt(jnp.sum(features**2, axis=-1, keepdims=True) + 1e-12)
  return features


def score_matrix(features: Float[Array, "B N E"], mu: Float[Array, ""] | float, k_n: int) -> Float[Array, "B N N"]:
  """W_ij = exp(-μ ‖f_i - f_j‖²) between neighbours, 0 elsewhere (Eq. 1-2).

  The squared distances come from the Gram matrix: broadcast, `[B, 2L, 2L, E]` would cost more than everything else.

  Args:
    features: node features `[B, 2L, E]`, float32.
    mu: scalar μ.
    k_n: neighbourhood size.

  Returns:
    W, symmetric float32 `[B, 2L, 2L]` in [0, 1] with ones on its diagonal.

  >>> row_and_column = jnp.array([[[0.0], [1.0]]])  # squared distance 1, and exp(−ln 2) = ½
  >>> score_matrix(row_and_column, jnp.log(2.0), 1).round(2).tolist()
  [[[1.0, 0.5], [0.5, 1.0]]]
  """
  nodes = features.shape[-2]
  joined = neighbours(nodes // 2, k_n) & ~np.eye(nodes, dtype=bool)
  # Distances do not change when all nodes move together; about their mean the Gram matrix cancels least.
  features = features - jnp.mean(features, axis=-2, keepdims=True)
  gram = jnp.einsum("bie,bje->bij", features, features, precision=HIGHEST)
  norm = jnp.diagonal(gram, axis1=-2, axis2=-1)
  distance = jnp.maximum(norm[:, :, None] + norm[:, None, :] - 2 * gram, 0.0)
  weights = jnp.where(joined[None], jnp.exp(-mu * jnp.where(joined[None], distance, 0.0)), 0.0)
  return weights + jnp.eye(nodes, dtype=weights.dtype)[None]


def diffusion_distance(
  w: Float[Array, "*batch N N"], t: int, path: str = "spectral", density: str = "stationary"
) -> Float[Array, "*batch N N"]:
  """Diffusion distances after t steps of the random walk P = D⁻¹W (Eq. 3-5).

  D^t(i, j) = Σ_k (P^t(i, k) - P^t(j, k))² ŵ(k), ŵ(k) = Σd / d_k, one over the walk's stationary density. With
  S = D^{-1/2} W D^{-1/2}, which is symmetric and has P's eigenvalues, this is K_ii + K_jj - 2 K_ij for K = C S^{2t} C,
  C = diag(√(Σd / d)); in the eigenvectors v_r of S it is Σ_r λ_r^{2t} (ψ_r(i) - ψ_r(j))² with ψ_r = v_r √(Σd / d), the
  only scaling with which Eq. 5 equals Eq. 4.

  Args:
    w: W, symmetric and non-negative with positive row sums, `[..., N, N]` float32.
    t: number of steps.
    density: `stationary`, or `local`: "the reciprocal of the local density" read literally, ŵ(k) = 1 / d_k, which
      keeps D in [0, 2]; it is the other divided by Σd (decision: stationary, with which Eq. 5 is Sun and Xu's).
    path: how S^{2t} is computed: `spectral` by an eigendecomposition, `power` by repeated squaring, `auto` by the one
      for the platform at hand.

  Returns:
    D^t, `[..., N, N]` float32, symmetric, zero on the diagonal, non-negative up to rounding.

  Reference:
    DIP §III-C1, Eq. 3-5; Sun and Xu, Neural Diffusion Distance, NeurIPS 2019.

  >>> diffusion_distance(jnp.eye(2), 1, "power").round(2).tolist()  # nothing moves: (1² + 1²) · 2
  [[0.0, 4.0], [4.0, 0.0]]
  >>> diffusion_distance(jnp.ones((2, 2)), 1, "power").round(2).tolist()  # all is mixed after a step
  [[0.0, 0.0], [0.0, 0.0]]
  """
  if path == "auto":
    path = "power" if jax.default_backend() in ("cpu", "tpu") else "spectral"
  eye = jnp.eye(w.shape[-1], dtype=w.dtype)
  eye = eye.reshape((1,) * (w.ndim - 2) + eye.shape)
  off_diagonal = w * (1 - eye)
  leaving = jnp.sum(off_diagonal, axis=-1)
  degree = leaving + jnp.diagonal(w, axis1=-2, axis2=-1)
  root = jnp.sqrt(degree)
  # I - S, not S: where features are far apart it is small, so its rounding is too, which the power multiplies by 2t.
  laplacian = eye * (leaving / degree)[..., None] - off_diagonal / (root[..., :, None] * root[..., None, :])
  power = spectral_power(laplacian, 2 * t) if path == "spectral" else repeated_squaring(eye - laplacian, 2 * t)
  c = (jnp.sqrt(jnp.sum(degree, axis=-1, keepdims=True)) if density == "stationary" else 1.0) / root
  k = c[..., :, None] * power * c[..., None, :]
  diagonal = jnp.diagonal(k, axis1=-2, axis2=-1)
  return diagonal[..., :, None] + diagonal[..., None, :] - 2 * k


def repeated_squaring(s: Float[Array, "*batch N N"], n: int) -> Float[Array, "*batch N N"]:
  """S^n of `[..., N, N]` for n ≥ 1 in about log₂ n matrix products of full precision.

  >>> repeated_squaring(jnp.array([[1.0, 1.0], [0.0, 1.0]]), 5).tolist()
  [[1.0, 5.0], [0.0, 1.0]]
  """
  result: Array | None = None
  while n:
    if n % 2:
      result = s if result is None else jnp.matmul(result, s, precision=HIGHEST)
    n //= 2
    if n:
      s = jnp.matmul(s, s, precision=HIGHEST)
  assert result is not None, "n ≥ 1"
  return result


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def spectral_power(laplacian: Float[Array, "*batch N N"], n: int) -> Float[Array, "*batch N N"]:
  """S^n = V Λ^n Vᵀ of symmetric S = I - `laplacian` `[..., N, N]`, differentiable also where eigenvalues coincide.

  The derivative of `eigh` divides by differences of eigenvalues and is infinite where they meet, though S^n is a
  polynomial in S. Its own derivative (Daleckii-Krein) is V (Φ ∘ (Vᵀ dS V)) Vᵀ with the divided differences
  Φ_ij = (λ_i^n - λ_j^n) / (λ_i - λ_j), which tend to n λ^{n-1}.
  """
  values, v = jnp.linalg.eigh(laplacian)
  return jnp.einsum("...ir,...r,...jr->...ij", v, (1 - values) ** n, v, precision=HIGHEST)


@spectral_power.defjvp
def _spectral_power_jvp(n, primals, tangents):
  (laplacian,), (tangent,) = primals, tangents
  values, v = jnp.linalg.eigh(laplacian)
  power = jnp.einsum("...ir,...r,...jr->...ij", v, (1 - values) ** n, v, precision=HIGHEST)
  inner = jnp.einsum("...ir,...ij,...js->...rs", v, tangent, v, precision=HIGHEST)
  outer = jnp.einsum("...ir,...rs,...js->...ij", v, divided_differences(1 - values, n) * inner, v, precision=HIGHEST)
  return power, -outer


def divided_differences(x: Float[Array, "*batch N"], n: int) -> Float[Array, "*batch N N"]:
  """Φ_ij = (x_i^n - x_j^n) / (x_i - x_j) without dividing: the sum Σ_k x_i^k x_j^{n-1-k}.

  Built by Φ^{2m} = Φ^m (x_i^m + x_j^m) and Φ^{m+1} = x_i Φ^m + x_j^m, so it is exact where x_i and x_j meet.

  Args:
    x: `[..., N]`.
    n: power, at least 1.

  Returns:
    `[..., N, N]`.

  >>> divided_differences(jnp.array([2.0, 3.0]), 2).tolist()  # x_i + x_j
  [[4.0, 5.0], [5.0, 6.0]]
  """
  a, b = x[..., :, None], x[..., None, :]
  a_m, b_m, phi = a, b, jnp.ones_like(a * b)
  for bit in bin(n)[3:]:
    phi, a_m, b_m = phi * (a_m + b_m), a_m * a_m, b_m * b_m
    if bit == "1":
      phi, a_m, b_m = a * phi + b_m, a * a_m, b * b_m
  return phi
