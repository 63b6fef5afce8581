"""Which forgeries a run learns from: those that the shards hold, those that are made of its real clips, or both."""

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from dfdetect_jax.augment.forged_batch import LANDMARKS_OF
from dfdetect_jax.errors import UserError
from dfdetect_jax.methods.method import ClipSpec
from dfdetect_jax.schema import Track

SOURCES = ("given", "self_made", "both")
# Clips of an example that may be forged on the device, by kind of example.
FORGED = {"clip": ("clip",), "pair": ("clip",), "triplet": ("negative", "forged")}


@dataclasses.dataclass(frozen=True)
class Forgeries:
  """Where forgeries come from.

  Attributes:
    source: `given`, by the shards; `self_made`, of real clips, on the device; `both`, one or the other, by a coin for
      each example.
    landmarks: points that self-made ones need with each frame.
  """

  source: str = "given"
  landmarks: int = 5

  def makes(self) -> bool:
    """Whether any are made."""
    return self.source != "given"

  def can_be_made_of(self, track: Track) -> bool:
    """Whether a track is real and has the landmarks (68 points hold the five)."""
    return track.label == 0 and track.landmarks in {self.landmarks, 68}

  def choose(self, tracks: Sequence[Track]) -> tuple[list[Track], list[Track]]:
    """The tracks that are trained on, and real ones that are left out for want of landmarks.

    Given forgeries are left out where all are self-made.

    Raises:
      UserError: there is no real track, or none with landmarks.
    """
    if not self.makes():
      return list(tracks), []
    real = [t for t in tracks if t.label == 0]
    if not real:
      raise UserError(
        f"config.forgeries={self.source} makes forgeries of real videos, and the training split has none (as far as "
        "config.videos chooses them). Add real videos to split train, or set config.forgeries=given."
      )
    if not any(map(self.can_be_made_of, real)):
      raise UserError(
        f"config.forgeries={self.source} needs {self.landmarks} landmarks with each frame; the {len(real)} real tracks "
        f"of the training split have {' or '.join(sorted({str(t.landmarks) for t in real}))}. Shards built before "
        "landmarks were kept, by --detector=dlib or from face crops have none: build them again with "
        "--detector=mtcnn (68 points: --landmarks=dlib68)."
      )
    left_out = [t for t in real if not self.can_be_made_of(t)]
    return [t for t in tracks if self.can_be_made_of(t) or (self.source == "both" and t.label == 1)], left_out

  def batch_shapes(self, spec: ClipSpec, size: int) -> dict[str, jax.ShapeDtypeStruct]:
    """Shapes and dtypes of what the loader gives for `size` examples (see `augment.forged_batch`)."""
    shape = spec.shape(train=True)
    clip = jax.ShapeDtypeStruct((size, *shape), jnp.uint8)
    names = ("anchor", "positive", "negative", "forged") if spec.example == "triplet" else ("clip",)
    shapes = dict.fromkeys(names, clip)
    if spec.example == "pair" and self.source != "self_made":
      shapes |= {"given": clip}
    if not self.makes():
      return shapes if len(shapes) > 1 else shapes | {"label": jax.ShapeDtypeStruct((size,), jnp.int32)}
    points = jax.ShapeDtypeStruct((size, *shape[:-3], self.landmarks, 2), jnp.float32)
    shapes |= {LANDMARKS_OF + name: points for name in FORGED[spec.example]}
    if self.source == "both":
      shapes |= {"forge": jax.ShapeDtypeStruct((size,), jnp.bool_)}
      shapes |= {"given": clip} if spec.example == "clip" else {}
    return shapes


GIVEN = Forgeries()
