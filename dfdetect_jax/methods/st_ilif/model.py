"""ST-ILIF: a phase-aware and a sequence stream that interact after every stage (§4, Fig. 4)."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float32, Real

from dfdetect_jax.errors import UserError
from dfdetect_jax.layers import imagenet
from dfdetect_jax.methods.st_ilif import phase
from dfdetect_jax.methods.st_ilif.fusion import AFFM, CAFIM
from dfdetect_jax.methods.st_ilif.phase_stream import PhaseStream
from dfdetect_jax.methods.st_ilif.tdm import SequenceStream

STREAMS = ("both", "phase", "sequence")

SIZES = {
  "resnet18": {"width": 64},  # the paper's
  "small": {"width": 16},
  "test": {"width": 8},
}


def check_clip_shape(shape: tuple[int, ...]) -> None:
  """Refuses clips that ST-ILIF cannot take, `[B, T, H, W, 3]` without or with B, and says why.

  Raises:
    UserError: T is even or less than 3, or H or W is not a multiple of 32.
  """
  *leading, frames, height, width, _ = shape
  if len(leading) > 1 or shape[-1] != 3:
    raise UserError(f"ST-ILIF takes clips [B, T, H, W, 3] without snippets; these have shape {list(shape)}.")
  if frames % 2 == 0 or frames < 3:
    raise UserError(
      f"ST-ILIF looks at a middle frame and its neighbours: T must be 3, 5, 7, …; clips have T = {frames}."
    )
  if height % 32 or width % 32:
    raise UserError(f"ST-ILIF halves frames five times: their size must be a multiple of 32, it is {height}×{width}.")


class STILIF(nn.Module):
  """Spatiotemporal inconsistency learning and interactive fusion.

  Attributes:
    width: channels of the first stages of both streams.
    stream: `both`, or `phase` or `sequence` alone (Tables 2 and 3).
    reconstruction: image beside the grey one: `phase`, or `amplitude`, `sobel`, `prewitt` (Table 2).
    tdm: whether the sequence stream sees differences; without them it is ResNet-18 on the middle frame (Table 3).
    recurrence: `single` as printed, or `scan`; see `TDM`.
    cafim: whether the streams interact after each stage (Table 4).
    affm: whether AFFM fuses the streams; concatenation otherwise (Table 4).
    single_sigmoid: see `AFFM`.
    unit_input: whether the phase-aware stream's two images come to it on [-1, 1], (x − 127.5) / 127.5, rather than on
      the 0-255 scale. In bfloat16 the latter's steps are up to a grey level wide, the former's half of one.
      The scale is unstated, and BatchNorm takes it out again; runs made before this was a choice have the latter.
    remat: what the blocks keep for the backward pass, see `layers.remat`.
    dtype: compute dtype; parameters, statistics and the Fourier transform stay float32.

  Reference: Zhang et al., Spatiotemporal Inconsistency Learning and Interactive Fusion for Deepfake Video Detection,
  ACM TOMM 2024.
  """

  width: int = 64
  stream: str = "both"
  reconstruction: str = "phase"
  tdm: bool = True
  recurrence: str = "single"
  cafim: bool = True
  affm: bool = True
  single_sigmoid: bool = False
  unit_input: bool = False
  remat: str = ""
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(self, clips: Real[Array, " B *clip"], train: bool = False) -> dict[str, Float32[Array, " B *_"]]:
    """Scores clips.

    Args:
      clips: `[B, T, H, W, 3]` RGB, uint8 or float on the 0-255 scale; T odd, H and W multiples of 32.
      train: whether BatchNorm uses the batch's statistics.

    Returns:
      Float32 arrays, where h = H/32 and C = 8·width: `logit` `[B]`; `feature_map` `[B, h, w, C or 2C]`, whose mean over
      places is `features` `[B, C or 2C]` and goes to the linear head (phase-aware stream first); `phase_image`
      `[B, H, W]`, whatever `reconstruction` is; `cafim_attention_1` … `_4`, A after each stage; `affm_attention`, W.
      Maps of parts that are switched off are absent.

    Raises:
      UserError: the clips' shape does not fit, before anything is compiled.
    """
    check_clip_shape(clips.shape)
    outputs = {}
    has_phase, has_sequence = self.stream != "sequence", self.stream != "phase"
    if has_phase:
      grey = phase.grey_mean(clips)
      outputs["phase_image"] = phase.RECONSTRUCTIONS[self.reconstruction](grey)
      # The reconstruction is an input: no gradient flows into it.
      p = jax.lax.stop_gradient(jnp.stack([outputs["phase_image"], grey], axis=-1))
      # Before the cast, which keeps eight bits of a value.
      p = (phase.to_unit(p) if self.unit_input else p).astype(self.dtype)
      phase_stream = PhaseStream(self.width, self.remat, self.dtype, name="phase")
    if has_sequence:
      s = imagenet.normalize(clips)
      sequence_stream = SequenceStream(self.width, self.tdm, self.recurrence, self.remat, self.dtype, name="sequence")

    for k in range(1, 5):
      if has_phase:
        p = phase_stream.stage(k, p, train)
      if has_sequence:
        s = sequence_stream.stage(k, s, train)
      if self.stream == "both" and self.cafim:
        p, s, outputs[f"cafim_attention_{k}"] = CAFIM(self.dtype, name=f"cafim{k}")(p, s, train)

    if self.stream != "both":
      feature_map = p if has_phase else s
    elif self.affm:
      feature_map, outputs["affm_attention"] = AFFM(self.single_sigmoid, self.dtype, name="affm")(p, s, train)
    else:
      feature_map = jnp.concatenate([p, s], axis=-1)
    outputs["feature_map"] = feature_map
    outputs["features"] = jnp.mean(feature_map, axis=(1, 2), dtype=jnp.float32)
    outputs["logit"] = nn.Dense(1, name="head")(outputs["features"])[:, 0]
    return {name: value.astype(jnp.float32) for name, value in outputs.items()}
