"""ResNet on single frames, the baseline that looks at no motion (DIL, Tables 1 and 4)."""

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float32, Real

from dfdetect_jax.layers import imagenet
from dfdetect_jax.layers.resnet import ResNet


class FrameResNet(nn.Module):
  """A ResNet scores every frame; the clip's logit is the mean of its frames'.

  Named like torchvision's, but for the prefix `resnet` and the head `fc` with one output.

  Attributes:
    depths, bottleneck, width, remat, dtype: see `ResNet`.
  """

  depths: tuple[int, ...]
  bottleneck: bool
  width: int = 64
  remat: str = ""
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(self, clips: Real[Array, "B T H W 3"], train: bool = False) -> dict[str, Float32[Array, " B *_"]]:
    """Scores clips.

    Args:
      clips: `[B, T, H, W, 3]` RGB, uint8 or float on the 0-255 scale; any T.
      train: whether BatchNorm uses the batch's statistics.

    Returns:
      Float32 arrays: `logit` `[B]`; `frame_logits` `[B, T]`; `features` `[B, C]`, mean over frames and places;
      `feature_map` `[B, T, H/32, W/32, C]`.
    """
    resnet = ResNet(self.depths, self.bottleneck, self.width, self.remat, self.dtype, name="resnet")
    feature_map = resnet(imagenet.normalize(clips).astype(self.dtype), train).astype(jnp.float32)
    features = jnp.mean(feature_map, axis=(2, 3))
    frame_logits = nn.Dense(1, name="fc")(features)[..., 0]
    return {
      "logit": jnp.mean(frame_logits, axis=1),
      "frame_logits": frame_logits,
      "features": jnp.mean(features, axis=1),
      "feature_map": feature_map,
    }
