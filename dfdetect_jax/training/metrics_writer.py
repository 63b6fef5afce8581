"""Metrics of a run: `metrics.jsonl`, one object a line, and TensorBoard event files beside it."""

import contextlib
import json
import pathlib
from collections.abc import Mapping

import tensorboardX

from dfdetect_jax.errors import UserError

METRICS_FILE = "metrics.jsonl"


class MetricsWriter:
  """Appends scalars; on resume, forgets what was written after the checkpoint.

  Args:
    workdir: folder of the run.
    step: step that the run goes on from; later lines of an interrupted run are taken out.
    active: only one process of a job writes.
  """

  def __init__(self, workdir: str | pathlib.Path, step: int, active: bool = True):
    self._active = active
    if not active:
      return
    path = pathlib.Path(workdir) / METRICS_FILE
    if path.exists():
      kept = [line for line in path.read_text().splitlines() if _step_of(line, step + 1) <= step]
      partial = path.with_suffix(".partial")
      partial.write_text("".join(line + "\n" for line in kept))
      partial.replace(path)
    self._file = open(path, "a", buffering=1)
    self._board = tensorboardX.SummaryWriter(str(pathlib.Path(workdir) / "tensorboard"), purge_step=step + 1)

  def write(self, step: int, scalars: Mapping[str, float]) -> None:
    """Writes the scalars of one step.

    Raises:
      UserError: the disk is full or gone.
    """
    if not self._active:
      return
    try:
      self._file.write(json.dumps({"step": step, **scalars}) + "\n")
    except OSError as error:
      raise UserError(f"{self._file.name} cannot be written ({error.strerror}): make room and start again.") from error
    for name, value in scalars.items():
      self._board.add_scalar(name, value, step)

  def close(self) -> None:
    """Flushes both files, as far as a full disk lets it."""
    if self._active:
      for file in (self._file, self._board):
        with contextlib.suppress(OSError):
          file.close()


def _step_of(line: str, broken: int) -> int:
  """Step of a line; `broken` for one that a kill left half-written."""
  try:
    return json.loads(line)["step"]
  except (json.JSONDecodeError, KeyError, TypeError):
    return broken
