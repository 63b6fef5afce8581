"""DIL: dynamic inconsistency learning on snippets (Gu et al., "Delving into the Local", AAAI 2022).

A ResNet-50 sees the frames of all snippets; right before the 3×3 convolution of its blocks, Intra-SIM looks along the
frames of a snippet and Inter-SIM across the snippets, in turn (Fig. 2). The video's logit is the mean of its frames'.
"""

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Float32, Real

from dfdetect_jax.errors import UserError
from dfdetect_jax.layers import imagenet
from dfdetect_jax.layers.batch_norm import BatchNorm
from dfdetect_jax.layers.convolution import Conv
from dfdetect_jax.layers.pooling import max_pool_3
from dfdetect_jax.layers.remat import recompute
from dfdetect_jax.methods.dil.inter_sim import InterSIM
from dfdetect_jax.methods.dil.intra_sim import IntraSIM

# Parameter counts are pinned in a test.
SIZES = {
  "resnet50": dict(depths=(3, 4, 6, 3), width=64, reduction=16),
  "small": dict(depths=(2, 2, 2, 2), width=16, reduction=4),
  "test": dict(depths=(2, 2), width=8, reduction=2),
}


class SnippetBlock(nn.Module):
  """A bottleneck of ResNet-50 with Intra-SIM, Inter-SIM or nothing before its 3×3 convolution ("Instantiation").

  Attributes:
    features: channels of the output, four times those inside.
    stride: of the 3×3 convolution and the shortcut.
    project: whether the shortcut is a 1×1 convolution with BatchNorm rather than the identity.
    intra, inter: the block's module, if it has one, made with `parent=None` so that it belongs to the block.
    dtype: compute dtype; parameters and statistics stay float32.
  """

  features: int
  stride: int = 1
  project: bool = False
  intra: IntraSIM | None = None
  inter: InterSIM | None = None
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(
    self, x: Float[Array, "B U T H W C"], train: bool = False
  ) -> tuple[Float[Array, "B U T h w {self.features}"], Float32[Array, "B U T *place"] | None]:
    """Maps `[B, U, T, H, W, C]` to `[B, U, T, ⌈H/stride⌉, ⌈W/stride⌉, features]` and the module's map, if any."""
    inner = self.features // 4
    drawn = None
    y = Conv(inner, 1, 1, self.dtype, name="conv1")(x)
    y = nn.relu(BatchNorm(name="bn1")(y, train))
    if self.intra is not None:
      y, drawn = self.intra(y)
    if self.inter is not None:
      y, drawn = self.inter(y, train)
    y = Conv(inner, 3, self.stride, self.dtype, name="conv2")(y)
    y = nn.relu(BatchNorm(name="bn2")(y, train))
    y = Conv(self.features, 1, 1, self.dtype, name="conv3")(y)
    y = BatchNorm(name="bn3")(y, train)
    if self.project:
      x = Conv(self.features, 1, self.stride, self.dtype, name="downsample_conv")(x)
      x = BatchNorm(name="downsample_bn")(x, train)
    return nn.relu(y + x), drawn


class DIL(nn.Module):
  """The whole detector; without either module it is ResNet-50 on frames, and named like it (`layer1_0/conv1`, `fc`).

  Attributes:
    depths: blocks per stage (see `SIZES`).
    width: channels of the stem.
    reduction: r of both modules.
    frames: T, which Intra-SIM's fully connected layers fix.
    intra, inter: Intra-SIM in the even blocks of a stage, Inter-SIM in the odd ones (Table 4). Decision: where one of
      them is off, its blocks are plain bottlenecks.
    stages: stages that have the modules, counted from 1 (Table 6).
    bidirectional, coordinate, learnable_kernel: BP, CA and LK of Table 5, see `IntraSIM`.
    remat: what the blocks keep for the backward pass, see `layers.remat`.
    dtype: compute dtype; parameters, statistics, kernels and logits stay float32.
  """

  depths: tuple[int, ...] = (3, 4, 6, 3)
  width: int = 64
  reduction: int = 16
  frames: int = 4
  intra: bool = True
  inter: bool = True
  stages: tuple[int, ...] = (1, 2, 3, 4)
  bidirectional: bool = True
  coordinate: bool = True
  learnable_kernel: bool = True
  remat: str = ""
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(self, clips: Real[Array, " B *clip"], train: bool = False) -> dict[str, Float32[Array, " B *_"]]:
    """Scores snippets `[B, U, T, H, W, 3]`, uint8 or float on the 0-255 scale; any U.

    Returns:
      Float32 arrays: `frame_logits` `[B, U, T]`, whose mean is `logit` `[B]`; `feature_map` `[B, U, T, h, w, C]` of the
      last stage and `features` `[B, C]`, its mean over places and frames; and for each block k_i, the i-th of stage k,
      that has a module: `intra_attention_k_i` `[B, U, T, h, w]`, Intra-SMA at the block's resolution (Fig. 4), or
      `inter_attention_k_i` `[B, U, T]`, the U-T attention map F₁ · F₂ (Fig. 5), each averaged over its channels.

    Raises:
      UserError: the clips' shape does not fit, before anything is compiled.
    """
    self._check(clips)
    x = imagenet.normalize(clips).astype(self.dtype)
    x = Conv(self.width, 7, 2, self.dtype, name="conv1")(x)
    x = max_pool_3(nn.relu(BatchNorm(name="bn1")(x, train)))

    outputs = {}
    block = recompute(SnippetBlock, self.remat)
    for k, depth in enumerate(self.depths, start=1):
      for i in range(depth):
        intra = self.intra and i % 2 == 0 and k in self.stages
        inter = self.inter and i % 2 == 1 and k in self.stages
        x, drawn = block(
          features=4 * self.width * 2 ** (k - 1),
          stride=2 if k > 1 and i == 0 else 1,
          project=i == 0,
          intra=self._intra_sim() if intra else None,
          inter=self._inter_sim() if inter else None,
          dtype=self.dtype,
          name=f"layer{k}_{i}",
        )(x, train)
        if drawn is not None:
          outputs[f"{'intra' if intra else 'inter'}_attention_{k}_{i}"] = drawn

    outputs["feature_map"] = x.astype(jnp.float32)
    features = jnp.mean(outputs["feature_map"], axis=(-3, -2))  # [B, U, T, C]
    outputs["features"] = jnp.mean(features, axis=(1, 2))
    outputs["frame_logits"] = nn.Dense(1, name="fc")(features)[..., 0]
    outputs["logit"] = jnp.mean(outputs["frame_logits"], axis=(1, 2))
    return outputs

  def _intra_sim(self) -> IntraSIM:
    switches = (self.bidirectional, self.coordinate, self.learnable_kernel)
    return IntraSIM(self.reduction, *switches, dtype=self.dtype, parent=None)

  def _inter_sim(self) -> InterSIM:
    return InterSIM(self.reduction, dtype=self.dtype, parent=None)

  def _check(self, clips: Array) -> None:
    if clips.ndim != 6 or clips.shape[-1] != 3:
      raise UserError(f"DIL takes snippets [B, U, T, H, W, 3]; these clips have shape {list(clips.shape)}.")
    if clips.shape[2] != self.frames:
      raise UserError(
        f"this DIL was built for snippets of T = {self.frames} frames, which the fully connected layers of Intra-SIM "
        f"fix; these clips have T = {clips.shape[2]}. Set clips.frames={self.frames}, or train a model for the other T."
      )
