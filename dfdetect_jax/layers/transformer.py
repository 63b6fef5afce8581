"""Pre-LN transformer blocks with the attention, MLP and residuals of ViT (Dosovitskiy et al., ICLR 2021)."""

import functools
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Float32

from dfdetect_jax.layers.matmul import dot_general


def attention_weights(
  q: Float[Array, "*batch N heads d"],
  k: Float[Array, "*batch M heads d"],
  bias: Float[Array, "*#batch #heads #N #M"] | None = None,
) -> Float32[Array, "*batch heads N M"]:
  """softmax(q kᵀ / √d + bias), logits and softmax in float32.

  Args:
    q: queries `[..., N, heads, d]`.
    k: keys `[..., M, heads, d]`.
    bias: optional, added to the logits, broadcast against `[..., heads, N, M]`; same rank, float32.

  Returns:
    float32 `[..., heads, N, M]`, each row of sum 1.
  """
  logits = jnp.einsum("...nhd,...mhd->...hnm", q, k, preferred_element_type=jnp.float32)
  logits = logits.astype(jnp.float32) * (q.shape[-1] ** -0.5)
  if bias is not None:
    logits = logits + bias
  return jax.nn.softmax(logits, axis=-1)


def attend(
  weights: Float32[Array, "*batch heads N M"], v: Float[Array, "*batch M heads d"]
) -> Float[Array, "*batch N heads d"]:
  """The values `[..., M, heads, d]` weighted, `[..., N, heads, d]` in their dtype."""
  return jnp.einsum("...hnm,...mhd->...nhd", weights.astype(v.dtype), v)


def dot_product_attention(
  q: Float[Array, "*batch N heads d"], k: Float[Array, "*batch M heads d"], v: Float[Array, "*batch M heads d"]
) -> Float[Array, "*batch N heads d"]:
  """softmax(q kᵀ / √d) v of queries `[..., N, heads, d]`, keys and values `[..., M, heads, d]`; in the dtype of `v`."""
  return attend(attention_weights(q, k), v)


class LayerNorm(nn.LayerNorm):
  """LayerNorm over the last axis with ViT's ε, computed in float32; the output has the input's dtype.

  (Linen's own `dtype` field mixes bfloat16 with float32, which strict dtype promotion refuses.)
  """

  epsilon: float = 1e-6

  @nn.compact
  def __call__(self, x: Float[Array, "*batch E"]) -> Float[Array, "*batch E"]:  # type: ignore[override]  # Linen's mask is not wanted here
    """Normalises `[..., E]`."""
    return super().__call__(x.astype(jnp.float32)).astype(x.dtype)


class SelfAttention(nn.Module):
  """Multi-head self-attention over axis -2.

  Attributes:
    heads: number of heads; each has width E / heads.
    qkv_bias: whether the query, key and value projections have a bias (ViT: yes, FTCN's transformer: no).
    dropout: rate on the output.
    out_init: initialiser of the output projection's kernel, `[E, E]`.
    dtype: compute dtype; parameters stay float32.
  """

  heads: int
  qkv_bias: bool = True
  dropout: float = 0.0
  out_init: Callable = nn.initializers.xavier_uniform()
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(self, x: Float[Array, "*batch N E"], train: bool = False) -> Float[Array, "*batch N E"]:
    """Maps `[..., N, E]` to the same shape."""
    width = x.shape[-1]
    qkv = nn.DenseGeneral(
      (3, self.heads, width // self.heads),
      use_bias=self.qkv_bias,
      kernel_init=nn.initializers.xavier_uniform(),
      dtype=self.dtype,
      dot_general=dot_general,
      name="qkv",
    )(x)
    q, k, v = jnp.moveaxis(qkv, -3, 0)
    out = dot_product_attention(q, k, v)
    out = nn.DenseGeneral(
      width, axis=(-2, -1), kernel_init=self.out_init, dtype=self.dtype, dot_general=dot_general, name="out"
    )(out)
    return nn.Dropout(self.dropout, deterministic=not train)(out)


def gelu(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
  """x·Φ(x), by the error function."""
  return nn.gelu(x, approximate=False)


def quick_gelu(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
  """CLIP's x·σ(1.702 x)."""
  return x * nn.sigmoid(1.702 * x)


class Mlp(nn.Module):
  """Linear → activation, exact GELU or CLIP's → Linear, with dropout after each; `[..., E]` to the same shape."""

  hidden: int
  dropout: float = 0.0
  dtype: DTypeLike = jnp.float32
  activation: str = "gelu"

  @nn.compact
  def __call__(self, x: Float[Array, "*batch E"], train: bool = False) -> Float[Array, "*batch E"]:
    dense = functools.partial(
      nn.Dense, kernel_init=nn.initializers.xavier_uniform(), dtype=self.dtype, dot_general=dot_general
    )
    # Its gradient is made of x again: what autodiff would keep is three times as large, and slower to read back.
    activation = jax.checkpoint(quick_gelu if self.activation == "quick_gelu" else gelu)
    width = x.shape[-1]
    x = activation(dense(self.hidden, name="fc1")(x))
    x = nn.Dropout(self.dropout, deterministic=not train)(x)
    x = dense(width, name="fc2")(x)
    return nn.Dropout(self.dropout, deterministic=not train)(x)


class Block(nn.Module):
  """x + Attention(LN(x)), then x + MLP(LN(x)).

  Attributes:
    heads, qkv_bias, dropout, out_init, dtype: see `SelfAttention`.
    mlp: hidden width of the MLP.
    epsilon: of the LayerNorms (ViT: 1e-6, PyTorch's default: 1e-5).
    activation: of the MLP, `gelu` or CLIP's `quick_gelu`.
  """

  heads: int
  mlp: int
  qkv_bias: bool = True
  dropout: float = 0.0
  epsilon: float = 1e-6
  out_init: Callable = nn.initializers.xavier_uniform()
  dtype: DTypeLike = jnp.float32
  activation: str = "gelu"

  @nn.compact
  def __call__(self, x: Float[Array, "*batch N E"], train: bool = False) -> Float[Array, "*batch N E"]:
    """Maps `[..., N, E]` to the same shape."""
    y = LayerNorm(epsilon=self.epsilon, name="norm1")(x)
    y = SelfAttention(self.heads, self.qkv_bias, self.dropout, self.out_init, self.dtype, name="attention")(y, train)
    x = x + y
    y = LayerNorm(epsilon=self.epsilon, name="norm2")(x)
    return x + Mlp(self.mlp, self.dropout, self.dtype, self.activation, name="mlp")(y, train)
