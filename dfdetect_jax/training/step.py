"""One training step: loss, gradient, update, teacher."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from dfdetect_jax.errors import UserError
from dfdetect_jax.methods.method import Method
from dfdetect_jax.runs.state import TrainState

_PREPARE = 0x0F0E  # folded into a step's key: what is prepared takes nothing from the objective's randomness
StepFn = Callable[[TrainState, dict[str, jax.Array], jax.Array], tuple[TrainState, dict[str, jax.Array]]]


def make_train_step(
  method: Method,
  optimizer: optax.GradientTransformation,
  accumulate: int = 1,
  skip_nonfinite: bool = False,
  prepare: Callable[[jax.Array, dict[str, jax.Array]], dict[str, jax.Array]] | None = None,
  trained: Any = None,
) -> StepFn:
  """Builds the step as a pure function; the loop compiles it with its shardings.

  Args:
    method: the detector.
    optimizer: its optimizer.
    accumulate: the batch is cut into so many equal parts whose gradients are averaged. Losses that compare examples
      and batch statistics then see one part at a time.
    skip_nonfinite: a step whose loss or gradient is NaN or infinite leaves everything but the step count as it was.
    prepare: (key, batch of the loader) -> batch of the method's objective, where they differ: forgeries are made so.
    trained: tree of bools like the parameters; the others' gradients are 0 and cost nothing. None trains all.

  Returns:
    (state, batch, key of the run) -> (new state, scalar metrics). Metrics are `loss`, `grad_norm` and the method's own.
  """

  def gradient(params, model_state, teacher, batch, rng):
    if prepare is not None:
      batch = prepare(jax.random.fold_in(rng, _PREPARE), batch)

    def objective(params):
      if trained is not None:
        params = jax.tree.map(lambda p, yes: p if yes else jax.lax.stop_gradient(p), params, trained)
      return method.loss(params, model_state, teacher, batch, rng)

    (loss, (metrics, new_state)), grads = jax.value_and_grad(objective, has_aux=True)(params)
    return grads, {"loss": loss, **metrics}, new_state

  def accumulated(params, model_state, teacher, batch, rng):
    def part(carry, i):
      grads, metrics, model_state = carry
      rows = jax.tree.map(lambda x: x[:, i], parts)
      new_grads, new_metrics, model_state = gradient(params, model_state, teacher, rows, jax.random.fold_in(rng, i))
      return (*jax.tree.map(jnp.add, (grads, metrics), (new_grads, new_metrics)), model_state), None

    size = jax.tree.leaves(batch)[0].shape[0]
    if size % accumulate:
      raise UserError(f"accumulate={accumulate} does not cut batch_size={size} into equal parts.")
    # Part i takes every n-th row, so that each device cuts up its own rows and nothing is sent around.
    parts = jax.tree.map(lambda x: x.reshape(size // accumulate, accumulate, *x.shape[1:]), batch)
    first = gradient(params, model_state, teacher, jax.tree.map(lambda x: x[:, 0], parts), jax.random.fold_in(rng, 0))
    # In a loop XLA takes tens of times as long for convolutions' gradients on a CPU: there each part is written out.
    unroll = 0 if jax.default_backend() == "cpu" else 1
    (grads, metrics, model_state), _ = jax.lax.scan(part, first, jnp.arange(1, accumulate), unroll=unroll)
    return *jax.tree.map(lambda x: x / accumulate, (grads, metrics)), model_state

  def train_step(state, batch, run_key):
    rng = jax.random.fold_in(run_key, state.step)
    grads, metrics, model_state = (gradient if accumulate == 1 else accumulated)(
      state.params, state.model_state, state.teacher, batch, rng
    )
    updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
    updates = jax.tree.map(lambda u: state.progress.rate_scale * u, updates)
    params = optax.apply_updates(state.params, updates)
    teacher = state.teacher
    if teacher is not None:
      assert method.ema_decay is not None, "no teacher without it"
      teacher = optax.incremental_update(params, teacher, 1 - method.ema_decay)
    metrics["grad_norm"] = optax.tree.norm(grads)
    new_state = state.replace(params=params, model_state=model_state, teacher=teacher, opt_state=opt_state)
    if skip_nonfinite:
      finite = jnp.isfinite(metrics["loss"]) & jnp.isfinite(metrics["grad_norm"])
      new_state = jax.tree.map(lambda new, old: jnp.where(finite, new, old), new_state, state)
    return new_state.replace(step=state.step + 1), metrics

  return train_step
