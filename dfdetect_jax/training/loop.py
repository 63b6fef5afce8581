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
import sys

import jax
import ml_collections
import numpy as np

from dfdetect_jax import methods
from dfdetect_jax.data.deadline import Deadline
from dfdetect_jax.data.loader import examples, long_enough, train_batches
from dfdetect_jax.data.videos import VideoSet, check_splits, select
from dfdetect_jax.devices import processes
from dfdetect_jax.devices.mesh import batch_sharding
from dfdetect_jax.errors import UserError
from dfdetect_jax.evaluation.evaluator import make_predictor, score_split
from dfdetect_jax.evaluation.metrics import summarise
from dfdetect_jax.evaluation.protocols import selection_metric
from dfdetect_jax.folders import as_folder, write_whole
from dfdetect_jax.runs import provenance, run_config
from dfdetect_jax.runs.checkpoints import CHECKPOINTS, Checkpoints
from dfdetect_jax.runs.state import TrainState
from dfdetect_jax.runs.trained_videos import write_trained_videos
from dfdetect_jax.schema import DATASET_FILE, read_tracks
from dfdetect_jax.training.metrics_writer import MetricsWriter
from dfdetect_jax.training.preemption import Preempted, StopSignal
from dfdetect_jax.training.profile import Trace
from dfdetect_jax.training.program import make_program
from dfdetect_jax.training.progress import ProgressLine
from dfdetect_jax.training.throughput import flops_per_step


class Diverged(UserError):
  """The loss is not a number any more."""


def train_and_evaluate(
  config: ml_collections.ConfigDict, workdir: str | pathlib.Path, profile: tuple[int, int] | None = None
) -> TrainState:
  """Trains a method, going on from the workdir's latest checkpoint if there is one.

  Args:
    config: see `dfdetect_jax.runs.config.base_config`.
    workdir: folder of the run: config.json, provenance.json, train_videos.csv, metrics.jsonl, tensorboard/,
      checkpoints/, best/.
    profile: first and last step of which a trace is written to `workdir/profile`.

  Returns:
    The state after the last step.

  Raises:
    UserError: something in the config, data or workdir is wrong.
    Diverged: the loss became NaN or infinite.
    Preempted: SIGTERM arrived; the state was saved.
  """
  lead = jax.process_index() == 0
  workdir = as_folder(workdir)
  say = print if lead else lambda *_, **__: None

  # Data, then mesh and method.
  select_metric = selection_metric(config.select_metric)
  spec = methods.build(config).clip_spec
  videos = VideoSet("config.videos", **config.videos)
  stored = read_tracks(config.data)
  everything = [t for t in stored if videos.holds(t)]
  for warning in check_splits(everything):
    say(f"WARNING: {warning}")
  tracks, short = long_enough(select(stored, videos, "train"), spec)
  epoch = len(examples(tracks, spec, config.unpaired))
  total_steps = config.total_steps or math.ceil(config.epochs * epoch / config.batch_size)
  if total_steps <= 0:
    raise UserError("the run has no length: set config.total_steps or config.epochs.")
  validate = any(t.split == "val" and t.frames >= spec.frames for t in everything)
  program = make_program(config, total_steps)
  mesh, method = program.mesh, program.method
  batch_sharding(mesh, config.eval_batch_size, "eval_batch_size")
  _claim_workdir(workdir, config, lead)
  if lead:
    write_trained_videos(workdir, everything)  # what no test of this run may hold

  # State, and the step: compiled once.
  checkpoints = Checkpoints(workdir, config.checkpoint_keep)
  state = checkpoints.restore(program.abstract)
  resumed = state is not None
  if state is None:
    state = program.initial_state(_initial_variables(config, method))
  step = int(state.step)
  session = provenance.Session(workdir, config, step)
  parameters = sum(x.size for x in jax.tree.leaves(state.params))
  say(
    f"{config.method}: {parameters:,} parameters, {mesh.size} x {jax.devices()[0].device_kind} "
    f"(data {mesh.shape['data']}, fsdp {mesh.shape['fsdp']}); {len(tracks)} training tracks"
    + (f" ({len(short)} left out, shorter than {spec.frames} frames)" if short else "")
    + f", {epoch} examples an epoch; "
    + (f"goes on at step {step} of {total_steps}." if resumed else f"{total_steps} steps."),
    flush=True,
  )
  train_step = program.compile_step()
  predict = make_predictor(method, mesh)

  def evaluate(state: TrainState) -> dict[str, float]:
    scores = score_split(
      predict, state.evaluated(method), method, config.data, "val", mesh=mesh, batch_size=config.eval_batch_size,
      over_tracks=config.tracks, prefetch=config.prefetch, videos=(videos,), progress=False,
    )  # fmt: skip
    figures = summarise(scores)["overall"]["video"]
    return {name: value for name, value in figures.items() if isinstance(value, float)}

  writer = MetricsWriter(workdir, step, active=lead)
  clips = config.batch_size * len(program.batch_shapes().keys() - {"label"})
  progress = ProgressLine(step, total_steps, clips, mesh.size, flops_per_step(train_step))
  pending: list[tuple[int, dict[str, jax.Array]]] = []
  unreadable: list[str] = []
  skipped = in_a_row = 0
  first = True

  def settle() -> dict[str, float]:
    """Fetches the metrics of the steps since the last time; stops at, or counts, those that are not finite."""
    nonlocal skipped, in_a_row
    fetched = [(s, {k: float(v) for k, v in m.items()}) for s, m in jax.device_get(pending)]
    pending.clear()
    for s, metrics in fetched:
      in_a_row = 0 if np.isfinite(metrics["loss"]) and np.isfinite(metrics["grad_norm"]) else in_a_row + 1
      if in_a_row > config.skip_nonfinite:
        last = checkpoints.latest()
        saved = f"the last good checkpoint is {workdir / CHECKPOINTS / str(last)}" if last else "nothing was saved yet"
        raise Diverged(
          f"the loss is {metrics['loss']} (gradient norm {metrics['grad_norm']}) at step {s}"
          + (f", the {in_a_row}th in a row" if in_a_row > 1 else "")
          + f"; {saved}. Lower optimizer.learning_rate, lengthen its warm-up, or set optimizer.clip_norm."
        )
      if in_a_row:
        skipped += 1
        say(f"WARNING: step {s} is not finite (loss {metrics['loss']}) and was skipped.", file=sys.stderr, flush=True)
      else:
        progress.losses.append(metrics["loss"])
    return fetched[-1][1] if fetched else {}

  def damaged(message: str) -> None:
    """Counts training clips that cannot be read."""
    unreadable.append(message)
    print(f"WARNING: a clip was replaced: {message}", file=sys.stderr, flush=True)
    if len(unreadable) > config.max_unreadable:
      raise UserError(f"{len(unreadable)} clips could not be read (config.max_unreadable): {message}")

  batches = train_batches(
    config.data, tracks, spec, batch_size=config.batch_size, seed=config.seed, steps=range(step, total_steps),
    sharding=program.rows, unpaired=config.unpaired, workers=config.workers, prefetch=config.prefetch,
    on_unreadable=damaged,
  )  # fmt: skip
  batches = Deadline(batches, config.data_timeout)
  trace = Trace(workdir, profile if lead else None)
  try:
    with StopSignal() as stop, trace, processes.fail_together(Diverged, Preempted):
      while step < total_steps:
        batch = progress.waiting(batches)
        if first:
          processes.barrier("first batch")
          first = False
        trace.before(step)
        state, metrics = train_step(state, batch, program.run_key)
        step += 1
        pending.append((step, metrics))
        last = step == total_steps
        stopped = stop.requested(step)
        save = last or stopped or step % config.checkpoint_every == 0

        if step % config.log_every == 0 or last:
          scalars = settle()
          scalars["learning_rate"] = float(program.schedule(step - 1)) * float(state.progress.rate_scale)
          if config.skip_nonfinite:
            scalars["skipped"] = float(skipped)
          speed = progress.line(step, scalars, say)
          if unreadable:
            speed["data/unreadable"] = float(len(unreadable))
          writer.write(step, {f"train/{k}": v for k, v in scalars.items()} | speed)

        if validate and (last or (config.eval_every and step % config.eval_every == 0)):
          settle()
          with progress.paused():
            figures = evaluate(state)
            writer.write(step, {f"val/{k}": v for k, v in figures.items()})
            state, improved = _judge(state, step, figures.get(select_metric), config.optimizer, program.sharding)
            if improved:
              checkpoints.save_best(state)
            shown = "  ".join(f"{k} {v:.4f}" for k, v in figures.items())
            say(f"step {step}  validation  {shown}{'  (best so far)' if improved else ''}", flush=True)

        if save:
          settle()
          with progress.saving():
            checkpoints.save(state)
          session.reached(step)
        if stopped and not last:
          checkpoints.wait()
          say(f"told to stop: saved step {step}; the same command goes on from there.", flush=True)
          raise Preempted
  finally:
    batch = None  # on a CPU it may lie in memory that is shared with the workers
    batches.close()
    writer.close()
    session.reached(step, ended=True)
    checkpoints.close()
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
    cut = (as_folder(config.data) / DATASET_FILE).read_text()
    try:
      workdir.mkdir(parents=True, exist_ok=True)
      run_config.save_config(workdir, config)
      write_whole(workdir / DATASET_FILE, cut)  # how faces were found and cut: prediction must do the same
    except OSError as error:
      raise UserError(
        f"the workdir {workdir} cannot be written ({error.strerror or error}): choose another --workdir."
      ) from error


def _initial_variables(config: ml_collections.ConfigDict, method: methods.Method):
  """Weights to start from, None for random ones."""
  if not config.init:
    return None
  from dfdetect_jax import interop  # only runs that start from converted weights need it

  shapes = jax.eval_shape(method.init, jax.random.key(0))
  return interop.initial_variables(config.init, method, shapes, jax.random.key(config.seed))
