"""Supervised contrastive loss over the branches' features (SDR, Eq. 5)."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Float32, Int


def contrastive_loss(
  features: Float[Array, "B N E"], label: Int[Array, " B"], temperature: float = 0.1
) -> Float32[Array, ""]:
  """L_con = mean_a −1/|P(a)| Σ_{p∈P(a)} log( exp(f_a·f_p/τ) / Σ_{n≠a} exp(f_a·f_n/τ) ), f L2-normalised.

  Anchors a are all views of all clips; P(a) are the others of a's class, across branches and batch. An anchor without
  any is left out of the mean. The equation is lost in the paper's text; this is the form of Khosla et al. (NeurIPS
  2020), L_out (decision).

  Args:
    features: time-averaged features of the branches, `[B, N, E]`.
    label: `[B]`, 1 = fake.
    temperature: τ (lost in the text; decision).

  Returns:
    Float32 scalar.
  """
  batch, branches, width = features.shape
  f = features.astype(jnp.float32).reshape(batch * branches, width)
  f = f * jax.lax.rsqrt(jnp.maximum(jnp.sum(f**2, axis=1, keepdims=True), 1e-12))
  label = jnp.repeat(label, branches)

  similarity = (f @ f.T) / temperature
  itself = jnp.eye(batch * branches, dtype=bool)
  positive = (label[:, None] == label[None, :]) & ~itself
  # log Σ over all but the anchor itself; −inf would give NaN where there is a single view in all.
  others = jnp.where(itself, jnp.finfo(jnp.float32).min, similarity)
  log_share = similarity - jax.nn.logsumexp(others, axis=1, keepdims=True)
  count = jnp.sum(positive, axis=1, dtype=jnp.float32)
  per_anchor = -jnp.sum(jnp.where(positive, log_share, 0.0), axis=1) / jnp.maximum(count, 1.0)
  return jnp.sum(per_anchor) / jnp.maximum(jnp.sum(count > 0, dtype=jnp.float32), 1.0)
