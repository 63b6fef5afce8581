"""Being told to stop: Ctrl-C and SIGTERM end every program in one sentence, with a stated status, and leave nothing.

Status 130 is Ctrl-C, 75 (sysexits' "try again later") is SIGTERM: what schedulers send to a job that they will start
again. Training saves its state first (`training.preemption`). A second Ctrl-C ends a program at once.
"""

import contextlib
import ctypes
import glob
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator

STATUS: dict[int, int] = {signal.SIGINT: 130, signal.SIGTERM: 75}
# A job that was told to stop and saved its state leaves with this status. Schedulers are told to start it again (see
# launch/).
EXIT_PREEMPTED = STATUS[signal.SIGTERM]
WORDS: dict[int, str] = {signal.SIGINT: "interrupted (Ctrl-C)", signal.SIGTERM: "told to stop (SIGTERM)"}
# How long a program may take to let go of its threads and processes once it has been told to stop.
GRACE_SECONDS = 20.0


class Stopped(BaseException):
  """SIGTERM came; as KeyboardInterrupt, no `except Exception` may take it for a failure of its own."""


def until_main() -> None:
  """While `python -m PROGRAM` is still importing, or has come to its end: ends it with one sentence."""
  program = sys.orig_argv[sys.orig_argv.index("-m") + 1] if "-m" in sys.orig_argv[:-1] else "python"

  def end(number: int, _) -> None:
    when = "when its work was done" if _begun else "before it began"
    os.write(2, f"{program}: {WORDS[number]} {when}.\n".encode())
    os._exit(STATUS[number])

  for number in STATUS:
    signal.signal(number, end)


_begun: list[str] = []  # programs whose work has begun


def _stop(number: int, _) -> None:
  _ignore()  # what comes while the program lets go is the listener's
  raise KeyboardInterrupt if number == signal.SIGINT else Stopped


def _ignore() -> None:
  for number in STATUS:
    signal.signal(number, lambda *_: None)


@contextlib.contextmanager
def stopping(program: str, kept: str = "what was finished is kept, and the same command goes on") -> Iterator[None]:
  """A block that Ctrl-C and SIGTERM end with one sentence and a status (see the module's docstring).

  Args:
    program: name of the entry point, printed before the message.
    kept: what becomes of the work, the end of the sentence.
  """
  if threading.current_thread() is not threading.main_thread():  # signals belong to the main thread
    yield
    return
  before = {number: signal.getsignal(number) for number in STATUS}
  try:
    with _second_ends_at_once():
      try:
        for number in STATUS:
          signal.signal(number, _stop)
        _begun.append(program)
        yield
        _ignore()  # a signal between here and the former handlers would end the program without a sentence
      except (KeyboardInterrupt, Stopped) as error:
        caught = signal.SIGINT if isinstance(error, KeyboardInterrupt) else signal.SIGTERM
        print(f"\n{program}: {WORDS[caught]}: {kept}.", file=sys.stderr, flush=True)
        sys.exit(STATUS[caught])
  finally:
    for number, handler in before.items():
      signal.signal(number, handler)


@contextlib.contextmanager
def finishing() -> Iterator[None]:
  """A block that is short and must be done to its end, such as the last checkpoint: a first signal is only noted."""
  if threading.current_thread() is not threading.main_thread():
    yield
    return
  note = lambda number, _: os.write(2, f"{WORDS[signal.Signals(number)]}: finishing first.\n".encode())  # noqa: E731
  before = {number: signal.signal(number, note) for number in STATUS}
  try:
    yield
  finally:
    for number, handler in before.items():
      signal.signal(number, handler)


@contextlib.contextmanager
def _second_ends_at_once() -> Iterator[None]:
  """Counts Ctrl-C in a thread, which hears of it while the main thread is deep in a compilation or hangs."""
  read_end, write_end = os.pipe()
  os.set_blocking(write_end, False)
  before = signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)

  def listen() -> None:
    interrupts = 0
    while numbers := os.read(read_end, 64):
      interrupts += numbers.count(signal.SIGINT)
      if interrupts > 1:
        os.write(2, b"\ninterrupted again: ended at once.\n")
        os._exit(STATUS[signal.SIGINT])
      late = threading.Timer(GRACE_SECONDS, _give_up, [numbers[-1]])
      late.daemon = True
      late.start()
    os.close(read_end)

  threading.Thread(target=listen, name="signals", daemon=True).start()
  try:
    yield
  finally:
    signal.set_wakeup_fd(before)
    os.close(write_end)


def _give_up(number: int) -> None:
  """Ends a program that was told to stop long ago, and only waits for its threads any more."""
  if not threading.main_thread().is_alive() and number in STATUS:
    os._exit(STATUS[number])


@contextlib.contextmanager
def without_interrupts() -> Iterator[None]:
  """A block whose threads and child processes never hear of Ctrl-C, which a terminal sends to the whole group."""
  from multiprocessing import resource_tracker

  resource_tracker.ensure_running()  # started inside, it would let the signal through to this thread again
  before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
  try:
    yield
  finally:
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end_with(parent: int, number: int = signal.SIGTERM) -> None:
  """Has the kernel send this process a signal when its parent is gone, however that ended (on Linux).

  Args:
    parent: process that started this one.
    number: the signal.
  """
  set_death_signal = 1  # PR_SET_PDEATHSIG
  with contextlib.suppress(AttributeError, OSError):  # other systems have no such call
    ctypes.CDLL(None).prctl(set_death_signal, number)
  if os.getppid() != parent:
    os._exit(1)


_STARTER = "DFDETECT_STARTER"


def child_environment() -> dict[str, str]:
  """Environment for a program of this project that shall be told to stop when this one is gone."""
  return os.environ | {_STARTER: str(os.getpid())}


def end_with_starter() -> None:
  """Ties a program to the one that started it with `child_environment`; without one does nothing."""
  if parent := os.environ.pop(_STARTER, ""):  # this program's own children have another one
    end_with(int(parent))


def watch_parent(parent: int) -> None:
  """Ends this worker process within a second once its parent is gone, however that ended."""

  def look() -> None:
    while os.getppid() == parent:
      time.sleep(0.5)
    os._exit(1)

  threading.Thread(target=look, name="parent", daemon=True).start()


_SHARED = "/dev/shm/dfd"  # and then the process that reads it
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def name_shared_memory(reader: int) -> None:
  """Gives this process's shared memory names from which a later start can tell whose it was.

  Args:
    reader: process that it is written for.
  """
  from multiprocessing import shared_memory

  shared_memory._SHM_NAME_PREFIX = _prefix(reader)  # type: ignore[attr-defined]  # CPython's own, in no stub


def _prefix(reader: int) -> str:
  name = ""
  while reader:
    reader, digit = divmod(reader, 36)
    name = _DIGITS[digit] + name
  return f"/{os.path.basename(_SHARED)}{name}_"


def drop_shared_memory() -> None:
  """Removes what was written for this process and is still there; for the end of a program.

  Arrays that something still holds then are not deleted any more, and Python would call them leaks.
  """
  from multiprocessing import shared_memory

  for path in glob.glob(f"/dev/shm{_prefix(os.getpid())}*"):
    with contextlib.suppress(OSError):
      piece = shared_memory.SharedMemory(os.path.basename(path))
      piece.close()
      piece.unlink()


def sweep_shared_memory() -> int:
  """Removes the shared memory of readers that are gone, and tells how many pieces it was.

  Only what this user's own runs wrote: the names say so, and for which process.
  """
  swept = 0
  for path in glob.glob(f"{_SHARED}*_*"):
    reader = path.removeprefix(_SHARED).rpartition("_")[0]
    if not reader.isalnum():
      continue
    with contextlib.suppress(ValueError, OSError):
      if os.stat(path).st_uid == os.getuid() and not os.path.exists(f"/proc/{int(reader, 36)}"):
        os.unlink(path)
        swept += 1
  return swept
