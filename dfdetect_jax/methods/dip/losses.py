"""DIP's three losses (§III-E): collaborative cross-entropy, spatiotemporal invariance, diffusion awareness."""

from collections.abc import Mapping

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from dfdetect_jax.methods.method import binary_cross_entropy


def collaborative_cross_entropy(
  outputs: Mapping[str, Float[Array, " B *_"]], label: Int[Array, " B"], lambda_h: float, lambda_v: float
) -> Float[Array, ""]:
  """L_cce = l(y, ŷ) + λ_h l(y_h, ŷ) + λ_v l(y_v, ŷ) (Eq. 11).

  Args:
    outputs: `logit`, `logit_h`, `logit_v`, each `[B]`.
    label: `[B]`, 1 = fake.
    lambda_h, lambda_v: weights of the directional predictions.
  """
  return (
    binary_cross_entropy(outputs["logit"], label)
    + lambda_h * binary_cross_entropy(outputs["logit_h"], label)
    + lambda_v * binary_cross_entropy(outputs["logit_v"], label)
  )


def cosine(a: Float[Array, "B E"], b: Float[Array, "B E"]) -> Float[Array, " B"]:
  """Cosine of the angle between rows: `[B, E]` and `[B, E]` to `[B]`."""
  norm = jnp.sqrt(jnp.sum(a**2, axis=-1) * jnp.sum(b**2, axis=-1) + 1e-12)
  return jnp.sum(a * b, axis=-1) / norm


def spatiotemporal_invariant_loss(
  anchor: Float[Array, "B E"], positive: Float[Array, "B E"], negative: Float[Array, "B E"], margin: float = 1.0
) -> Float[Array, ""]:
  """L_sti = max(d_sti + cos(anchor, negative) - cos(anchor, positive), 0), mean over the batch (Eq. 9).

  Args:
    anchor, positive, negative: F_pool of each `[B, 2E]`.
    margin: d_sti, the degree of separability (paper: 1).
  """
  return jnp.mean(jnp.maximum(margin + cosine(anchor, negative) - cosine(anchor, positive), 0.0))


def diffusion_aware_loss(
  cosine_similarity: Float[Array, "B 2 L L"], diffusion_similarity: Float[Array, "B 2 L L"]
) -> Float[Array, ""]:
  """L_da = Σ_d mean (½(1 + cos(Z_d, Z_d)) - exp(-τ₂ D_dd))² over batch and entries (Eq. 10).

  The paper prints a squared norm; the mean over entries (our decision) keeps its weight independent of L.

  Args:
    cosine_similarity, diffusion_similarity: `[B, 2, L, L]`, axis 1 is the direction.
  """
  return jnp.sum(jnp.mean((cosine_similarity - diffusion_similarity) ** 2, axis=(0, 2, 3)))
