"""A detector that compiles in no time, for tests of the loop, its programs and its faults.

It has all that the loop must carry: dropout, BatchNorm, a teacher, triplets if asked. It is a detector from outside the
package: `config.method` names this module, and nothing in the package knows of it. Run as a program it passes its
arguments on, so that real processes can train and evaluate it without importing torch (which tensorboardX would do
where it is installed, a third of the start):

  python tests/toy_method.py train --config=tests/toy_method.py --workdir=… --data=…
"""

import dataclasses
import sys

import flax.linen as nn
import jax
import jax.numpy as jnp

from dfdetect_jax.methods.method import ClipSpec, Method
from dfdetect_jax.runs.config import base_config, variant


class Toy(nn.Module):
  """Frame differences, pooled; two dense layers."""

  width: int = 16
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, clips, train: bool = False):
    x = clips.astype(self.dtype) / jnp.asarray(128, self.dtype)
    x = jnp.abs(jnp.diff(x, axis=-4))
    x = x.reshape(*x.shape[:-3], 4, x.shape[-3] // 4, 4, x.shape[-2] // 4, 3).mean(axis=(-6, -4, -2))
    x = x.reshape(x.shape[0], -1)
    # No bias: before BatchNorm its gradient is rounding noise, which Adam would blow up to full steps.
    x = nn.Dense(self.width, use_bias=False, dtype=self.dtype)(x)
    x = nn.BatchNorm(use_running_average=not train, momentum=0.9, epsilon=1e-5, dtype=self.dtype)(x)
    x = nn.Dropout(0.1, deterministic=not train)(nn.relu(x))
    return {"logit": nn.Dense(1, dtype=self.dtype)(x)[:, 0].astype(jnp.float32)}


def checksum(batch) -> jax.Array:
  """A float32 integer that changes with any pixel of any clip of a batch, and with the order of its rows."""
  total = jnp.uint32(0)
  for name in sorted(batch):
    rows = batch[name].astype(jnp.uint32).reshape(len(batch[name]), -1)
    place = (jnp.arange(rows.size, dtype=jnp.uint32) * jnp.uint32(2654435761)).reshape(rows.shape)
    total += jnp.sum((rows + jnp.uint32(1)) * place, dtype=jnp.uint32)  # modulo 2^32: exact in any order
  return (total >> 8).astype(jnp.float32)


@dataclasses.dataclass(frozen=True)
class ToyMethod(Method):
  """The plain detector on clips; on triplets, the anchor is real and the forged clip is not.

  Its metric `batch` is the checksum of what the step was given.
  """

  def loss(self, params, model_state, teacher, batch, rng):
    given = checksum(batch)
    if "anchor" in batch:
      clips = jnp.stack([batch["anchor"], batch["forged"]], axis=1).reshape(-1, *batch["anchor"].shape[1:])
      batch = {"clip": clips, "label": jnp.tile(jnp.array([0, 1]), batch["anchor"].shape[0])}
    loss, (metrics, new_state) = super().loss(params, model_state, teacher, batch, rng)
    return loss, ({**metrics, "batch": given}, new_state)


def build(config) -> Method:
  """Builds the toy from a config."""
  return ToyMethod(
    model=Toy(**config.model, dtype=jnp.dtype(config.dtype)), clip_spec=ClipSpec(**config.clips), **config.objective
  )


def get_config(arg: str | None = None):
  """Twenty steps; the variant `triplet` trains on triplets."""
  config = base_config()
  config.method = "toy_method"
  config.model.width = 16
  config.objective.ema_decay = 0.99
  config.objective.evaluate_teacher = True
  config.clips.frames = 4
  config.clips.size = 16
  config.clips.train_clips = 2
  config.clips.test_clips = 2
  config.clips.example = "clip"
  config.batch_size = 8
  config.eval_batch_size = 8
  config.total_steps = 20
  config.eval_every = 10
  config.checkpoint_every = 5
  config.log_every = 5
  config.workers = 0
  config.optimizer.learning_rate = 1e-2
  config.optimizer.weight_decay = 0.1
  return variant(config, arg, {"triplet": {"clips.example": "triplet"}})


if __name__ == "__main__":
  import importlib

  sys.modules["torch"] = None
  importlib.import_module("tensorboardX")
  del sys.modules["torch"]
  program = importlib.import_module(f"dfdetect_jax.{sys.argv[1]}")
  if sys.argv[1] == "train":
    program.main(sys.argv[1:])
  else:
    program.main(sys.argv[2:])
