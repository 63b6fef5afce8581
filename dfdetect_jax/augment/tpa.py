"""Temporally-preserved augmentation: several views of a clip, each perturbed in space and alike in all frames.

Reference: SDR, §II-A. The strengths are unstated; those of the four augmentations are our decisions.
"""

import jax
import jax.numpy as jnp

from dfdetect_jax.augment.color_jitter import color_jitter
from dfdetect_jax.augment.crop import random_crop
from dfdetect_jax.augment.cutout import random_cutout
from dfdetect_jax.augment.flip import random_flip

AUGMENTATIONS = (color_jitter, random_cutout, random_flip, random_crop)


def perturbed_views(key: jax.Array, clips: jax.Array, views: int, preserve_time: bool = True) -> jax.Array:
  """View i of a clip is the clip under augmentation i mod 4, its parameters drawn afresh for every clip and view.

  Args:
    key: random key.
    clips: `[B, T, H, W, 3]` on the 0-255 scale, any dtype.
    views: their number N.
    preserve_time: True draws the parameters once per clip. False draws them for every frame, which destroys the
      coherence between frames (the ablation "without TPA").

  Returns:
    Float32 views `[B, N, T, H, W, 3]` on the 0-255 scale.
  """
  # Without TPA, every frame is a clip of its own.
  units = clips if preserve_time else clips.reshape(-1, 1, *clips.shape[2:])
  perturbed = [
    AUGMENTATIONS[i % len(AUGMENTATIONS)](view_key, units).astype(jnp.float32).reshape(clips.shape)
    for i, view_key in enumerate(jax.random.split(key, views))
  ]
  return jnp.stack(perturbed, axis=1)
