"""The training loop, the same for every method.

The order in which things happen is part of what makes a run repeatable:

1. The config is compared with the workdir's, so that a run cannot go on as another one.
2. The state is initialised (or taken from `config.init`), then replaced by the latest checkpoint if there is one.
3. Batches start at the state's step; metrics written after it by an interrupted run are forgotten.
4. At each step: update, then log, then validate, then checkpoint. A checkpoint therefore holds all that validation at
   its own step decided, and a run that goes on from it never validates twice with different outcomes.
"""

import math
import pathlib
import shutil

import jax
import ml_collections
import numpy as np

from dfdetect_jax import methods
from dfdetect_jax.data.loader import examples, long_enough, train_batches
from dfdetect_jax.errors import UserError
from dfdetect_jax.evaluation.evaluator import make_predictor, score_split
from dfdetect_jax.evaluation.metrics import summarise
from dfdetect_jax.schema import DATASET_FILE, read_tracks
from dfdetect_jax.training import run_config
from dfdetect_jax.training.checkpoints import CHECKPOINTS, Checkpoints
from dfdetect_jax.training.metrics_writer import MetricsWriter
from dfdetect_jax.training.optimizers import make_optimizer
from dfdetect_jax.training.preemption import Preempted, StopSignal
from dfdetect_jax.training.progress import ProgressLine
from dfdetect_jax.training.sharding import batch_sharding, make_mesh, replicated, state_sharding
from dfdetect_jax.training.state import TrainState, init_state
from dfdetect_jax.training.step import make_train_step


class Diverged(UserError):
  """The loss is not a number any more."""


def train_and_evaluate(config: ml_collections.ConfigDict, workdir: str | pathlib.Path) -> TrainState:
  """Trains a method, going on from the workdir's latest checkpoint if there is one.

  Args:
    config: see `dfdetect_jax.training.config.base_config`.
    workdir: folder of the run: config.json, metrics.jsonl, tensorboard/, checkpoints/, best/.

  Returns:
    The state after the last step.

  Raises:
    UserError: something in the config, data or workdir is wrong.
    Diverged: the loss became NaN or infinite.
    Preempted: SIGTERM arrived; the state was saved.
  """
  lead = jax.process_index() == 0
  workdir = pathlib.Path(workdir)
  say = print if lead else lambda *_, **__: None

  # Mesh, method, data.
  mesh = make_mesh(config.mesh)
  method = methods.build(config)
  spec = method.clip_spec
  tracks, short = long_enough(read_tracks(config.data, "train"), spec)
  epoch = len(examples(tracks, spec, config.unpaired))
  total_steps = config.total_steps or math.ceil(config.epochs * epoch / config.batch_size)
  if total_steps <= 0:
    raise UserError("the run has no length: set config.total_steps or config.epochs.")
  validate = any(t.split == "val" and t.frames >= spec.frames for t in read_tracks(config.data))
  rows = batch_sharding(mesh, config.batch_size)
  batch_sharding(mesh, config.eval_batch_size, "eval_batch_size")
  _claim_workdir(workdir, config, lead)
  if lead:  # how faces were found and cut: prediction must do the same to a new video
    shutil.copyfile(pathlib.Path(config.data) / DATASET_FILE, workdir / DATASET_FILE)

  # State.
  key = jax.random.key(config.seed)
  init_key, run_key = jax.random.split(key)
  shapes = jax.eval_shape(method.init, init_key)
  optimizer, schedule = make_optimizer(config.optimizer, shapes["params"], total_steps)
  make_state = lambda variables: init_state(method, optimizer, init_key, variables)  # noqa: E731
  variables = _initial_variables(config, method, shapes)
  abstract = jax.eval_shape(make_state, variables)
  sharding = state_sharding(mesh, abstract)
  abstract = jax.tree.map(lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s), abstract, sharding)
  checkpoints = Checkpoints(workdir, config.checkpoint_keep)
  state = checkpoints.restore(abstract)
  resumed = state is not None
  if state is None:
    state = jax.jit(make_state, out_shardings=sharding)(variables)
  step = int(state.step)
  parameters = sum(x.size for x in jax.tree.leaves(state.params))
  say(
    f"{config.method}: {parameters:,} parameters, {mesh.size} x {jax.devices()[0].device_kind} "
    f"(data {mesh.shape['data']}, fsdp {mesh.shape['fsdp']}); {len(tracks)} training tracks"
    + (f" ({len(short)} left out, shorter than {spec.frames} frames)" if short else "")
    + f", {epoch} examples an epoch; "
    + (f"goes on at step {step} of {total_steps}." if resumed else f"{total_steps} steps.")
  )

  # Compiled once; the state is donated, so that old and new never lie side by side.
  train_step = jax.jit(
    make_train_step(method, optimizer, config.accumulate),
    in_shardings=(sharding, rows, replicated(mesh)),
    out_shardings=(sharding, replicated(mesh)),
    donate_argnums=0,
  )
  predict = make_predictor(method, mesh)

  def evaluate(state: TrainState) -> dict[str, float]:
    scores = score_split(
      predict, state.evaluated(method), method, config.data, "val", mesh=mesh, batch_size=config.eval_batch_size,
      over_tracks=config.tracks, workers=config.workers, prefetch=config.prefetch, progress=False,
    )  # fmt: skip
    figures = summarise(scores)["overall"]["video"]
    return {name: value for name, value in figures.items() if isinstance(value, float)}

  writer = MetricsWriter(workdir, step, active=lead)
  progress = ProgressLine(step, total_steps, config.batch_size * (4 if spec.example == "triplet" else 1))
  pending: list[tuple[int, dict[str, jax.Array]]] = []

  def settle() -> dict[str, float]:
    """Fetches the metrics of the steps since the last time; stops at the first that is not finite."""
    fetched = [(s, {k: float(v) for k, v in m.items()}) for s, m in jax.device_get(pending)]
    pending.clear()
    for s, metrics in fetched:
      if not all(np.isfinite(v) for v in (metrics["loss"], metrics["grad_norm"])):
        last = checkpoints.latest()
        saved = f"the last good checkpoint is {workdir / CHECKPOINTS / str(last)}" if last else "nothing was saved yet"
        raise Diverged(
          f"the loss is {metrics['loss']} (gradient norm {metrics['grad_norm']}) at step {s}; {saved}. Lower "
          "optimizer.learning_rate, lengthen its warm-up, or set optimizer.clip_norm."
        )
    progress.losses += [metrics["loss"] for _, metrics in fetched]
    return fetched[-1][1] if fetched else {}

  batches = train_batches(
    config.data, tracks, spec, batch_size=config.batch_size, seed=config.seed, steps=range(step, total_steps), sharding=rows,
    unpaired=config.unpaired, workers=config.workers, prefetch=config.prefetch,
  )  # fmt: skip
  with StopSignal() as stop:
    try:
      while step < total_steps:
        batch = progress.waiting(batches)
        state, metrics = train_step(state, batch, run_key)
        step += 1
        pending.append((step, metrics))
        last = step == total_steps
        stopped = stop.requested(step)
        save = last or stopped or step % config.checkpoint_every == 0

        if step % config.log_every == 0 or last:
          scalars = settle()
          scalars["learning_rate"] = float(schedule(step - 1)) * float(state.progress.rate_scale)
          speed = progress.line(step, scalars, say)
          writer.write(step, {f"train/{k}": v for k, v in scalars.items()} | speed)

        if validate and (last or (config.eval_every and step % config.eval_every == 0)):
          settle()
          with progress.paused():
            figures = evaluate(state)
            writer.write(step, {f"val/{k}": v for k, v in figures.items()})
            state, improved = _judge(state, step, figures.get(config.select_metric), config.optimizer, sharding)
            if improved:
              checkpoints.save_best(state)
            shown = "  ".join(f"{k} {v:.4f}" for k, v in figures.items())
            say(f"step {step}  validation  {shown}{'  (best so far)' if improved else ''}", flush=True)

        if save:
          settle()
          with progress.paused():
            checkpoints.save(state)
        if stopped and not last:
          checkpoints.wait()
          say(f"told to stop: saved step {step}; the same command goes on from there.", flush=True)
          raise Preempted
    finally:
      batches.close()
      checkpoints.wait()
      checkpoints.close()
      writer.close()
  return state


def _judge(state, step, value, optimizer, sharding):
  """Notes a validation result: is it the best, and has it stopped improving?"""
  progress = jax.device_get(state.progress)
  improved = value is not None and value > progress.best
  bad = 0 if improved else int(progress.bad_evals) + 1
  scale = float(progress.rate_scale)
  if optimizer.schedule == "plateau" and bad >= optimizer.plateau_patience:
    bad, scale = 0, scale * optimizer.plateau_factor
  progress = progress.replace(
    best=np.float32(value) if improved else progress.best,
    best_step=np.int32(step) if improved else progress.best_step,
    bad_evals=np.int32(bad),
    rate_scale=np.float32(scale),
  )
  return state.replace(progress=jax.device_put(progress, sharding.progress)), improved


def _claim_workdir(workdir: pathlib.Path, config: ml_collections.ConfigDict, lead: bool) -> None:
  """Makes the workdir, or checks that the run in it is this one."""
  if (workdir / run_config.CONFIG_FILE).exists():
    run_config.check_same_run(workdir, config)
  if lead:
    try:
      workdir.mkdir(parents=True, exist_ok=True)
      run_config.save_config(workdir, config)
    except OSError as error:
      raise UserError(
        f"the workdir {workdir} cannot be written ({error.strerror}): choose another --workdir."
      ) from error


def _initial_variables(config: ml_collections.ConfigDict, method: methods.Method, shapes):
  """Weights to start from, None for random ones."""
  if not config.init:
    return None
  from dfdetect_jax import interop  # only runs that start from converted weights need it

  return interop.initial_variables(config.init, method, shapes, jax.random.key(config.seed))
