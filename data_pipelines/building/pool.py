"""Worker processes that survive what they decode: a crash or a hang costs one video, not the build."""

import collections
import dataclasses
import multiprocessing
import multiprocessing.connection
import multiprocessing.process
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any

from data_pipelines.building.plan import Unit
from data_pipelines.building.unit import Job, UnitNote, build_unit
from dfdetect_jax import signals
from dfdetect_jax.errors import UserError

CRASHES_FORGIVEN = 1  # per video: somebody may have killed the worker for another reason
START_SECONDS = 300.0  # until a worker is ready: imports from a cold disk, and the detector's compilation


@dataclasses.dataclass(frozen=True)
class Progress:
  """News from the workers: frames written since the last news, or a finished unit."""

  frames: int = 0
  unit: Unit | None = None
  note: UnitNote | None = None


def pin_to_one_cpu_thread() -> None:
  """Keeps a worker's libraries to one CPU thread and JAX off the accelerator. Call before JAX is imported."""
  os.environ["JAX_PLATFORMS"] = "cpu"
  os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_multi_thread_eigen=false".strip()
  for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NPROC"):
    os.environ[name] = "1"
  import cv2

  cv2.setNumThreads(1)


def _worker(
  connection: multiprocessing.connection.Connection, parent: int, job: Job, work: Callable[..., UnitNote]
) -> None:
  """A worker's life: sends ("ready", None), then takes (unit, skip) and sends ("starts", index), ("frames", n) and
  ("done", note), one unit after the other; or ("error", …).
  """
  signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
  signals.watch_parent(parent)
  pin_to_one_cpu_thread()
  from data_pipelines.faces.detectors import detector as detectors

  def send(kind: str, content: object) -> None:
    try:
      connection.send((kind, content))
    except (BrokenPipeError, ConnectionResetError):
      sys.exit(1)  # the parent is gone; no exception that could be taken for the video's fault

  try:
    settings = job.settings
    detector = None if settings.cropped else detectors.create(settings.detector, settings.detector_model)
    send("ready", None)
    while True:
      unit, skip = connection.recv()
      note = work(
        job,
        unit,
        detector,
        skip,
        starts=lambda index: send("starts", index),
        tick=lambda frames: send("frames", frames),
      )
      send("done", note)
  except (EOFError, ConnectionResetError):
    return  # the parent is gone
  except UserError as error:
    send("user error", str(error))
  except Exception:
    send("error", traceback.format_exc())


@dataclasses.dataclass(eq=False)
class _Slot:
  """A worker as the parent sees it."""

  process: multiprocessing.process.BaseProcess
  connection: multiprocessing.connection.Connection
  unit: Unit | None = None
  skip: dict[int, str] = dataclasses.field(default_factory=dict)
  video: int | None = None
  ready: bool = False
  heard: float = 0.0


class Pool:
  """Runs units on worker processes.

  Args:
    job: what the workers know.
    workers: how many.
    timeout: seconds without a sign of life after which a worker is taken for hanging, once it has started.
    work: what is done with a unit; a function that a spawned process can import.
  """

  def __init__(self, job: Job, workers: int, timeout: float, work: Callable[..., UnitNote] = build_unit):
    self._job, self._workers, self._timeout, self._work = job, workers, timeout, work
    self._context = multiprocessing.get_context("spawn")  # forking after JAX or OpenCV started threads may deadlock
    self._slots: list[_Slot] = []
    self._waiting: collections.deque = collections.deque()
    self._crashes: collections.Counter = collections.Counter()

  def run(self, units: list) -> Iterator[Progress]:
    """Builds the units and tells what happens; the order of finishing is not the order of the units.

    Raises:
      UserError: a worker found a mistake of the user's.
      RuntimeError: a worker failed outside any video.
    """
    self._waiting.extend((unit, {}) for unit in units)
    try:
      for _ in range(min(self._workers, len(units))):
        self._slots.append(self._start())
      while self._slots:
        connections: dict[Any, _Slot] = {slot.connection: slot for slot in self._slots}
        for connection in multiprocessing.connection.wait(list(connections), timeout=1.0):
          yield from self._hear(connections[connection])
        for slot in self._slots:
          allowed = self._timeout if slot.ready else max(self._timeout, START_SECONDS)
          if slot.unit is not None and time.monotonic() - slot.heard > allowed:
            self._lost(slot, f"hangs: no progress for {allowed:.0f} s", certain=True)
    finally:
      for slot in self._slots:
        slot.process.kill()
        slot.process.join()

  def _start(self) -> _Slot:
    ours, theirs = self._context.Pipe()
    process = self._context.Process(target=_worker, args=(theirs, os.getpid(), self._job, self._work), daemon=True)
    with signals.without_interrupts():
      process.start()
    theirs.close()
    slot = _Slot(process, ours)
    self._give(slot)
    return slot

  def _give(self, slot: _Slot) -> None:
    slot.unit, slot.video, slot.heard = None, None, time.monotonic()
    if self._waiting:
      slot.unit, slot.skip = self._waiting.popleft()
      try:
        slot.connection.send((slot.unit, slot.skip))
      except (BrokenPipeError, ConnectionResetError):
        pass  # died meanwhile; the next look at its connection says so

  def _hear(self, slot: _Slot) -> Iterator[Progress]:
    try:
      kind, content = slot.connection.recv()
    except (EOFError, OSError):  # it may have died in the middle of a message
      slot.process.join()
      self._lost(slot, _death(slot.process.exitcode), certain=False)
      return
    slot.heard = time.monotonic()
    if kind == "ready":
      slot.ready = True
    elif kind == "starts":
      slot.video = content
    elif kind == "frames":
      yield Progress(frames=content)
    elif kind == "done":
      yield Progress(unit=slot.unit, note=content)
      self._give(slot)
      if slot.unit is None:
        self._retire(slot)
    elif kind == "user error":
      raise UserError(content)
    else:
      raise RuntimeError(f"a worker failed:\n{content}")

  def _lost(self, slot: _Slot, reason: str, certain: bool) -> None:
    """A worker died or hangs: its unit is done again, without the video at fault once that is clear."""
    self._retire(slot)
    if slot.unit is None:
      return
    key = (slot.unit.name, slot.video)
    self._crashes[key] += 1
    if certain or self._crashes[key] > CRASHES_FORGIVEN:
      if slot.video is None:
        raise RuntimeError(f"workers fail before their first video: {reason}")
      slot.skip[slot.video] = reason
    self._waiting.appendleft((slot.unit, slot.skip))
    self._slots.append(self._start())

  def _retire(self, slot: _Slot) -> None:
    slot.connection.close()
    slot.process.kill()
    slot.process.join()
    self._slots = [other for other in self._slots if other is not slot]


def _death(exitcode: int | None) -> str:
  if exitcode is not None and exitcode < 0:
    name = signal.Signals(-exitcode).name
    return f"crashes the decoder ({name}{': out of memory?' if name == 'SIGKILL' else ''})"
  return f"crashes the worker (exit status {exitcode})"
