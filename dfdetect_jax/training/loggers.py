"""Metrics sent on to Weights & Biases, MLflow or trackio, as `config.loggers` names them.

The workdir's files stay the truth: a logger that fails while a run trains is dropped with a warning, and the run goes
on. Project, mode and server are set as these packages have it, by their environment variables (WANDB_MODE=offline,
MLFLOW_TRACKING_URI, TRACKIO_DIR, …). A run that goes on is the same run there; the points that it makes again, after
the checkpoint, stand there twice.
"""

import contextlib
import importlib
import importlib.util
import logging
import os
import pathlib
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from dfdetect_jax import files
from dfdetect_jax.errors import UserError, unknown
from dfdetect_jax.folders import write_json
from dfdetect_jax.runs.fields import flat

_LOG = logging.getLogger(__name__)

LOGGERS_FILE = "loggers.json"  # name of the run at each logger, by which it goes on there
PROJECT = "dfdetect_jax"


class Logger(Protocol):
  """One service. Made with (workdir, name of the run there or None, flat config); `run` is the name to go on with."""

  run: str

  def log(self, step: int, scalars: Mapping[str, float]) -> None:
    """Sends the scalars of one step."""

  def close(self) -> None:
    """Ends the session."""


class Wandb:
  """Weights & Biases. Its own step only grows, so ours is a metric that the others are drawn over."""

  def __init__(self, workdir: files.Path, run: str | None, config: Mapping[str, Any]):
    wandb = importlib.import_module("wandb")
    self.run = run or uuid.uuid4().hex
    folder = str(workdir) if isinstance(workdir, pathlib.Path) else None
    self._session = wandb.init(
      project=os.environ.get("WANDB_PROJECT", PROJECT), id=self.run, name=workdir.name, resume="allow", dir=folder,
      config=dict(config),
    )  # fmt: skip
    self._session.define_metric("*", step_metric="step")

  def log(self, step: int, scalars: Mapping[str, float]) -> None:
    self._session.log({"step": step, **scalars})

  def close(self) -> None:
    self._session.finish()


class Mlflow:
  """MLflow, to its tracking server, or the store that it has by default."""

  def __init__(self, workdir: files.Path, run: str | None, config: Mapping[str, Any]):
    self._mlflow = importlib.import_module("mlflow")
    self._mlflow.set_experiment(os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT))
    self.run = self._mlflow.start_run(run_id=run, run_name=workdir.name).info.run_id
    if run is None:  # parameters of a run cannot be written again
      self._mlflow.log_params(config)

  def log(self, step: int, scalars: Mapping[str, float]) -> None:
    self._mlflow.log_metrics(dict(scalars), step=step)

  def close(self) -> None:
    self._mlflow.end_run()


class Trackio:
  """trackio, on this machine, or a Space."""

  def __init__(self, workdir: files.Path, run: str | None, config: Mapping[str, Any]):
    self._trackio = importlib.import_module("trackio")
    self.run = run or f"{workdir.name}-{uuid.uuid4().hex[:8]}"
    self._trackio.init(project=PROJECT, name=self.run, resume="allow", config=dict(config))

  def log(self, step: int, scalars: Mapping[str, float]) -> None:
    self._trackio.log(dict(scalars), step=step)

  def close(self) -> None:
    self._trackio.finish()


LOGGERS: Mapping[str, Callable[[files.Path, str | None, Mapping[str, Any]], Logger]] = {
  "wandb": Wandb,
  "mlflow": Mlflow,
  "trackio": Trackio,
}


def check_loggers(names: Sequence[str]) -> None:
  """Looks for the packages of all loggers, before anything else is done.

  Raises:
    UserError: there is no such logger, or its package is not installed.
  """
  for name in names:
    if name not in LOGGERS:
      raise unknown("logger", name, LOGGERS, "config.loggers: ")
    if importlib.util.find_spec(name) is None:
      raise UserError(f"config.loggers: {name} is not installed: pip install 'dfdetect_jax[{name}]', or leave it out.")


class Loggers:
  """All loggers of a run.

  Args:
    names: of `config.loggers`.
    workdir: of the run.
    config: of the run, nested.

  Raises:
    UserError: one of them cannot begin.
  """

  def __init__(self, names: Sequence[str], workdir: files.Path, config: Mapping[str, Any]):
    self._open: dict[str, Logger] = {}
    path = workdir / LOGGERS_FILE
    known = files.read_json(path, "remove it to begin anew there") if names and path.is_file() else {}
    for name in names:
      try:
        self._open[name] = LOGGERS[name](workdir, known.get(name), flat(config))
      except Exception as error:
        self.close()
        raise UserError(
          f"config.loggers: {name} cannot begin ({error or type(error).__name__}): set it up, or leave it out."
        ) from error
    if names:
      write_json(path, known | {name: logger.run for name, logger in self._open.items()})

  def log(self, step: int, scalars: Mapping[str, float]) -> None:
    """Sends the scalars of one step to all; one that fails is told and left out from then on."""
    for name, logger in list(self._open.items()):
      try:
        logger.log(step, scalars)
      except Exception as error:
        _LOG.warning(f"{name} takes no metrics any more ({error or type(error).__name__}); the workdir's files do.")
        del self._open[name]
        with contextlib.suppress(Exception):
          logger.close()

  def close(self) -> None:
    """Ends all sessions; one that cannot be ended is told."""
    for name, logger in self._open.items():
      try:
        logger.close()
      except Exception as error:
        _LOG.warning(f"{name} could not be closed ({error or type(error).__name__}); the workdir's files have all.")
    self._open = {}
