"""Forgeries made out of real clips: a face is altered, moved and blended back into its own clip, or into another's.

What is drawn once per clip makes the marks of a blend that a single frame shows (Shiohara and Yamasaki, Detecting
Deepfakes with Self-Blended Images, CVPR 2022); what varies in time makes those that only a clip shows: a slow drift of
regions against each other, a fit that errs in every frame, a blend that flickers. Pure functions of a key, one clip and
its landmarks; `jax.vmap` makes batches of them.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float32, Key, Real, UInt8

from dfdetect_jax.augment import compression, face_mask, warping

_NODES = 5  # nodes along each side of the grid whose regions bend by their own


@dataclasses.dataclass(frozen=True)
class SelfBlending:
  """How far forgeries go. Each number scales one kind of trace; 0 leaves it out, 1 is what its comment says.

  Attributes:
    strength: scales all of them; 0 returns every clip as it was, bit for bit.
    landmarks: points that masks are made from: 5, or 68 where the shards hold so many.
    photometric: either the face or all the rest gets other colours, sharpness, resolution and coding.
    geometric: the face is moved by up to 3 % of its size across and 1.5 % down, and scaled by up to 5 %.
    elastic: face and mask are bent by up to 2 % of the face's size.
    drift: face and mask move by up to 2.5 %, slowly, each region by its own.
    fitting_error: the face's place, size and turn err in every frame (σ = 1.2 %, 1.5 %, 1.5°).
    flicker: tint and blend err in every frame (σ = 4 %, and up to 30 % of the blend).
    ratios: shares of the face in the blend, drawn from these.
    swap: share of the forgeries that take the face from another clip of the batch, fitted to this one's landmarks.
    post_processing: real and forged clips alike get other colours, resolution and coding afterwards.
  """

  strength: float = 1.0
  landmarks: int = 5
  photometric: float = 1.0
  geometric: float = 1.0
  elastic: float = 1.0
  drift: float = 1.0
  fitting_error: float = 1.0
  flicker: float = 1.0
  ratios: tuple[float, ...] = (0.25, 0.5, 0.75, 1.0, 1.0, 1.0)
  swap: float = 0.25
  post_processing: float = 1.0

  def scaled(self, name: str) -> float:
    """The strength of one kind of trace, the common one included.

    >>> SelfBlending(strength=0.5, drift=3.0).scaled("drift")
    1.5
    """
    return self.strength * getattr(self, name)


class Forgery(NamedTuple):
  """A real clip and what was made of it; both float32 `[T, H, W, 3]` on the 0-255 scale, not post-processed.

  Attributes:
    real: the clip, altered as a whole where the rest rather than the face is what differs in the forgery.
    forged: equal to `real` wherever `mask` is 0.
    mask: float32 `[T, H, W]` in [0, 1], share of the forged face.
  """

  real: Float32[Array, "T H W 3"]
  forged: Float32[Array, "T H W 3"]
  mask: Float32[Array, "T H W"]


class Draws(NamedTuple):
  """All that is random in a forgery, uniform in [0, 1) but for `errors`. Few large draws compile far faster than many.

  Attributes:
    look: `[16]`, which side is altered and how.
    place: `[8]`, the face's shift and size, the mask's family and edge, the blend, whether it is a swap.
    shares: `[3]`, how much of drift, fitting error and flicker this clip has.
    errors: standard normal `[T, 8]`, of each frame.
    bends: `[2, 5, 5, 2]`, of mask and face.
    waves: `[2, 2, 2, 5, 5, 2]`, periods and phases of what drifts, of mask and face.
  """

  look: Float32[Array, "16"]
  place: Float32[Array, "8"]
  shares: Float32[Array, "3"]
  errors: Float32[Array, "T 8"]
  bends: Float32[Array, "2 5 5 2"]
  waves: Float32[Array, "2 2 2 5 5 2"]


def draw(key: Key[Array, ""], frames: int) -> Draws:
  """Draws a forgery of a clip of so many frames; the same key, the same forgery, whatever the clip."""
  once_key, frames_key, grid_key = jax.random.split(key, 3)
  look, place, shares = jnp.split(jax.random.uniform(once_key, (27,)), (16, 24))
  bends, waves = jnp.split(jax.random.uniform(grid_key, (10, _NODES, _NODES, 2)), (2,))
  waves = waves.reshape(2, 2, 2, _NODES, _NODES, 2)
  return Draws(look, place, shares, jax.random.normal(frames_key, (frames, 8)), bends, waves)


def forge(
  draws: Draws,
  clip: Real[Array, "T H W 3"],
  landmarks: Float32[Array, "T P 2"],
  options: SelfBlending,
  other: Real[Array, "T H W 3"] | None = None,
  other_landmarks: Float32[Array, "T P 2"] | None = None,
) -> Forgery:
  """Makes one forgery.

  Args:
    draws: see `draw`.
    clip: `[T, H, W, 3]` on the 0-255 scale.
    landmarks: float32 `[T, P, 2]`, in units of the frame's sides; may lie outside of it.
    options: see `SelfBlending`.
    other, other_landmarks: likewise, the clip that `options.swap` takes faces from; without it nothing is swapped.
  """
  clip = clip.astype(jnp.float32)
  altered, target = _altered(draws, clip, options)
  size = (clip.shape[1], clip.shape[2])
  mask = face_region(draws, size, landmarks, options)
  if not options.strength:
    return Forgery(target, clip, mask)
  places = face_places(draws, size, landmarks, options)
  pixels = jnp.array([clip.shape[2], clip.shape[1]], jnp.float32)[None, None, None]
  own = warping.pixel_grid(*clip.shape[1:3])[None]
  # In pixels, so that a displacement of nothing looks up exactly the pixel itself.
  at = jnp.round(own * pixels - 0.5) + (places - own) * pixels
  swapped = None
  if options.swap and other is not None:
    assert other_landmarks is not None, "a clip to take faces from comes with its landmarks"
    swapped = draws.place[7] < options.swap
    altered = jnp.where(swapped, other.astype(jnp.float32), altered)
    at = jnp.where(swapped, fitted(places, landmarks, other_landmarks) * pixels - 0.5, at)
  face = warping.sample(altered, at)
  if swapped is not None:
    face = jnp.where(swapped, match_colors(face, target, mask), face)
  ratio, tint = blend_of_frames(draws, options)
  mask = mask * ratio[:, None, None]
  face = jnp.clip(face * tint[:, None, None], 0.0, 255.0)
  return Forgery(target, target + mask[..., None] * (face - target), mask)


def real_part(draws: Draws, clip: Real[Array, "T H W 3"], options: SelfBlending) -> Float32[Array, "T H W 3"]:
  """`Forgery.real` of the same draws, for clips that need no forgery; float32 `[T, H, W, 3]`."""
  return _altered(draws, clip.astype(jnp.float32), options)[1]


def post_process(
  key: Key[Array, ""], clip: Float32[Array, "T H W 3"], options: SelfBlending
) -> UInt8[Array, "T H W 3"]:
  """Colours, resolution and coding that say nothing of real or forged; to be given the same key for both.

  Args:
    key: random key.
    clip: float32 `[T, H, W, 3]` on the 0-255 scale.
    options: see `SelfBlending`.

  Returns:
    uint8 `[T, H, W, 3]`.
  """
  strength = options.scaled("post_processing")
  if strength:
    clip = _change(jax.random.uniform(key, (16,)), clip, strength, likely=(0.5, 0.0, 0.5, 0.7))
  return jnp.round(jnp.clip(clip, 0.0, 255.0)).astype(jnp.uint8)


def face_region(
  draws: Draws, size: tuple[int, int], landmarks: Float32[Array, "T P 2"], options: SelfBlending
) -> Float32[Array, "T H W"]:
  """Mask of the face: a family's hull, bent, drifting, drawn in at its edge and faded out inwards.

  Args:
    draws: see `draw`.
    size: H, W.
    landmarks: float32 `[T, P, 2]`.
    options: see `SelfBlending`.

  Returns:
    float32 `[T, H, W]`: 0 on the hull's edge and outside, 1 deep inside.
  """
  face = face_mask.face_size(landmarks)
  points = jnp.broadcast_to(warping.pixel_grid(*size)[None], (landmarks.shape[0], *size, 2))
  points = points + face * _bend(draws, 0, landmarks.shape[0], size, options)
  family = jnp.floor(len(face_mask.FAMILIES) * draws.place[3]).astype(jnp.int32)
  depth = -face_mask.signed_distance(face_mask.outline(landmarks, family), points) / jnp.maximum(face, 1e-6)
  # SBI blurs, cuts and blurs again; drawing in and fading is the same on a distance, and ends where it says.
  ramp = jnp.clip((depth - 0.05 * draws.place[4]) / (0.04 + 0.2 * draws.place[5]), 0.0, 1.0)
  return ramp * ramp * (3 - 2 * ramp)


def face_places(
  draws: Draws, size: tuple[int, int], landmarks: Float32[Array, "T P 2"], options: SelfBlending
) -> Float32[Array, "T H W 2"]:
  """Where in its own clip each pixel of the moved face comes from: `[T, H, W, 2]` in units of the frame's sides."""
  frames = landmarks.shape[0]
  face = face_mask.face_size(landmarks)
  own = jnp.broadcast_to(warping.pixel_grid(*size)[None], (frames, *size, 2))
  moved, error = options.scaled("geometric"), options.scaled("fitting_error") * draws.shares[1] * draws.errors[:, :4]
  once = moved * (2 * draws.place[:3] - 1) * jnp.array([0.03, 0.015, 0.05])
  shift = once[None, :2] + 0.012 * error[:, :2]
  grow = (once[2] + 0.015 * error[:, 2])[:, None, None, None]
  turn = (0.026 * error[:, 3])[:, None, None, None]
  offset = own - jnp.mean(face_mask.five_points(landmarks), axis=1)[:, None, None]
  across = jnp.concatenate([-offset[..., 1:], offset[..., :1]], axis=-1)
  moved_by = face * shift[:, None, None] + face * _bend(draws, 1, frames, size, options)
  return own + (grow * offset + turn * across + moved_by)


def blend_of_frames(draws: Draws, options: SelfBlending) -> tuple[Float32[Array, " T"], Float32[Array, "T 3"]]:
  """Share of the face in each frame `[T]`, and its tint `[T, 3]`."""
  ratios = jnp.array(options.ratios)
  ratio = ratios[jnp.floor(len(options.ratios) * draws.place[6]).astype(jnp.int32)]
  share = options.scaled("flicker") * draws.shares[2]
  lost = jnp.clip(0.15 * share * jnp.abs(draws.errors[:, 4]), 0.0, 1.0)
  return ratio * (1 - lost), 1 + 0.04 * share * draws.errors[:, 5:]


def fitted(
  places: Float32[Array, "T H W 2"], landmarks: Float32[Array, "T P 2"], other: Float32[Array, "T P 2"]
) -> Float32[Array, "T H W 2"]:
  """Places `[T, H, W, 2]` of one clip as those of another one that the same landmarks lie at.

  In every frame the similarity that takes one's five points to the other's best, least squares: with complex numbers
  of centred points, z = ⟨a, b⟩ / ‖a‖² (Umeyama, 1991).
  """
  a, b = face_mask.five_points(landmarks), face_mask.five_points(other)
  a_mean, b_mean = jnp.mean(a, 1, keepdims=True), jnp.mean(b, 1, keepdims=True)
  a, b = a - a_mean, b - b_mean
  square = jnp.maximum(jnp.sum(a * a, axis=(1, 2)), 1e-6)
  real = jnp.sum(a * b, axis=(1, 2)) / square
  imaginary = jnp.sum(a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0], axis=1) / square
  x, y = jnp.split(places - a_mean[:, None], 2, axis=-1)
  real, imaginary = real[:, None, None, None], imaginary[:, None, None, None]
  return jnp.concatenate([real * x - imaginary * y, imaginary * x + real * y], axis=-1) + b_mean[:, None]


def match_colors(
  face: Float32[Array, "T H W 3"], target: Float32[Array, "T H W 3"], mask: Float32[Array, "T H W"]
) -> Float32[Array, "T H W 3"]:
  """Gives a face the target's mean and deviation of each channel within a mask, over the whole clip.

  Args:
    face, target: float32 `[T, H, W, 3]`.
    mask: float32 `[T, H, W]`.
  """
  weight = (mask / jnp.maximum(jnp.sum(mask), 1e-6))[..., None]

  def moments(x: Array) -> tuple[Array, Array]:
    mean = jnp.sum(weight * x, axis=(0, 1, 2), keepdims=True)
    return mean, jnp.sqrt(jnp.sum(weight * (x - mean) ** 2, axis=(0, 1, 2), keepdims=True))

  (own, own_spread), (wanted, spread) = moments(face), moments(target)
  return jnp.clip((face - own) * (spread / jnp.maximum(own_spread, 1.0)) + wanted, 0.0, 255.0)


def _altered(draws: Draws, clip: Array, options: SelfBlending) -> tuple[Array, Array]:
  """The clip that the face is taken from and the one that it is put into, of which one is altered."""
  strength = options.scaled("photometric")
  if not strength:
    return clip, clip
  changed = _change(draws.look[1:], clip, strength, likely=(0.8, 0.5, 0.3, 0.3))
  of_face = draws.look[0] < 0.5
  return jnp.where(of_face, changed, clip), jnp.where(of_face, clip, changed)


def _change(draws: Array, clip: Array, strength: float, likely: tuple[float, float, float, float]) -> Array:
  """Another look of a whole clip, by fifteen draws: colours, sharpness, resolution, coding, each or not."""
  does = draws[:4] < jnp.array(likely)
  color = strength * (2 * draws[4:12] - 1)
  amount, shrink, coarse = strength * draws[12], strength * draws[13], strength * draws[14]
  colored = compression.recolor(
    clip, 1 + 0.12 * color[:3], 10 * color[3:6], jnp.exp(0.2 * color[6]), 1 + 0.3 * color[7]
  )
  clip = jnp.where(does[0], colored, clip)
  if likely[1]:
    clip = jnp.where(does[1], compression.sharpen(clip, 2 * amount - strength), clip)
  clip = jnp.where(does[2], compression.resample(clip, 1 - 0.55 * shrink), clip)
  return jnp.where(does[3], compression.jpeg(clip, jnp.clip(98 - 55 * coarse, 1, 100)), clip)


def _bend(draws: Draws, which: int, frames: int, size: tuple[int, int], options: SelfBlending) -> Array:
  """How mask (0) or face (1) is bent: `[T, H, W, 2]` in units of the face's size."""
  nodes = 0.02 * options.scaled("elastic") * (2 * draws.bends[which] - 1)[None]
  drift = options.scaled("drift") * draws.shares[0]
  rates, phases = draws.waves[which]
  nodes = nodes + 0.025 * drift * warping.wave(rates, phases, frames)
  return warping.upsample(nodes, *size)
