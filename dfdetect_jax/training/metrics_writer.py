"""Metrics of a run: `metrics.jsonl`, one object a line, TensorBoard event files beside it, and `loggers`."""

import contextlib
import json
import logging
import pathlib
import time
from collections.abc import Iterator, Mapping
from typing import Any

from dfdetect_jax.errors import UserError
from dfdetect_jax.files import read_bytes
from dfdetect_jax.folders import as_folder, write_whole
from dfdetect_jax.training.loggers import Loggers

_LOG = logging.getLogger(__name__)

METRICS_FILE = "metrics.jsonl"
_FLUSH_SECONDS = 60.0


class MetricsWriter:
  """Appends scalars; on resume, forgets what was written after the checkpoint.

  Args:
    workdir: folder of the run.
    step: step that the run goes on from; later lines of an interrupted run are taken out.
    active: only one process of a job writes.
    config: of the run; its `loggers` get the scalars too.

  Raises:
    UserError: the disk is full or gone, or a logger cannot begin.
  """

  def __init__(
    self, workdir: str | pathlib.Path, step: int, active: bool = True, config: Mapping[str, Any] | None = None
  ):
    self._active = active
    if not active:
      return
    # Imports PyTorch where that is installed, which takes seconds: who only reads metrics need not wait for it.
    from tensorboardX import summary
    from tensorboardX.event_file_writer import EventsWriter
    from tensorboardX.proto import event_pb2
    from tensorboardX.record_writer import directory_check

    self._event, self._scalar = event_pb2.Event, summary.scalar
    self._path = as_folder(workdir) / METRICS_FILE
    config = config or {}
    self._loggers = Loggers(config.get("loggers", ()), self._path.parent, config)
    self._text = ""
    with self._named_if_unwritable():
      if self._path.exists():
        lines = read_bytes(self._path, "remove it").decode(errors="replace").splitlines()
        kept = [line for line in lines if _step_of(line, step + 1) <= step]
        if lost := sum(_step_of(line, -1) < 0 for line in lines[:-1]):  # a kill may have cut the last one
          _LOG.warning(f"{self._path}: {lost} lines are damaged and are left out.")
        self._text = "".join(line + "\n" for line in kept)
        write_whole(self._path, self._text)
      # What lies in a bucket cannot be appended to: there the file is written anew each time.
      self._file = open(self._path, "a", buffering=1) if isinstance(self._path, pathlib.Path) else None
      # Not tensorboardX's SummaryWriter: a full disk ends the thread that it writes in, and the next scalars would wait
      # for that thread for ever.
      folder = str(self._path.with_name("tensorboard"))
      directory_check(folder)  # makes it
      self._board, self._flushed = EventsWriter(f"{folder}/events"), time.monotonic()
      # TensorBoard forgets what earlier files hold from this step on.
      start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
      self._board.write_event(self._event(wall_time=time.time(), step=step + 1, session_log=start))

  def write(self, step: int, scalars: Mapping[str, float]) -> None:
    """Writes the scalars of one step.

    Raises:
      UserError: the disk is full or gone.
    """
    if not self._active:
      return
    line = json.dumps({"step": step, **scalars}) + "\n"
    with self._named_if_unwritable():
      if self._file:
        self._file.write(line)
      else:
        self._text += line
        self._path.write_text(self._text)
      for name, value in scalars.items():
        self._board.write_event(self._event(wall_time=time.time(), step=step, summary=self._scalar(name, value)))
      if time.monotonic() - self._flushed > _FLUSH_SECONDS:
        self._board.flush()
        self._flushed = time.monotonic()
    self._loggers.log(step, scalars)

  def close(self) -> None:
    """Flushes both files, as far as a full disk lets it, and ends the loggers."""
    if self._active:
      self._loggers.close()
      for file in filter(None, (self._file, self._board)):
        with contextlib.suppress(OSError):
          file.close()

  @contextlib.contextmanager
  def _named_if_unwritable(self) -> Iterator[None]:
    """Tells a full disk in a sentence."""
    try:
      yield
    except OSError as error:
      raise UserError(
        f"{self._path} or tensorboard/ beside it cannot be written ({error.strerror or error}): make room and give the "
        "same command to go on."
      ) from error


def _step_of(line: str, broken: int) -> int:
  """Step of a line; `broken` for one that a kill left half-written."""
  try:
    return int(json.loads(line)["step"])
  except (ValueError, KeyError, TypeError, RecursionError):
    return broken
