"""Temporally-preserved augmentation: several views of a clip, each perturbed in space and alike in all frames.

Reference: SDR, §II-A. The strengths are unstated; those of the four augmentations are our decisions.
"""

import dataclasses

import jax.numpy as jnp
from jaxtyping import Array, Float32, Key, Real

from dfdetect_jax.augment.pipeline import AUGMENTATIONS, key_of

# View i gets augmentation i mod 4.
VIEWS = ("color_jitter", "cutout", "flip", "crop")
# What breaks motion cues when each frame is moved for itself; colour and holes do not (§II-A, §III-C).
SPATIAL = ("flip", "crop")


def perturbed_views(
  key: Key[Array, ""], clips: Real[Array, "B T H W 3"], views: int, redrawn: tuple[str, ...] = ()
) -> Float32[Array, "B {views} T H W 3"]:
  """View i of a clip is the clip under augmentation i mod 4, its parameters drawn afresh for every clip and view.

  Args:
    key: random key.
    clips: `[B, T, H, W, 3]` on the 0-255 scale, any dtype.
    views: their number N.
    redrawn: augmentations whose parameters are drawn for every frame, which destroys the coherence between frames (the
      ablation "without TPA"); those of the others are drawn once per clip.

  Returns:
    Float32 views `[B, N, T, H, W, 3]` on the 0-255 scale.

  >>> clip = jnp.full((1, 2, 4, 4, 3), 100, jnp.uint8)
  >>> import jax
  >>> views = perturbed_views(jax.random.key(0), clip, 3)  # colour, cutout, flip
  >>> views.shape, sorted(set(views[0, 1].ravel().tolist())), set(views[0, 2].ravel().tolist())
  ((1, 3, 2, 4, 4, 3), [0.0, 100.0], {100.0})
  """
  perturbed = []
  for i in range(views):
    name = VIEWS[i % len(VIEWS)]
    # A flip of probability 1 would be no perturbation; the others vary by their range.
    augmentation = dataclasses.replace(AUGMENTATIONS[name], probability=0.5 if name == "flip" else 1.0)
    # Drawn for every frame, a frame is a clip of its own.
    units = clips.reshape(-1, 1, *clips.shape[2:]) if name in redrawn else clips
    perturbed.append(augmentation(key_of(key, f"view {i}"), units).reshape(clips.shape))
  return jnp.stack(perturbed, axis=1)
