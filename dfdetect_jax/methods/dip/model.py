"""DIP: diffusion learning of inconsistency patterns (Nie et al., IEEE Transactions on Multimedia 2025).

STE encodes the clip, directional pooling splits it into a horizontal and a vertical sequence, IDM measures how
inconsistency diffuses among their tokens, DiCA lets the two directions read each other with those distances as bias,
and MDC classifies each direction and both together (Fig. 2).
"""

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Float32, Real

from dfdetect_jax.layers.transformer import LayerNorm
from dfdetect_jax.methods.dip import decoder, diffusion, encoder

# The paper does not state its size; ViT-B/16 is our decision. Parameter counts are pinned in a test.
SIZES = {
  "ti": dict(patch=16, width=192, heads=3, mlp=768),
  "s": dict(patch=16, width=384, heads=6, mlp=1536),
  "b": dict(patch=16, width=768, heads=12, mlp=3072),
  "small": dict(patch=16, width=64, heads=4, mlp=128),
  "small_fine": dict(patch=8, width=64, heads=4, mlp=128),
  "test": dict(patch=16, width=32, heads=2, mlp=64),
  "test_fine": dict(patch=8, width=32, heads=2, mlp=64),
}


class DIP(nn.Module):
  """The whole detector.

  Attributes:
    patch, width, heads, mlp: of the ViT blocks (see `SIZES`); DiCA uses the same heads and MLP.
    units, spatial, temporal: STE's units and its SA:TA ratio (Tables IV, V).
    pooling: directional pooling, `mean` (default) or `max` (§III-B allows both).
    layers: DiCA layers (§III-C2: six).
    dica: cross-attention between the directions; False: self-attention in each (Table VII).
    idm: diffusion distances as attention bias and for the DA loss (Table VII).
    k_n: neighbourhood size in Eq. 2 (Table VI).
    t: diffusion steps in Eq. 4 (Table VI).
    density: ŵ of Eq. 4, `stationary` or `local` (see `diffusion.diffusion_distance`).
    feature_scale: of ‖f_i − f_j‖² in Eq. 2, `none`, `width` or `unit` (see `diffusion.scaled`).
    diffusion_path: `spectral` or `power`, the same numbers by other means; `auto` by platform.
    scan, remat, dtype: how it runs, not what it computes.
  """

  patch: int = 16
  width: int = 768
  heads: int = 12
  mlp: int = 3072
  units: int = 3
  spatial: int = 3
  temporal: int = 1
  pooling: str = "mean"
  layers: int = 6
  dica: bool = True
  idm: bool = True
  k_n: int = 7
  t: int = 20
  density: str = "stationary"
  feature_scale: str = "none"
  diffusion_path: str = "spectral"
  scan: bool = False
  remat: str = ""
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(self, clips: Real[Array, "B T M M 3"], train: bool = False) -> dict[str, Float32[Array, " B *_"]]:
    """Scores clips `[B, T, M, M, 3]`, uint8 or float on the 0-255 scale.

    Returns:
      `logit`, `logit_h`, `logit_v` `[B]` float32: the video-based and the two directional predictions.
      `features` `[B, 2E]` float32: F_pool of Eq. 9, mean Z_h and mean Z_v of the decoder's outputs, concatenated.
      `attention_h`, `attention_v` `[B, heads, 1 + L, 1 + L]` float32: last DiCA layer's weights by query (Fig. 8).
      With IDM also `diffusion` `[B, 2L, 2L]` float32: D^t; and, for the DA loss, over the two directions d = h, v,
      `cosine` `[B, 2, L, L]`: ½(1 + cos(Z_d, Z_d)) and `diffusion_similarity` `[B, 2, L, L]`: exp(-τ₂ D_dd).
    """
    z = encoder.SpatioTemporalEncoder(
      self.patch, self.width, self.heads, self.mlp, self.units, self.spatial, self.temporal, self.scan,
      self.remat, self.dtype, name="ste",
    )(clips, train)  # fmt: skip
    z_h, z_v = encoder.directional_pooling(z, self.pooling)
    length = z_h.shape[-2] - 1
    outputs = {}

    bias_h = bias_v = jnp.zeros((clips.shape[0], length + 1, length + 1), jnp.float32)
    if self.idm:
      nodes = jnp.concatenate([z_h[:, 1:], z_v[:, 1:]], axis=1).astype(jnp.float32)
      # Their magnitudes count: below zero, where nothing keeps them from drifting, the exponentials overflow.
      mu = jnp.abs(self.param("mu", nn.initializers.constant(0.05), ()))
      tau_1 = jnp.abs(self.param("tau_1", nn.initializers.ones_init(), ()))
      tau_2 = jnp.abs(self.param("tau_2", nn.initializers.ones_init(), ()))
      w = diffusion.score_matrix(diffusion.scaled(nodes, self.feature_scale), mu, self.k_n)
      d = diffusion.diffusion_distance(w, self.t, self.diffusion_path, self.density)
      (d_hh, d_hv), (d_vh, d_vv) = (jnp.split(half, 2, axis=2) for half in jnp.split(d, 2, axis=1))
      bias_h = decoder.attention_bias(d_hv if self.dica else d_hh, tau_1)
      bias_v = decoder.attention_bias(d_vh if self.dica else d_vv, tau_1)
      outputs["diffusion"] = d
      outputs["diffusion_similarity"] = jnp.exp(-tau_2 * jnp.stack([d_hh, d_vv], axis=1))
      outputs["cosine"] = jnp.stack(
        [cosine_similarity(nodes[:, :length]), cosine_similarity(nodes[:, length:])], axis=1
      )

    for i in range(self.layers):
      z_h, z_v, outputs["attention_h"], outputs["attention_v"] = decoder.DirectionalBlock(
        self.heads, self.mlp, self.dica, self.dtype, name=f"dica{i}"
      )(z_h, z_v, bias_h, bias_v, train)
    z_h = LayerNorm(name="norm_h")(z_h).astype(jnp.float32)
    z_v = LayerNorm(name="norm_v")(z_v).astype(jnp.float32)

    cls_h, cls_v = z_h[:, 0], z_v[:, 0]
    for name, cls in (("logit_h", cls_h), ("logit_v", cls_v), ("logit", jnp.concatenate([cls_h, cls_v], axis=-1))):
      outputs[name] = nn.Dense(1, name=name)(cls)[:, 0]
    outputs["features"] = jnp.concatenate([jnp.mean(z_h[:, 1:], axis=1), jnp.mean(z_v[:, 1:], axis=1)], axis=-1)
    return outputs


def cosine_similarity(tokens: Float[Array, "B L E"]) -> Float[Array, "B L L"]:
  """½(1 + cos) between all pairs of tokens: `[B, L, E]` to `[B, L, L]` in [0, 1] (norm(·) of Eq. 10)."""
  norm = jnp.sqrt(jnp.sum(tokens**2, axis=-1, keepdims=True) + 1e-12)
  unit = tokens / norm
  return 0.5 * (1 + jnp.einsum("bie,bje->bij", unit, unit, precision=diffusion.HIGHEST))
