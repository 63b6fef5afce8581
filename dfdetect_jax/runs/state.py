"""Everything that a run carries from one step to the next."""

from collections.abc import Sequence
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax

from dfdetect_jax.methods.method import Method


def path_name(path: Sequence) -> str:
  """Name of a leaf of a nested dict, e.g. "ste/unit0/spatial0/mlp/fc1/kernel"."""
  return "/".join(str(getattr(key, "key", key)) for key in path)


class Progress(flax.struct.PyTreeNode):
  """What validation has said so far; part of the state, so that a resumed run selects as an uninterrupted one.

  Attributes:
    best: best validation metric, -inf before the first validation.
    best_step: step at which it was reached, 0 before.
    bad_evals: validations in a row without a new best (since the last cut of the learning rate).
    rate_scale: factor on the learning rate (`plateau` schedule), 1 otherwise.
  """

  best: jax.Array
  best_step: jax.Array
  bad_evals: jax.Array
  rate_scale: jax.Array


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
    progress=Progress(
      best=jnp.array(-jnp.inf, jnp.float32),
      best_step=jnp.zeros((), jnp.int32),
      bad_evals=jnp.zeros((), jnp.int32),
      rate_scale=jnp.ones((), jnp.float32),
    ),
  )
