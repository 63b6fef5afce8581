"""Everything that a run carries from one step to the next."""

from collections.abc import Sequence
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax

from dfdetect_jax.devices.mesh import state_sharding
from dfdetect_jax.methods.method import Method


def path_name(path: Sequence) -> str:
  """Name of a leaf of a nested dict, e.g. "ste/unit0/spatial0/mlp/fc1/kernel"."""
  return "/".join(str(getattr(key, "key", key)) for key in path)


class Progress(flax.struct.PyTreeNode):
  """What validation has said so far; part of the state, so that a resumed run selects as an uninterrupted one.

  Attributes:
    best: best validation metric, -inf before the first validation.
    best_loss: log-loss on the validation videos at that step, inf before.
    best_step: step at which it was reached, 0 before.
    bad_evals: validations in a row without a new best (since the last cut of the learning rate).
    rate_scale: factor on the learning rate (`plateau` schedule), 1 otherwise.
  """

  best: jax.Array | np.floating
  best_loss: jax.Array | np.floating
  best_step: jax.Array | np.integer
  bad_evals: jax.Array | np.integer
  rate_scale: jax.Array | np.floating

  @classmethod
  def start(cls) -> "Progress":
    """Before the first validation, as host values."""
    return cls(np.float32(-np.inf), np.float32(np.inf), np.int32(0), np.int32(0), np.float32(1))

  def judged(
    self, step: int, value: float | None, log_loss: float | None, patience: int = 0, factor: float = 1.0
  ) -> tuple["Progress", bool]:
    """Notes a validation: is it the best so far, and has it stopped improving?

    Accuracies of some hundred videos tie often, and then the step of lower log-loss is the better one; of steps that
    tie in both the last is kept, never the first, but it counts as no improvement.

    Args:
      step: that was validated.
      value: the metric that selects, None where it is undefined: never the best.
      log_loss: of the same scores, None where it is undefined.
      patience: after so many validations in a row without an improvement the rate is cut; 0 never cuts it.
      factor: by which.

    Returns:
      The new progress, and whether the step's weights are to be kept as the best.
    """
    loss = np.float32(np.inf if log_loss is None else log_loss)
    now = (np.float32(-np.inf if value is None else value), -loss)
    before = (np.float32(self.best), -np.float32(self.best_loss))
    kept = value is not None and now >= before
    bad = 0 if kept and now > before else int(self.bad_evals) + 1
    scale = np.float32(self.rate_scale)
    if patience and bad >= patience:
      bad, scale = 0, np.float32(scale * factor)
    progress = self.replace(bad_evals=np.int32(bad), rate_scale=scale)
    return (progress.replace(best=now[0], best_loss=loss, best_step=np.int32(step)) if kept else progress), kept


class TrainState(flax.struct.PyTreeNode):
  """State of a run after `step` optimizer steps.

  The position in the data is `step` itself: batch s is a pure function of s. So is the randomness of step s.

  Attributes:
    step: int32 scalar.
    params: parameters, float32.
    model_state: the model's other collections (`batch_stats`), float32.
    teacher: moving average of `params` in float32, None where the method keeps none.
    opt_state: of the optimizer.
    progress: see `Progress`.
  """

  step: jax.Array
  params: Any
  model_state: Any
  teacher: Any
  opt_state: Any
  progress: Progress

  def evaluated(self, method: Method) -> dict[str, Any]:
    """Variables that `method` wants evaluated: the teacher's or the student's."""
    params = self.teacher if method.evaluate_teacher and self.teacher is not None else self.params
    return {"params": params, **self.model_state}


def init_state(method: Method, optimizer: optax.GradientTransformation, rng: jax.Array, variables=None) -> TrainState:
  """State before the first step.

  Args:
    method: the detector.
    optimizer: its optimizer.
    rng: key of the initialisation.
    variables: start from these instead of random ones.
  """
  variables = dict(variables or method.init(rng))
  params = variables.pop("params")
  return TrainState(
    step=jnp.zeros((), jnp.int32),
    params=params,
    model_state=variables,
    # A copy: donated buffers must not be named twice.
    teacher=jax.tree.map(jnp.copy, params) if method.ema_decay is not None else None,
    opt_state=optimizer.init(params),
    progress=jax.tree.map(jnp.asarray, Progress.start()),
  )


def abstract_state(method: Method, optimizer: optax.GradientTransformation, mesh: jax.sharding.Mesh) -> TrainState:
  """Shapes, dtypes and shardings of a method's state on a mesh; nothing is computed."""
  state = jax.eval_shape(lambda: init_state(method, optimizer, jax.random.key(0)))
  shapes = lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s)  # noqa: E731
  return jax.tree.map(shapes, state, state_sharding(mesh, state))
