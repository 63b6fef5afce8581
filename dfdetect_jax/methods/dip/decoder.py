"""Directional Cross Attention (DiCA): the two directions read each other, biased by diffusion (DIP §III-C2)."""

import functools

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Float32

from dfdetect_jax.layers.matmul import dot_general
from dfdetect_jax.layers.transformer import LayerNorm, Mlp, attend, attention_weights


class DirectionalAttention(nn.Module):
  """softmax(q kᵀ / √d + bias) v with the query from one sequence, key and value from the other (Eq. 6-7).

  The paper prints √E; we divide by √d of a head (our decision), as multi-head attention does.
  """

  heads: int
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(
    self, query: Float[Array, "B N E"], other: Float[Array, "B M E"], bias: Float32[Array, "B N M"]
  ) -> tuple[Float[Array, "B N E"], Float32[Array, "B {self.heads} N M"]]:
    """Attends from `query` `[B, N, E]` to `other` `[B, M, E]` with `bias` `[B, N, M]`, the same for all heads.

    Returns:
      `[B, N, E]`, and the attention weights `[B, heads, N, M]` in float32.
    """
    width = query.shape[-1]
    dense = functools.partial(
      nn.DenseGeneral, kernel_init=nn.initializers.xavier_uniform(), dtype=self.dtype, dot_general=dot_general
    )
    q, k, v = (
      dense((self.heads, width // self.heads), name=name)(x)
      for name, x in (("query", query), ("key", other), ("value", other))
    )
    weights = attention_weights(q, k, bias[:, None])
    out = dense(width, axis=(-2, -1), name="out")(attend(weights, v))
    return out, weights


class DirectionalBlock(nn.Module):
  """One DiCA layer: both directions are updated from the layer's inputs, each with weights of its own.

  The residual and the MLP follow the query's sequence. The paper calls the term with Z_v queries Z'_h, which does not
  fit its own indices: the output has one row per query (our decision).

  Attributes:
    heads, mlp, dtype: as in a ViT block.
    cross: key and value come from the other direction; False: from the same one (Table VII without DiCA).
  """

  heads: int
  mlp: int
  cross: bool = True
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(
    self,
    z_h: Float[Array, "B N E"],
    z_v: Float[Array, "B N E"],
    bias_h: Float32[Array, "B N N"],
    bias_v: Float32[Array, "B N N"],
    train: bool = False,
  ) -> tuple[
    Float[Array, "B N E"], Float[Array, "B N E"], Float32[Array, "B heads N N"], Float32[Array, "B heads N N"]
  ]:
    """Updates Z_h and Z_v, each `[B, 1 + L, E]`, with a bias per query direction, each `[B, 1 + L, 1 + L]`.

    Returns:
      Z_h, Z_v, and the attention weights of both query directions, each `[B, heads, 1 + L, 1 + L]`.
    """
    normed = {d: LayerNorm(name=f"norm1_{d}")(z) for d, z in (("h", z_h), ("v", z_v))}
    outputs, weights = {}, {}
    for d, other, z, bias in (("h", "v", z_h, bias_h), ("v", "h", z_v, bias_v)):
      source = normed[other] if self.cross else normed[d]
      y, weights[d] = DirectionalAttention(self.heads, self.dtype, name=f"attention_{d}")(normed[d], source, bias)
      z = z + y
      y = LayerNorm(name=f"norm2_{d}")(z)
      outputs[d] = z + Mlp(self.mlp, dtype=self.dtype, name=f"mlp_{d}")(y, train)
    return outputs["h"], outputs["v"], weights["h"], weights["v"]


def attention_bias(distance: Float32[Array, "B L L"], tau: Float32[Array, ""]) -> Float32[Array, "B L+1 L+1"]:
  """exp(-τ₁ D) between patch tokens, zero wherever a CLS token takes part (Eq. 6-7).

  Args:
    distance: diffusion distances of one query direction to its keys `[B, L, L]`, float32.
    tau: scalar τ₁.

  Returns:
    float32 `[B, 1 + L, 1 + L]`.
  """
  return jnp.pad(jnp.exp(-tau * distance), ((0, 0), (1, 0), (1, 0)))
