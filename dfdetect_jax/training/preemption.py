"""Stopping on request: notice SIGTERM, save, and leave with a status that schedulers restart on."""

import signal
import sys

import jax
from jax.experimental import multihost_utils

# A job that was told to stop and saved its state leaves with this status: sysexits' "try again later". Schedulers are
# told to start it again (see launch/).
EXIT_PREEMPTED = 75


class Preempted(SystemExit):
  """The job was told to stop; its state is saved and it wants to be started again."""

  def __init__(self):
    super().__init__(EXIT_PREEMPTED)


class StopSignal:
  """Notices SIGTERM (and, with several processes, agrees with the others on the step to stop at)."""

  def __enter__(self):
    self._received = False
    # With jax.distributed its preemption service has taken over SIGTERM; a single process listens for itself.
    self._alone = jax.process_count() == 1 and not jax.distributed.is_initialized()
    if self._alone:
      self._previous = signal.signal(signal.SIGTERM, self._receive)
    return self

  def _receive(self, *_):
    self._received = True
    print("SIGTERM: will save and stop after this step.", file=sys.stderr, flush=True)

  def requested(self, step: int) -> bool:
    """Whether to save and stop after this step; the same answer on all processes."""
    if self._alone:
      return self._received
    return multihost_utils.reached_preemption_sync_point(step)

  def __exit__(self, *_):
    if self._alone:
      signal.signal(signal.SIGTERM, self._previous)
