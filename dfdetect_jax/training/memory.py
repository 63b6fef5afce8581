"""What a training step needs of each device's memory, by shapes alone: no device, no compilation.

XLA's own account (`--dry-run`) is of the backend at hand, and a CPU's says little of a GPU's: it undoes
rematerialisation. Here the parts are added up that any backend must hold at the turn from forward to backward:

    state + gradient + batch + what autodiff keeps of the forward pass + the largest block that is recomputed

Fusion and reuse make the truth smaller, workspace of convolutions and fragmentation larger (`ROOM`).
"""

import dataclasses
import functools
import json
import math
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections

from dfdetect_jax import methods
from dfdetect_jax.errors import UserError
from dfdetect_jax.training.optimizers import make_optimizer

ROOM = 1.1  # for workspace and fragmentation
SIZES = (8, 11, 12, 16, 24, 32, 40, 48, 64, 80, 96, 141, 192)  # GiB that accelerators have


@dataclasses.dataclass(frozen=True)
class Memory:
  """Bytes on each device.

  Attributes:
    state: parameters, teacher, optimizer, statistics.
    gradient: of the parameters.
    batch: uint8 clips.
    kept: activations that autodiff keeps.
    block: activations of the largest block that is recomputed, 0 where none is.
  """

  state: int
  gradient: int
  batch: int
  kept: int
  block: int

  @property
  def total(self) -> int:
    """All of it, with room for workspace."""
    return round(ROOM * (self.state + self.gradient + self.batch + self.kept + self.block))

  def fits(self, gib: float) -> bool:
    """Whether it fits into a device of so many GiB, of which a program gets 94 %."""
    return self.total <= 0.94 * gib * 2**30

  def __str__(self) -> str:
    parts = (
      (self.state + self.gradient, "state and gradient"),
      (self.kept, "activations"),
      (self.block, "recomputing"),
    )
    listed = " + ".join(f"{n / 2**30:.1f} {name}" for n, name in parts if n)
    return f"{self.total / 2**30:.1f} GiB ({listed})"


def device_size(memory: Memory) -> str:
  """`fits in 24 GiB`, the smallest usual device."""
  gib = next((size for size in SIZES if memory.fits(size)), None)
  return f"fits in {gib} GiB" if gib else f"fits in no usual device ({SIZES[-1]} GiB)"


def estimate(config: ml_collections.ConfigDict, devices: int = 1) -> Memory:
  """What a step needs of each of some devices, `config.mesh.fsdp` of which share the state.

  Raises:
    UserError: the devices do not divide the batch, or the parts into which it is cut.
  """
  fsdp = config.mesh.fsdp
  check_rows(config, devices)
  rows = config.batch_size // devices
  fields = {name: config[name].to_dict() for name in ("model", "objective", "clips", "optimizer")}
  fields |= {name: config[name] for name in ("method", "dtype", "remat")}
  state, gradient, kept, block = _parts(json.dumps(fields), _Given(config), rows // config.accumulate)
  # Leaves too small to be cut stay whole; they are a thousandth of the state.
  shared = lambda size: -(-size // fsdp)  # noqa: E731
  gradients = 2 if config.accumulate > 1 else 1  # the sum, and the part's
  return Memory(shared(state), gradients * shared(gradient), rows * _clip_bytes(config), kept, block)


def check_rows(config: ml_collections.ConfigDict, devices: int) -> None:
  """Refuses batches that leave devices without work.

  Raises:
    UserError: the devices do not divide the batch, or each of the parts that `accumulate` cuts it into.
  """
  size, parts = config.batch_size, config.accumulate
  if size % devices:
    raise UserError(
      f"batch_size={size} cannot be cut into equal parts for {devices} devices: take a multiple (and scale the "
      "learning rate with it, or with its root for Adam), or fewer devices."
    )
  if size % parts or size // parts % devices:
    raise UserError(
      f"accumulate={parts} cuts batch_size={size} into parts of {size / parts:g} examples, which {devices} devices "
      f"cannot share equally: accumulate={max(1, size // devices)} is the most that they can."
    )


@dataclasses.dataclass(frozen=True)
class _Given:
  """A config that a cache does not compare: the key beside it says all that counts."""

  config: ml_collections.ConfigDict = dataclasses.field(compare=False)

  def __hash__(self):
    return 0


def _clip_bytes(config: ml_collections.ConfigDict) -> int:
  spec = methods.build(config).clip_spec
  clips = 4 if spec.example == "triplet" else 1
  return clips * math.prod(spec.shape(train=True))


@functools.lru_cache(maxsize=512)
def _parts(key: str, given: _Given, rows: int) -> tuple[int, int, int, int]:
  """Bytes of the state, of a gradient, of what is kept for so many examples, and of the largest recomputed block."""
  del key
  config = given.config
  method = methods.build(config)
  rng = jax.eval_shape(lambda: jax.random.key(0))
  variables = dict(jax.eval_shape(method.init, rng))
  params = variables.pop("params")
  optimizer, _ = make_optimizer(config.optimizer, params, 1)
  teacher = params if method.ema_decay is not None else None
  state = _bytes((params, variables, teacher, jax.eval_shape(optimizer.init, params)))
  clip = jax.ShapeDtypeStruct((rows, *method.clip_spec.shape(train=True)), jnp.uint8)
  if method.clip_spec.example == "triplet":
    batch = dict.fromkeys(("anchor", "positive", "negative", "forged"), clip)
  else:
    batch = {"clip": clip, "label": jax.ShapeDtypeStruct((rows,), jnp.int32)}

  def loss(p, s, t, b, k):
    return method.loss(p, s, t, b, k)[0]

  def backward(p, *rest):
    return jax.tree.leaves(jax.vjp(lambda p: loss(p, *rest), p)[1])

  arguments = (params, variables, teacher, batch, rng)
  kept = _made(jax.make_jaxpr(backward)(*arguments).jaxpr)
  block = 0
  if config.remat:
    block = max((_recomputed(e) for e in _checkpoints(jax.make_jaxpr(loss)(*arguments).jaxpr)), default=0)
  return state, _bytes(params), kept, block


def _made(jaxpr: Any) -> int:
  """Bytes of the results of a jaxpr that are not its arguments: of what a pullback keeps, all but parameters and batch.

  (A pullback is a pytree whose leaves are what it keeps.)
  """
  given = {id(v) for v in (*jaxpr.invars, *jaxpr.constvars)}
  made = {id(v): v.aval for v in jaxpr.outvars if not hasattr(v, "val")}  # literals have one
  return sum(_size(aval) for key, aval in made.items() if key not in given)


def _checkpoints(jaxpr: Any) -> list[Any]:
  """The equations of a jaxpr, and of those inside it, that are recomputed in the backward pass."""
  found = []
  for equation in jaxpr.eqns:
    if equation.primitive.name in ("checkpoint", "remat2", "remat"):
      found.append(equation)
      continue
    for value in equation.params.values():
      inner = getattr(value, "jaxpr", value)
      if hasattr(inner, "eqns"):
        found += _checkpoints(inner)
  return found


def _recomputed(equation: Any) -> int:
  """Bytes that autodiff keeps while it goes back through one recomputed block."""
  jaxpr = equation.params["jaxpr"]
  inputs = [jax.ShapeDtypeStruct(v.aval.shape, v.aval.dtype) for v in equation.invars]
  moving = [i for i, v in enumerate(inputs) if jnp.issubdtype(v.dtype, jnp.floating)]

  def backward(*values):
    def run(*floats):
      merged = list(values)
      for place, value in zip(moving, floats):
        merged[place] = value
      return jax.core.eval_jaxpr(jaxpr, (), *merged)

    return jax.tree.leaves(jax.vjp(run, *(values[i] for i in moving))[1])

  return _made(jax.make_jaxpr(backward)(*inputs).jaxpr)


def _bytes(tree: Any) -> int:
  return sum(_size(leaf) for leaf in jax.tree.leaves(tree))


def _size(leaf: Any) -> int:
  if not hasattr(leaf, "shape") or jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
    return 0
  return leaf.size * jnp.dtype(leaf.dtype).itemsize
