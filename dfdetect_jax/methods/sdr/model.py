"""SDR: FTCN branches on perturbed views of a clip, integrated by TRFI, judged by a temporal transformer (Fig. 1)."""

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float32, Real

from dfdetect_jax.errors import UserError
from dfdetect_jax.methods.ftcn import model as ftcn
from dfdetect_jax.methods.sdr.trfi import Fusion, PredictiveHeads

# FTCN's sizes, and the hidden width of the fusion's MLP: half of the tokens' width.
SIZES = {size: {**fields, "bottleneck": 8 * fields["width"]} for size, fields in ftcn.SIZES.items()}


class SDR(nn.Module):
  """Spatial dependency reduction.

  Attributes:
    frames: T, see `ftcn.FTCN`.
    branches: N, spatial perturbation branches (Fig. 2: 1-6; 4 is best).
    shared: one set of weights (and of BatchNorm statistics) for all branches, instead of one for each.
    bottleneck: hidden width of the fusion's MLP.
    width, depths, form, remat: of the branches, see `ftcn.Trunk`.
    layers, heads, mlp, dropout: of the temporal transformer, see `ftcn.TimeTransformer`.
    dtype: compute dtype; parameters, statistics and the outputs stay float32.

  Reference: SDR, §II-B, §II-C.
  """

  frames: int
  branches: int
  width: int
  depths: tuple[int, int, int]
  bottleneck: int
  layers: int
  heads: int
  mlp: int
  shared: bool = False
  dropout: float = 0.1
  form: str = "matmul"
  remat: str = ""
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(self, clips: Real[Array, "B *N T H W 3"], train: bool = False) -> dict[str, Float32[Array, " B *_"]]:
    """Classifies clips.

    Args:
      clips: RGB on the 0-255 scale, uint8 or float: views `[B, N, T, H, W, 3]`, one for each branch, or clips
        `[B, T, H, W, 3]` that all branches get as they are (test); H and W multiples of 16.
      train: batch statistics in BatchNorm, and dropout (needs the rng `dropout`).

    Returns:
      `logit` float32 `[B]`; `features` float32 `[B, N, T/2, E]`, the branches' time tokens r_i; `fused` `[B, T/2, E]`,
      z; `joint_logit` `[B]` and `left_out_logits` `[B, N]` of p(y|r_all) and p(y|r_∖i).

    Raises:
      UserError: the clips do not fit the model.
    """
    ftcn.check_clips(clips.shape[-4:], self.frames)
    if clips.ndim == 6 and clips.shape[1] != self.branches:
      raise UserError(f"SDR: {clips.shape[1]} views for {self.branches} branches; each takes one.")
    if clips.ndim == 5:
      clips = jnp.broadcast_to(clips[:, None], (clips.shape[0], self.branches, *clips.shape[1:]))
    r = self._spatial_perturbation_branches(clips, train)
    z = Fusion(self.bottleneck, self.dtype, name="fusion")(r)
    joint, left_out = PredictiveHeads(name="heads")(r)
    head = ftcn.TimeTransformer(self.layers, self.heads, self.mlp, self.dropout, self.dtype, name="head")
    return {
      "logit": head(z, train),
      "features": r,
      "fused": z.astype(jnp.float32),
      "joint_logit": joint,
      "left_out_logits": left_out,
    }

  def _spatial_perturbation_branches(self, views: Array, train: bool) -> Array:
    """Maps views `[B, N, T, H, W, 3]` to tokens `[B, N, T/2, E]`, branch i of its own weights on view i."""
    settings = (self.width, self.depths, self.form, self.remat, self.dtype)
    if self.shared:
      r = ftcn.Trunk(*settings, name="branch")(views.reshape(-1, *views.shape[2:]), train)
      return r.reshape(*views.shape[:2], *r.shape[1:])
    branches = nn.vmap(
      ftcn.Trunk,
      in_axes=(1, None),
      out_axes=1,
      variable_axes={"params": 0, "batch_stats": 0},
      split_rngs={"params": True},
    )
    return branches(*settings, name="branches")(views, train)
