"""Stopping on request: notice SIGTERM or Ctrl-C, save, and leave with a status that schedulers restart on."""

import os
import signal

import jax
from jax.experimental import multihost_utils

from dfdetect_jax.signals import EXIT_PREEMPTED, STATUS, WORDS


class Preempted(SystemExit):
  """The job was told to stop; its state is saved and it wants to be started again.

  Args:
    status: to leave with: 75, or 130 where a person pressed Ctrl-C.
  """

  def __init__(self, status: int = EXIT_PREEMPTED):
    super().__init__(status)


class StopSignal:
  """Notices SIGTERM and Ctrl-C (and, with several processes, agrees with the others on the step to stop at).

  Attributes:
    status: to leave with, once a signal came.
  """

  def __enter__(self):
    self._received = False
    self.status = EXIT_PREEMPTED
    # With jax.distributed its preemption service has taken over SIGTERM; a single process listens for itself.
    self._alone = jax.process_count() == 1 and not jax.distributed.is_initialized()
    numbers = (signal.SIGTERM, signal.SIGINT) if self._alone else (signal.SIGINT,)
    self._previous = {number: signal.signal(number, self._receive) for number in numbers}
    return self

  def _receive(self, number: int, _):
    self._received, self.status = True, STATUS[signal.Signals(number)]
    # A signal may come in the middle of another print, which must not be entered again.
    os.write(2, f"{WORDS[signal.Signals(number)]}: will save and stop after this step.\n".encode())
    if not self._alone:
      os.kill(os.getpid(), signal.SIGTERM)  # tells the others too

  def requested(self, step: int) -> bool:
    """Whether to save and stop after this step; the same answer on all processes."""
    if self._alone:
      return self._received
    return multihost_utils.reached_preemption_sync_point(step)

  def __exit__(self, *_):
    for number, handler in self._previous.items():
      signal.signal(number, handler)
