"""What training clips go through, as data: augmentations by name, each with its range and probability.

The key of each augmentation is folded from its name. Switching one off, or putting another in front of it, leaves what
the others draw as it was, so that the rows of an ablation differ by what they are named after and by nothing else.
"""

import dataclasses
import zlib
from collections.abc import Callable, Mapping, Sequence

import jax
import jax.numpy as jnp
import ml_collections
from jaxtyping import Array, Float32, Key, Real

from dfdetect_jax.augment import photometric
from dfdetect_jax.augment.color_jitter import color_jitter
from dfdetect_jax.augment.crop import random_crop
from dfdetect_jax.augment.cutout import random_cutout
from dfdetect_jax.augment.flip import mirror
from dfdetect_jax.augment.temporal import drop_and_repeat
from dfdetect_jax.errors import UserError, unknown

# (key, float32 clips [B, T, H, W, 3] on the 0-255 scale, range) -> the same shape and scale, alike in all frames.
# A geometric one takes any number of channels, on any scale.
Function = Callable[[Array, Array, tuple[float, float]], Array]


@dataclasses.dataclass(frozen=True)
class Augmentation:
  """One step of a pipeline.

  Attributes:
    name: its randomness follows from it.
    function: see `Function`.
    range: smallest and largest value of what the function draws for each clip.
    probability: with which a clip undergoes it, drawn per clip.
    temporal: whether it moves frames about; snippets of a clip then each count for themselves.
    geometric: whether it only moves pixels, in space or time: what is known of each pixel then moves with the clip.
  """

  name: str
  function: Function
  range: tuple[float, float] = (0.0, 0.0)
  probability: float = 1.0
  temporal: bool = False
  geometric: bool = False

  def __call__(self, key: Key[Array, ""], clips: Real[Array, "B *U T H W C"]) -> Float32[Array, "B *U T H W C"]:
    """Augments clips `[B, T, H, W, C]` or `[B, U, T, H, W, C]`, any dtype, to float32 of the same shape; C = 3, or any
    number where it is geometric.

    Args:
      key: of the pipeline; the augmentation's own is folded from it and the name.
    """
    strength_key, chosen_key = jax.random.split(key_of(key, self.name))
    clips = clips.astype(jnp.float32)
    # A clip's snippets are alike, as its frames are.
    units = clips.reshape(-1, *clips.shape[-4:]) if self.temporal else clips.reshape(len(clips), -1, *clips.shape[-3:])
    augmented = self.function(strength_key, units, self.range).reshape(clips.shape)
    if self.probability >= 1:
      return augmented
    chosen = jax.random.bernoulli(chosen_key, self.probability, (len(clips), *(1,) * (clips.ndim - 1)))
    return jnp.where(chosen, augmented, clips)


def key_of(key: Key[Array, ""], name: str) -> Key[Array, ""]:
  """The key of the augmentation called `name`."""
  return jax.random.fold_in(key, zlib.crc32(name.encode()))


def apply(
  pipeline: Sequence[Augmentation], key: Key[Array, ""], clips: Real[Array, "B *U T H W C"]
) -> Real[Array, "B *U T H W C"]:
  """Clips after all augmentations of a pipeline, in order; as they are if there is none."""
  for augmentation in pipeline:
    clips = augmentation(key, clips)
  return clips


def geometric(pipeline: Sequence[Augmentation]) -> tuple[Augmentation, ...]:
  """What of a pipeline moves pixels; with the same key, a map of a clip's pixels goes where the clip goes."""
  return tuple(augmentation for augmentation in pipeline if augmentation.geometric)


# In the order of a pipeline; the ranges are what `config.augment` and SDR's views take where they say nothing else.
AUGMENTATIONS = {
  a.name: a
  for a in (
    Augmentation("blur", photometric.gaussian_blur, (0.5, 2.0)),  # σ in pixels
    Augmentation("saturation", photometric.saturation, (0.4, 1.6)),  # factor on the distance from grey
    Augmentation("noise", photometric.gaussian_noise, (2.0, 15.0)),  # σ on the 0-255 scale
    Augmentation("color_jitter", color_jitter, (0.6, 1.4)),  # factors on brightness, contrast, saturation
    Augmentation("cutout", random_cutout, (0.1, 0.4)),  # side of the black square as a share of the frame's
    Augmentation("crop", random_crop, (0.7, 1.0), geometric=True),  # side of the window as a share of the frame's
    Augmentation("flip", mirror, geometric=True),
    # share of frames dropped or repeated
    Augmentation("temporal", drop_and_repeat, (0.25, 0.25), temporal=True, geometric=True),
  )
}


def from_config(augment: Mapping[str, Sequence[float]] | ml_collections.ConfigDict) -> tuple[Augmentation, ...]:
  """The pipeline that `config.augment` describes.

  Args:
    augment: by name: () for none, (probability,), or (probability, smallest, largest).

  Raises:
    UserError: there is no such augmentation, or it is not described like this.

  >>> [(a.name, a.probability, a.range) for a in from_config({"flip": (0.5,), "blur": (1.0, 0.5, 1.0), "crop": ()})]
  [('blur', 1.0, (0.5, 1.0)), ('flip', 0.5, (0.0, 0.0))]
  """
  if others := sorted(set(augment) - set(AUGMENTATIONS)):
    raise unknown("augmentation", others[0], AUGMENTATIONS, "augment: ")
  pipeline = []
  for name, known in AUGMENTATIONS.items():
    values = tuple(augment.get(name, ()))
    if not values or values[0] == 0:
      continue
    if len(values) not in (1, 3) or not 0 <= values[0] <= 1 or (values[1:] and values[1] > values[2]):
      raise UserError(
        f"augment.{name} is {values}: it must be () for none, (probability,) or (probability, smallest, largest), the "
        f"probability in [0, 1]; for example {(0.5, *known.range)}."
      )
    low, high = values[1:] or known.range
    if low < 0 or (name == "blur" and low == 0) or (name in ("cutout", "crop", "temporal") and high > 1):
      raise UserError(f"augment.{name} cannot draw from [{low}, {high}]; usual is {known.range}.")
    pipeline.append(dataclasses.replace(known, range=(low, high), probability=values[0]))
  return tuple(pipeline)
