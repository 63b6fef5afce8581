"""Metrics of the steps: fetched together, looked at for what is not finite, told and written now and then."""

import logging
from collections.abc import Callable

import jax
import ml_collections
import numpy as np

from dfdetect_jax.errors import UserError
from dfdetect_jax.runs.checkpoints import CHECKPOINTS, Checkpoints
from dfdetect_jax.runs.state import TrainState
from dfdetect_jax.training.metrics_writer import MetricsWriter
from dfdetect_jax.training.program import Program
from dfdetect_jax.training.progress import ProgressLine

_LOG = logging.getLogger(__name__)


class Diverged(UserError):
  """The loss is not a number any more."""


class StepLog:
  """Keeps the metrics of the steps on the device until they are needed.

  Args:
    config: of the run.
    program: what the run computes; its schedule gives the learning rate.
    total_steps: length of the run.
    progress: the line that a person reads.
    writer: of the metrics file.
    checkpoints: of which the last is named when the loss diverges.
    say: prints, on one process.
  """

  def __init__(
    self,
    config: ml_collections.ConfigDict,
    program: Program,
    total_steps: int,
    progress: ProgressLine,
    writer: MetricsWriter,
    checkpoints: Checkpoints,
    say: Callable[..., None],
  ):
    self._config, self._program, self._total = config, program, total_steps
    self._progress, self._writer, self._checkpoints, self._say = progress, writer, checkpoints, say
    self._pending: list[tuple[int, dict[str, jax.Array]]] = []
    self._skipped = self._in_a_row = 0
    self._replaced: list[str] = []

  def append(self, step: int, metrics: dict[str, jax.Array]) -> None:
    """Takes the metrics of a step, without waiting for it."""
    self._pending.append((step, metrics))

  def is_time(self, step: int) -> bool:
    """Whether to write a line after this step."""
    return step % self._config.log_every == 0 or step == self._total

  def fetch(self) -> dict[str, float]:
    """Fetches the metrics of the steps since the last time; gives those of the last one.

    Raises:
      Diverged: more steps in a row are not finite than `config.skip_nonfinite` allows.
    """
    fetched = [(s, {k: float(v) for k, v in m.items()}) for s, m in jax.device_get(self._pending)]
    self._pending.clear()
    for step, metrics in fetched:
      if np.isfinite(metrics["loss"]) and np.isfinite(metrics["grad_norm"]):
        self._in_a_row = 0
        self._progress.losses.append(metrics["loss"])
        continue
      self._in_a_row += 1
      if self._in_a_row > self._config.skip_nonfinite:
        raise self._diverged(step, metrics)
      self._skipped += 1
      if jax.process_index() == 0:
        _LOG.warning(f"step {step} is not finite (loss {metrics['loss']}) and was skipped.")
    return fetched[-1][1] if fetched else {}

  def write(self, step: int, state: TrainState) -> None:
    """Tells and writes the metrics of the last step, and the speed since the last line."""
    scalars = self.fetch()
    scalars["learning_rate"] = float(self._program.schedule(step - 1)) * float(state.progress.rate_scale)
    if self._config.skip_nonfinite:
      scalars["skipped"] = float(self._skipped)
    speed = self._progress.line(step, scalars, self._say)
    if self._replaced:
      speed["data/unreadable"] = float(len(self._replaced))
    self._writer.write(step, {f"train/{k}": v for k, v in scalars.items()} | speed)

  def replaced(self, message: str) -> None:
    """Counts a training clip that could not be read and was replaced.

    Raises:
      UserError: there are more of them than `config.max_unreadable`.
    """
    self._replaced.append(message)
    _LOG.warning(f"a clip was replaced: {message}")
    if len(self._replaced) > self._config.max_unreadable:
      raise UserError(f"{len(self._replaced)} clips could not be read (config.max_unreadable): {message}")

  def _diverged(self, step: int, metrics: dict[str, float]) -> Diverged:
    last = self._checkpoints.latest()
    folder = self._checkpoints.workdir / CHECKPOINTS
    saved = f"the last good checkpoint is {folder / str(last)}" if last else "nothing was saved yet"
    return Diverged(
      f"the loss is {metrics['loss']} (gradient norm {metrics['grad_norm']}) at step {step}"
      + (f", the {self._in_a_row}th in a row" if self._in_a_row > 1 else "")
      + f"; {saved}. Lower optimizer.learning_rate, lengthen its warm-up, or set optimizer.clip_norm."
    )
