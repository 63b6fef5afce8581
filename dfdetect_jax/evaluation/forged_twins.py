"""Validation where there is no fake: each real track is scored beside a fixed forgery of it."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from dfdetect_jax.augment import self_blending
from dfdetect_jax.augment.forged_batch import forgeries
from dfdetect_jax.augment.self_blending import SelfBlending
from dfdetect_jax.devices.mesh import replicated
from dfdetect_jax.evaluation.scores import SELF_MADE
from dfdetect_jax.methods.method import Method
from dfdetect_jax.schema import Track

_SEED = 0  # of the forgeries: the same ones at every validation of every run


@dataclasses.dataclass(frozen=True, eq=False)
class ForgedTwins:
  """Scores real clips and forgeries of them, all clips of a track forged alike.

  A swap would depend on the clips beside it, so there is none; all else is as in training, post-processing of both
  classes included.

  Args:
    method: the detector.
    mesh: devices.
    options: what forgeries are like.
  """

  method: Method
  mesh: jax.sharding.Mesh
  options: SelfBlending
  _compiled: Callable = dataclasses.field(init=False, repr=False)

  def __post_init__(self):
    object.__setattr__(self, "_compiled", jax.jit(self._predict, out_shardings=replicated(self.mesh)))

  def __call__(
    self, variables: Any, clips: jax.Array, landmarks: jax.Array, tracks: jax.Array, forged: jax.Array
  ) -> jax.Array:
    """Probability of "fake" `[B]`.

    Args:
      variables: of the model.
      clips: uint8 `[B, (U,) T, H, W, 3]`, real.
      landmarks: float32 `[B, (U,) T, P, 2]`.
      tracks: int `[B]`, number of each clip's track: what its forgery is drawn from.
      forged: bool `[B]`, which clips are to be scored forged.
    """
    return self._compiled(variables, clips, landmarks, tracks, forged)

  def _predict(self, variables, clips, landmarks, tracks, forged):
    options = dataclasses.replace(self.options, swap=0.0)
    joined = clips.reshape(clips.shape[0], -1, *clips.shape[-3:])
    points = landmarks.reshape(clips.shape[0], -1, *landmarks.shape[-2:])
    keys = jax.vmap(lambda i: jax.random.fold_in(jax.random.key(_SEED), i))(tracks)
    made = forgeries(keys, joined, points, options)
    chosen = jnp.where(forged[:, None, None, None, None], made.forged, made.real)
    post = jax.vmap(lambda k, c: self_blending.post_process(jax.random.fold_in(k, 1), c, options))
    return self.method.predict(variables, post(keys, chosen).reshape(clips.shape))


def twin(track: Track) -> Track:
  """What a score file would call the forgery of a track."""
  return dataclasses.replace(
    track, video_id=f"{track.video_id}/{SELF_MADE}", label=1, manipulation=SELF_MADE, sha256=""
  )
