"""Who is still there, while a job runs: a process that is dead or stopped is named, in the time that is stated.

Left alone, the others would wait in a collective until it fails, or be aborted by jax's service, which names nobody.
Every process puts a count into the service's store again and again and reads those of the others.
"""

import atexit
import contextlib
import os
import signal
import sys
import threading
import time
from typing import Any

from dfdetect_jax.signals import STATUS

BEAT_SECONDS = 2.0
# A process that has not been heard of for so long is taken for gone, and the others end.
SILENT_SECONDS = 20.0
_PLACE, _LEFT = "dfdetect_jax/presence/", "left"


def watch(client: Any, me: int, count: int) -> None:
  """Begins to tell the others that this process is there, and to listen to them.

  Args:
    client: of jax's distributed service.
    me: number of this process.
    count: processes of the job.
  """
  heard = dict.fromkeys(range(count), time.monotonic())  # when each was last heard of
  counts: dict[str, str] = {}

  def beat() -> None:
    number = 0
    while True:
      number += 1
      try:
        client.key_value_set(f"{_PLACE}{me}", str(number), allow_overwrite=True)
        beats = dict(client.key_value_dir_get(_PLACE))
      except Exception:  # of jaxlib: process 0, which keeps the store, does not answer
        time.sleep(BEAT_SECONDS)
        continue
      now = heard[0] = time.monotonic()  # process 0 has just answered
      for place, value in beats.items():
        if counts.get(place) != value or value == _LEFT:
          counts[place], heard[int(place.rpartition("/")[2])] = value, now
      time.sleep(BEAT_SECONDS)

  def judge() -> None:
    before = time.monotonic()
    while True:
      time.sleep(BEAT_SECONDS / 2)
      now = time.monotonic()
      if now - before > SILENT_SECONDS / 4:  # this process was held up itself, and has not listened
        heard.update(dict.fromkeys(heard, now))
      before = now
      if silent := [process for process, last in heard.items() if now - last > SILENT_SECONDS]:
        _give_up([0] if 0 in silent else silent, count)  # without process 0 nothing is known of the others

  def leave() -> None:
    with contextlib.suppress(Exception):
      client.key_value_set(f"{_PLACE}{me}", _LEFT, allow_overwrite=True)

  for work in (beat, judge):
    threading.Thread(target=work, name="presence", daemon=True).start()
  atexit.register(leave)


def _give_up(silent: list[int], count: int) -> None:
  """Ends this process, whose main thread may be deep in a collective."""
  os.write(
    sys.stderr.fileno(),
    f"error: process {', '.join(map(str, silent))} of {count} has not been heard of for {SILENT_SECONDS:g} s: it is "
    "dead or stopped, or its host cannot be reached. The job ends; the same command goes on from the last "
    "checkpoint.\n".encode(),
  )
  os._exit(STATUS[signal.SIGTERM])
