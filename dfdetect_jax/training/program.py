"""What a run computes, by shapes alone: mesh, method, optimizer, state and the compiled step. No data is read here."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import ml_collections
import optax

from dfdetect_jax import methods
from dfdetect_jax.augment.forged_batch import forged_batch, side_by_side
from dfdetect_jax.augment.self_blending import SelfBlending
from dfdetect_jax.data.forgeries import Forgeries
from dfdetect_jax.devices.mesh import batch_sharding, make_mesh, replicated
from dfdetect_jax.runs.state import TrainState, abstract_state, init_state
from dfdetect_jax.training.memory import check_rows
from dfdetect_jax.training.optimizers import make_optimizer, rule_factors
from dfdetect_jax.training.step import StepFn, make_train_step


@dataclasses.dataclass(frozen=True)
class Program:
  """The computation of a run on given devices.

  Attributes:
    config: of the run.
    mesh: devices.
    method: the detector.
    optimizer, schedule: see `make_optimizer`.
    abstract: shapes, dtypes and shardings of the state.
    rows: sharding of a batch along its leading axis.
    run_key: key that the randomness of all steps follows from, whole on every device.
  """

  config: ml_collections.ConfigDict
  mesh: jax.sharding.Mesh
  method: methods.Method
  optimizer: optax.GradientTransformation
  schedule: optax.Schedule
  abstract: TrainState
  rows: jax.sharding.NamedSharding
  run_key: jax.Array

  @property
  def sharding(self) -> TrainState:
    """Shardings of the state."""
    return jax.tree.map(lambda x: x.sharding, self.abstract)

  def batch_shapes(self) -> dict[str, jax.ShapeDtypeStruct]:
    """Shapes, dtypes and shardings of a training batch."""
    shapes = forgeries_of(self.config).batch_shapes(self.method.clip_spec, self.config.batch_size)
    return {n: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=self.rows) for n, x in shapes.items()}

  @property
  def clips_per_step(self) -> int:
    """Clips that a step looks at, over all devices."""
    if self.method.clip_spec.example == "triplet":
      return 4 * self.config.batch_size
    pairs = forgeries_of(self.config).makes() or self.method.clip_spec.example == "pair"
    return (2 if pairs else 1) * self.config.batch_size

  def initial_state(self, variables: Any = None) -> TrainState:
    """The state before the first step, each part made where it belongs.

    Args:
      variables: of the model, to start from; None for random ones.
    """
    init = lambda v: init_state(self.method, self.optimizer, _keys(self.config)[0], v)  # noqa: E731
    return jax.jit(init, out_shardings=self.sharding)(variables)

  def step(self) -> StepFn:
    """The step as a pure function, the making of forgeries included."""
    prepare = None
    if forgeries_of(self.config).makes():
      forging = SelfBlending(**self.config.forging)
      boundary = self.method.boundary_weight > 0
      prepare = lambda key, batch: forged_batch(key, batch, forging, boundary)  # noqa: E731
    elif self.method.clip_spec.example == "pair":
      prepare = lambda _, batch: side_by_side(batch)  # noqa: E731
    skip = self.config.skip_nonfinite > 0
    rates = rule_factors(self.abstract.params, self.config.optimizer.rules)[1]
    trained = jax.tree.map(bool, rates)
    return make_train_step(self.method, self.optimizer, self.config.accumulate, skip, prepare, trained)

  def compile_step(self) -> jax.stages.Compiled:
    """Compiles the step for these devices: (state, batch, key) -> (state, metrics), the old state donated.

    Compiled ahead of time, it cannot compile again in the middle of a run: arguments of another shape are an error.
    """
    whole = replicated(self.mesh)
    jitted = jax.jit(
      self.step(),
      in_shardings=(self.sharding, self.rows, whole),
      out_shardings=(self.sharding, whole),
      donate_argnums=0,
    )
    return jitted.lower(self.abstract, self.batch_shapes(), self.run_key).compile()


def make_program(
  config: ml_collections.ConfigDict,
  total_steps: int,
  devices: Sequence[jax.Device] | None = None,
  method: methods.Method | None = None,
) -> Program:
  """Lays out a run on devices.

  Args:
    config: see `dfdetect_jax.runs.config.base_config`.
    total_steps: length of the run; schedules need it.
    devices: all devices of all processes if None.
    method: that `methods.build(config)` gives, where it has been built already.

  Raises:
    UserError: the config contradicts itself or does not fit the devices.
  """
  mesh = make_mesh(config.mesh, devices)
  method = method or methods.build(config)
  init_key, _ = _keys(config)
  shapes = jax.eval_shape(method.init, init_key)
  optimizer, schedule = make_optimizer(config.optimizer, shapes["params"], total_steps)
  check_rows(config, mesh.size)
  rows = batch_sharding(mesh, config.batch_size)
  # Keys cannot be put onto other processes' devices, but each process can make them there.
  run_key = jax.jit(lambda: _keys(config)[1], out_shardings=replicated(mesh))()
  return Program(config, mesh, method, optimizer, schedule, abstract_state(method, optimizer, mesh), rows, run_key)


def forgeries_of(config: ml_collections.ConfigDict) -> Forgeries:
  """Where a run's forgeries come from."""
  return Forgeries(config.forgeries, config.forging.landmarks)


def _keys(config: ml_collections.ConfigDict) -> tuple[jax.Array, jax.Array]:
  """Key of the initialisation, key of the steps."""
  return tuple(jax.random.split(jax.random.key(config.seed)))
