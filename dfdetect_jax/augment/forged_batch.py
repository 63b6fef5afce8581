"""Turns a batch of real clips into the batch that a method trains on, half of it forged, on the device.

A step ahead of any method's objective: what comes out has the names and shapes that examples with given forgeries
have, so no method knows where its forgeries are from.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float32, Key, Real, Shaped, UInt8

from dfdetect_jax.augment import self_blending
from dfdetect_jax.augment.self_blending import Forgery, SelfBlending

LANDMARKS_OF = "landmarks of "  # name of a clip's landmarks in a batch: this and the clip's name
BOUNDARY = "boundary"  # name of the map of where clips are blended, in [0, 1]
UNKNOWN = -1.0  # in its place


def forged_batch(
  key: Key[Array, ""], batch: Mapping[str, Shaped[Array, " B *_"]], options: SelfBlending, boundary: bool = False
) -> dict[str, Shaped[Array, " rows *_"]]:
  """Makes the forgeries of a batch.

  Args:
    key: of this step.
    batch: uint8 clips `[B, (U,) T, H, W, 3]` by name, the landmarks `[B, (U,) T, P, 2]` of those that may be forged,
      and `forge` bool `[B]`, where not all are: the others are forged by somebody else already.
      Of a `clip` example: `clip`, real; and `given`, a forged clip, where there is `forge`.
      Of a `triplet` example: `anchor` and `positive`, real; `negative` and `forged`, to be forged where `forge` says.
    options: see `SelfBlending`.
    boundary: also give where faces are blended, of `clip` examples.

  Returns:
    Of `clip` examples `clip` uint8 `[2B, …]`, real and forged ones in turn (so that however it is cut into shards each
    holds as many of both), and `label` int32 `[2B]`; of `triplet` examples the four clips. The U snippets of an example
    are forged as one clip. With `boundary`, that too: float32 `[2B, (U,) T, H, W]`, 4m(1 − m) of the blend m (a pixel's
    share of the forged face), so 0 in real clips; `UNKNOWN` in all of a clip that somebody else forged.
  """
  clips = {n: _joined(c, 5) for n, c in batch.items() if n != "forge" and not n.startswith(LANDMARKS_OF)}
  landmarks = {n: _joined(batch[LANDMARKS_OF + n], 4) for n in clips if LANDMARKS_OF + n in batch}
  like = next(iter(clips))
  count, forge = clips[like].shape[0], batch.get("forge")
  draw_key, post_key = jax.random.split(key)
  keys = jax.random.split(draw_key, count)
  real, forged = [n for n in clips if n not in landmarks], list(landmarks)
  made = forgeries(
    keys, _one_after_another(clips, forged), _one_after_another(landmarks, forged).astype(jnp.float32), options
  )
  parts = [made.forged]
  if real:
    given = jax.vmap(lambda k, c: _real_part(k, c, options))(keys, _one_after_another(clips, real))
  if "clip" in clips:
    if forge is not None:
      parts = [jnp.where(_like(forge, made.forged), made.forged, given)]
    parts.insert(0, made.real)
  else:
    if forge is not None:
      parts = [jnp.where(_like(forge, made.forged), made.forged, made.real)]
    parts.insert(0, given)
  # One draw for all clips of a row, real or forged: frames are treated alike, so they can stand one after another.
  done = jax.vmap(lambda k, c: self_blending.post_process(k, c, options))(
    jax.random.split(post_key, count), jnp.concatenate(parts, axis=1)
  )
  if "clip" in clips:
    shape = (2 * count, *batch[like].shape[1:])
    examples = {"clip": done.reshape(shape), "label": jnp.tile(jnp.array([0, 1], jnp.int32), count)}
    if boundary:
      maps = 4 * made.mask * (1 - made.mask)
      if forge is not None:
        maps = jnp.where(_like(forge, maps), maps, UNKNOWN)
      examples[BOUNDARY] = jnp.stack([jnp.zeros_like(maps), maps], axis=1).reshape(shape[:-1])
    return examples
  pieces = jnp.split(done, len(clips), axis=1)
  return {name: piece.reshape(batch[name].shape) for name, piece in zip(real + forged, pieces, strict=True)}


def side_by_side(batch: Mapping[str, UInt8[Array, " B *clip"]]) -> dict[str, Shaped[Array, " 2*B *_"]]:
  """A batch of pairs, `clip` real and `given` forged, as `forged_batch` gives them: in turn, with `label`.

  >>> real, forged = (jnp.full((2, 1, 1, 1, 3), value, jnp.uint8) for value in (7, 9))
  >>> batch = side_by_side({"clip": real, "given": forged})
  >>> batch["clip"][:, 0, 0, 0, 0].tolist(), batch["label"].tolist()
  ([7, 9, 7, 9], [0, 1, 0, 1])
  """
  both = jnp.stack([batch["clip"], batch["given"]], axis=1)
  count = both.shape[0]
  return {"clip": both.reshape(2 * count, *both.shape[2:]), "label": jnp.tile(jnp.array([0, 1], jnp.int32), count)}


def forgeries(
  keys: Key[Array, " B"],
  clips: Real[Array, "B T H W 3"],
  landmarks: Float32[Array, "B T P 2"],
  options: SelfBlending,
) -> Forgery:
  """`self_blending.forge` of each row, with the next row's clip as the other one.

  Args:
    keys: `[B]`.
    clips: `[B, T, H, W, 3]`.
    landmarks: float32 `[B, T, P, 2]`.
    options: see `SelfBlending`.
  """
  others = (jnp.roll(clips, -1, axis=0), jnp.roll(landmarks, -1, axis=0)) if options.swap else ()

  def row(key: Array, clip: Array, *rest: Array) -> Forgery:
    points, *other = rest
    return self_blending.forge(self_blending.draw(key, clip.shape[0]), clip, points, options, *other)

  return jax.vmap(row)(keys, clips, landmarks, *others)


def _real_part(key: Array, clip: Array, options: SelfBlending) -> Array:
  return self_blending.real_part(self_blending.draw(key, clip.shape[0]), clip, options)


def _joined(array: Array, axes: int) -> Array:
  """`[B, U, T, …]`, one axis more than `axes`, as `[B, U·T, …]`."""
  return array.reshape(array.shape[0], -1, *array.shape[3:]) if array.ndim > axes else array


def _one_after_another(arrays: Mapping[str, Array], names: list[str]) -> Array:
  return jnp.concatenate([arrays[name] for name in names], axis=1)


def _like(flag: Array, array: Array) -> Array:
  return flag.reshape(-1, *(1 for _ in array.shape[1:]))
