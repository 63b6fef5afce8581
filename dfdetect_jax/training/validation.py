"""Validation of a run: when it is time, what it measures, and what the run remembers of it."""

import dataclasses
import logging
from collections.abc import Callable, Mapping

import jax
import ml_collections

from dfdetect_jax.augment.self_blending import SelfBlending
from dfdetect_jax.devices.mesh import batch_sharding
from dfdetect_jax.evaluation.calibration import record_validation
from dfdetect_jax.evaluation.evaluator import make_predictor, score_split
from dfdetect_jax.evaluation.forged_twins import ForgedTwins
from dfdetect_jax.evaluation.metrics import summarise
from dfdetect_jax.evaluation.protocols import selection_metric
from dfdetect_jax.runs.checkpoints import Checkpoints
from dfdetect_jax.runs.state import TrainState
from dfdetect_jax.training.metrics_writer import MetricsWriter
from dfdetect_jax.training.program import Program
from dfdetect_jax.training.videos import TrainingVideos

_LOG = logging.getLogger(__name__)


class Validation:
  """Scores the val split every `config.eval_every` steps and at the end; selects nothing on any other.

  Args:
    config: of the run.
    program: what the run computes.
    videos: of the run; without any of split val nothing is ever validated.

  Raises:
    UserError: the metric to select by, or the batch size, cannot be used.
  """

  def __init__(self, config: ml_collections.ConfigDict, program: Program, videos: TrainingVideos):
    self._config, self._program, self._videos = config, program, videos
    self._metric = selection_metric(config.select_metric)
    batch_sharding(program.mesh, config.eval_batch_size, "eval_batch_size")
    self._predict = make_predictor(program.method, program.mesh)
    self._twins = None
    if videos.forges_validation:
      self._twins = ForgedTwins(program.method, program.mesh, SelfBlending(**config.forging))

  def is_time(self, step: int) -> bool:
    """Whether to validate after this step."""
    every, last = self._config.eval_every, step == self._videos.total_steps
    return self._videos.validates and (last or bool(every and step % every == 0))

  def __call__(
    self, state: TrainState, step: int, checkpoints: Checkpoints, writer: MetricsWriter, say: Callable[..., None]
  ) -> TrainState:
    """Scores the val split, tells and writes the figures, and keeps the weights if they are the best so far.

    What the scores of the best weights say about decisions is kept with the run (`evaluation.calibration`).

    Returns:
      The state with what it now knows of validation.
    """
    config, method = self._config, self._program.method
    validated = dataclasses.replace(method, clip_spec=method.clip_spec.for_validation())
    scores = score_split(
      self._predict, state.evaluated(method), validated, config.data, "val", mesh=self._program.mesh,
      batch_size=config.eval_batch_size, over_tracks=config.tracks, prefetch=config.prefetch,
      videos=(self._videos.wanted,), progress=False, twins=self._twins,
    )  # fmt: skip
    figures = {k: v for k, v in vars(summarise(scores).overall.video).items() if isinstance(v, float)}
    state, improved = self._judge(state, step, figures)
    writer.write(step, {f"val/{k}": v for k, v in figures.items()})
    if improved:
      checkpoints.save_best(state)
      if jax.process_index() == 0:
        weights = "teacher" if method.evaluate_teacher and state.teacher is not None else "student"
        if problem := record_validation(checkpoints.workdir, step, weights, scores):
          _LOG.warning(problem)
    shown = "  ".join(f"{k} {v:.4f}" for k, v in figures.items())
    say(f"step {step}  validation  {shown}{'  (best so far)' if improved else ''}", flush=True)
    return state

  def _judge(self, state: TrainState, step: int, figures: Mapping[str, float]) -> tuple[TrainState, bool]:
    """Notes a validation result: is it the best, and has it stopped improving?"""
    optimizer = self._config.optimizer
    patience = optimizer.plateau_patience if optimizer.schedule == "plateau" else 0
    progress, improved = jax.device_get(state.progress).judged(
      step, figures.get(self._metric), figures.get("log_loss"), patience, optimizer.plateau_factor
    )
    return state.replace(progress=jax.device_put(progress, self._program.sharding.progress)), improved
