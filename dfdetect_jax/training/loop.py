"""The training loop, the same for every method.

The order in which things happen is part of what makes a run repeatable:

1. The config is compared with the workdir's, so that a run cannot go on as another one.
2. The state is initialised (or taken from `config.init`), then replaced by the latest checkpoint if there is one.
3. Batches start at the state's step; metrics written after it by an interrupted run are forgotten.
4. At each step: update, then log, then validate, then checkpoint. A checkpoint therefore holds all that validation at
   its own step decided, and a run that goes on from it never validates twice with different outcomes.
"""

import logging
import math
import pathlib
from collections.abc import Callable

import jax
import ml_collections

from dfdetect_jax import methods, signals
from dfdetect_jax.data.deadline import Deadline
from dfdetect_jax.data.loader import train_batches
from dfdetect_jax.devices import allocator, processes
from dfdetect_jax.folders import as_folder
from dfdetect_jax.runs import provenance
from dfdetect_jax.runs import workdir as run_folder
from dfdetect_jax.runs.checkpoints import Checkpoints
from dfdetect_jax.runs.fields import check_fields
from dfdetect_jax.runs.state import TrainState
from dfdetect_jax.runs.trained_videos import write_trained_videos
from dfdetect_jax.training.loggers import check_loggers
from dfdetect_jax.training.metrics_writer import MetricsWriter
from dfdetect_jax.training.preemption import Preempted, StopSignal
from dfdetect_jax.training.profile import Trace
from dfdetect_jax.training.program import Program, forgeries_of, make_program
from dfdetect_jax.training.progress import ProgressLine
from dfdetect_jax.training.step_log import Diverged, StepLog
from dfdetect_jax.training.throughput import flops_per_step
from dfdetect_jax.training.validation import Validation
from dfdetect_jax.training.videos import TrainingVideos, training_videos
from dfdetect_jax.training.weights import inherited_videos, initial_variables

_LOG = logging.getLogger(__name__)

__all__ = ["Diverged", "Preempted", "train_and_evaluate"]


def train_and_evaluate(
  config: ml_collections.ConfigDict,
  workdir: str | pathlib.Path,
  profile: tuple[int, int] | None = None,
  other_data: bool = False,
) -> TrainState:
  """Trains a method, going on from the workdir's latest checkpoint if there is one.

  Args:
    config: see `dfdetect_jax.runs.config.base_config`.
    workdir: folder of the run: config.json, provenance.json, train_videos.csv, metrics.jsonl, tensorboard/,
      checkpoints/, best/.
    profile: first and last step of which a trace is written to `workdir/profile`.
    other_data: go on with a run though its shards are others than before.

  Returns:
    The state after the last step.

  Raises:
    UserError: something in the config, data or workdir is wrong.
    Diverged: the loss became NaN or infinite.
    Preempted: SIGTERM or Ctrl-C arrived; the state was saved.
  """
  check_fields(config)
  check_loggers(config.loggers)
  workdir = as_folder(workdir)
  with run_folder.claimed(workdir):
    return _train(config, workdir, profile, other_data)


def _train(
  config: ml_collections.ConfigDict, workdir: pathlib.Path, profile: tuple[int, int] | None, other_data: bool
) -> TrainState:
  """`train_and_evaluate` in a workdir that nobody else trains in."""
  lead = jax.process_index() == 0
  say = print if lead else lambda *_, **__: None
  warn = _LOG.warning if lead else lambda _: None

  # What is learned from, then what is computed: both are known, and checked, before anything is written.
  method = methods.build(config)
  videos = training_videos(config, method.clip_spec)
  for warning in videos.warnings:
    warn(warning)
  program = make_program(config, videos.total_steps, method=method)
  validation = Validation(config, program, videos)
  inherited = inherited_videos(config, workdir, videos.everything, warn)
  run_folder.agree(workdir, config, videos.total_steps)
  run_folder.check(workdir, config, other_data)

  # State, and the step: compiled once.
  checkpoints = Checkpoints(workdir, config.checkpoint_keep, config.checkpoint_every)
  state, resumed = _first_state(config, program, checkpoints, workdir, say)
  step = start = int(state.step)
  run_folder.write_papers(workdir, config, step, videos.total_steps)
  if lead:
    write_trained_videos(workdir, videos.everything, inherited)  # what no test of this run may hold
  session = provenance.Session(workdir, config, step)
  say(_described(config, program, videos, step if resumed else None), flush=True)
  train_step = program.compile_step()
  allocator.keep_memory()
  writer = MetricsWriter(workdir, step, lead, config.to_dict())
  clips, flops = program.clips_per_step, flops_per_step(train_step)
  frames = math.prod(method.clip_spec.shape(train=True)[:-3])
  progress = ProgressLine(step, videos.total_steps, clips, program.mesh.size, flops, frames, config.workers)
  log = StepLog(config, program, videos.total_steps, progress, writer, checkpoints, say)
  batches = _batches(config, program, videos, step, log)
  trace = Trace(workdir, profile if lead else None)
  try:
    with StopSignal() as stop, trace, processes.fail_together(Diverged, Preempted):
      while step < videos.total_steps:
        batch = progress.waiting(batches)
        if step == start:
          processes.barrier("first batch")
        trace.before(step)
        state, metrics = train_step(state, batch, program.run_key)
        step += 1
        log.append(step, metrics)
        last, stopped = step == videos.total_steps, stop.requested(step)

        # Do not change this order: see the module's docstring.
        if log.is_time(step):
          log.write(step, state)
        if validation.is_time(step):
          log.fetch()  # nothing is validated, or kept, after steps that diverged
          with progress.paused():
            state = validation(state, step, checkpoints, writer, say)
        if last or stopped or checkpoints.is_time(step):
          log.fetch()
          with progress.saving():
            checkpoints.save(state)
          session.reached(step)
        if stopped and not last:
          checkpoints.wait()
          say(f"told to stop: saved step {step}; the same command goes on from there.", flush=True)
          raise Preempted(stop.status)
  finally:
    with signals.finishing():
      batch = None  # on a CPU it may lie in memory that is shared with the workers
      batches.close()
      writer.close()
      session.reached(step, ended=True)
      checkpoints.close()
  return state


def _first_state(
  config: ml_collections.ConfigDict, program: Program, checkpoints: Checkpoints, workdir: pathlib.Path, say: Callable
) -> tuple[TrainState, bool]:
  """The latest checkpoint, or the state before the first step; and whether it is the former."""
  state = checkpoints.restore(program.abstract)
  if state is not None:
    return state, True
  return program.initial_state(initial_variables(config, workdir, say)), False


def _batches(
  config: ml_collections.ConfigDict, program: Program, videos: TrainingVideos, step: int, log: StepLog
) -> Deadline:
  """The batches of all steps after `step`."""
  return Deadline(
    train_batches(
      config.data, videos.tracks, program.method.clip_spec, batch_size=config.batch_size, seed=config.seed,
      steps=range(step, videos.total_steps), sharding=program.rows, unpaired=config.unpaired,
      forgeries=forgeries_of(config), balanced=config.balanced, workers=config.workers, prefetch=config.prefetch,
      on_unreadable=log.replaced,
    ),
    config.data_timeout,
  )  # fmt: skip


def _described(
  config: ml_collections.ConfigDict, program: Program, videos: TrainingVideos, resumed_at: int | None
) -> str:
  """The first line of a run."""
  mesh = program.mesh
  parameters = sum(x.size for x in jax.tree.leaves(program.abstract.params))
  frames, total = program.method.clip_spec.frames, videos.total_steps
  return (
    f"{config.method}: {parameters:,} parameters, {mesh.size} x {jax.devices()[0].device_kind} "
    f"(data {mesh.shape['data']}, fsdp {mesh.shape['fsdp']}); {len(videos.tracks)} training tracks"
    + (f" ({videos.too_short} left out, shorter than {frames} frames)" if videos.too_short else "")
    + f", {videos.epoch} examples an epoch; "
    + (f"{total} steps." if resumed_at is None else f"goes on at step {resumed_at} of {total}.")
  )
