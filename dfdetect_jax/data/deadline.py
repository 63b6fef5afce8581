"""Notices when batches stop coming: a worker that hangs would otherwise hold the whole job, silently."""

import multiprocessing
import queue
import threading
from collections.abc import Generator
from typing import Any

from dfdetect_jax import signals
from dfdetect_jax.errors import UserError

_END = object()


class Deadline:
  """An iterator over batches that reads one ahead in a thread and gives up when none comes in time.

  Args:
    batches: a generator of batches.
    seconds: longest wait for one batch; 0 waits for ever.
  """

  def __init__(self, batches: Generator[Any, None, None], seconds: float):
    self._batches, self._seconds = batches, seconds or None
    self._closed = threading.Event()
    self._queue: queue.Queue = queue.Queue(maxsize=1)
    self._thread = threading.Thread(target=self._fill, name="batches", daemon=True)
    self._thread.start()

  def _fill(self) -> None:
    with signals.without_interrupts():  # which the reading processes inherit: they start from this thread
      try:
        for batch in self._batches:
          if not self._put(batch):
            return
        self._put(_END)
      except BaseException as error:  # it belongs to the thread that waits
        self._put(error)
      finally:
        self._batches.close()

  def _put(self, item) -> bool:
    while not self._closed.is_set():
      try:
        self._queue.put(item, timeout=0.2)
        return True
      except queue.Full:
        pass
    return False

  def __iter__(self):
    return self

  def __next__(self):
    try:
      item = self._queue.get(timeout=self._seconds)
    except queue.Empty:
      for worker in multiprocessing.active_children():
        worker.kill()  # one that hangs would not end when asked, and hold this process at its exit
      raise UserError(
        f"no batch came for {self._seconds:g} s: a data worker hangs or died, or the storage does not answer. Check "
        "the dataset folder's disk and the machine's memory, then give the same command to go on; "
        "config.data_timeout is how long to wait."
      ) from None
    if item is _END:
      raise StopIteration
    if isinstance(item, BaseException):
      raise item
    return item

  def close(self) -> None:
    """Stops reading; does not wait for a reader that hangs."""
    self._closed.set()
    self._thread.join(timeout=10)
    while not self._queue.empty():  # what was read and nobody takes holds memory that is shared with the workers
      self._queue.get_nowait()
