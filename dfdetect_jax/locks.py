"""One at a time in a folder: a lock file that names who holds it, and is recognised as left over when they are gone.

On the holder's own machine its process id and start time tell; from another one, whether the file is still touched.
"""

import contextlib
import dataclasses
import fcntl
import json
import os
import pathlib
import socket
import sys
import threading
import time
from collections.abc import Iterator

from dfdetect_jax.errors import UserError
from dfdetect_jax.files import DamagedFile, make, read_json

TOUCH_SECONDS = 10.0
# A holder on another machine that has not touched its file for so long is gone.
SILENT_SECONDS = 60.0


@dataclasses.dataclass(frozen=True)
class Holder:
  """Who holds a lock.

  Attributes:
    host: name of the machine.
    space: of its process ids: boot and namespace, so that containers of one name are told apart.
    pid: process.
    started: its start, in clock ticks since boot; another process may get its id later.
    program: what it does, for the message.
  """

  host: str
  space: str
  pid: int
  started: int
  program: str


@contextlib.contextmanager
def held(path: pathlib.Path, program: str, what: str) -> Iterator[None]:
  """Holds a lock during a block.

  Args:
    path: of the lock file; its folder is made. A path in a bucket, where no file can be made by one alone, is not
      locked.
    program: what holds it: "training".
    what: is held, for the message: "the workdir runs/dip".

  Raises:
    UserError: another process holds it; its host and process id are named.
    OSError: the folder cannot be written.
  """
  if not isinstance(path, pathlib.Path):
    yield
    return
  me = _me(program)
  made = [folder for folder in path.parents if not folder.exists()]
  path.parent.mkdir(parents=True, exist_ok=True)
  _take(path, me, what)
  done = threading.Event()

  def touch() -> None:
    while not done.wait(TOUCH_SECONDS):
      with contextlib.suppress(OSError):
        os.utime(path)

  threading.Thread(target=touch, name="lock", daemon=True).start()
  try:
    yield
  finally:
    done.set()
    with contextlib.suppress(OSError, DamagedFile):
      if _read(path) == me:
        path.unlink()
      for folder in made:  # as long as nothing came of it
        folder.rmdir()


def _take(path: pathlib.Path, me: Holder, what: str) -> None:
  waited_for = None
  while True:
    with _alone(path):
      other = _read(path)
      if other is None or other == waited_for or _is_gone(other):
        if other is not None:
          print(
            f"{path} was left by process {other.pid} on {other.host}, which is gone: taken over.",
            file=sys.stderr, flush=True,
          )  # fmt: skip
        path.write_text(json.dumps(dataclasses.asdict(me)) + "\n")
        return
    _refuse_alive(path, other, what)
    waited_for = other


def refuse_held(path: pathlib.Path, what: str) -> None:
  """For who holds another lock, and cannot work beside the holder of this one.

  Args:
    path: of the lock file.
    what: is held, for the message.

  Raises:
    UserError: another process holds it.
  """
  other = _read(path)
  if other is not None and not _is_gone(other):
    _refuse_alive(path, other, what)


def _refuse_alive(path: pathlib.Path, other: Holder, what: str) -> None:
  """Returns once a holder has been found to be gone."""
  if _is_here(other) or not _falls_silent(path, other):
    raise UserError(
      f"{what} is in use: process {other.pid} on {other.host} ({other.program}) holds {path}. Wait for it or stop "
      "it, or name another folder."
    )


@contextlib.contextmanager
def _alone(path: pathlib.Path) -> Iterator[None]:
  """A moment in which no other process of this machine (or file server) looks at the lock file."""
  folder = os.open(path.parent, os.O_RDONLY)
  try:
    with contextlib.suppress(OSError):  # some file systems cannot lock
      fcntl.flock(folder, fcntl.LOCK_EX)
    yield
  finally:
    os.close(folder)


def _read(path: pathlib.Path) -> Holder | None:
  """The holder, None if there is none or its file was cut."""
  try:
    return make(Holder, read_json(path, ""), path, "")
  except DamagedFile:
    return None


def _falls_silent(path: pathlib.Path, other: Holder) -> bool:
  """Whether a holder on another machine has stopped touching its file; takes as long as that may last."""
  print(
    f"{path} is held by process {other.pid} on {other.host}: looking for {SILENT_SECONDS:g} s whether it is alive …",
    file=sys.stderr, flush=True,
  )  # fmt: skip
  before, end = _touched(path), time.monotonic() + SILENT_SECONDS
  while time.monotonic() < end:
    time.sleep(min(1.0, SILENT_SECONDS / 10))
    if (now := _touched(path)) != before:
      return now is None  # it has let go
  return True


def _touched(path: pathlib.Path) -> int | None:
  try:
    return path.stat().st_mtime_ns
  except OSError:
    return None


def _me(program: str) -> Holder:
  return Holder(socket.gethostname(), _space(), os.getpid(), _started(os.getpid()) or 0, program)


def _is_here(holder: Holder) -> bool:
  return (holder.host, holder.space) == (socket.gethostname(), _space())


def _is_gone(holder: Holder) -> bool:
  """Whether a process of this machine has ended."""
  return _is_here(holder) and _started(holder.pid) != holder.started


def _space() -> str:
  try:
    boot = pathlib.Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot} {os.readlink('/proc/self/ns/pid')}"
  except OSError:  # not Linux
    return ""


def _started(pid: int) -> int | None:
  """Start time of a process in clock ticks since boot, None if there is none."""
  try:
    return int(pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
  except OSError:
    if os.path.isdir("/proc/self"):
      return None
  try:  # no /proc: whether it is there is all that can be known
    os.kill(pid, 0)
  except ProcessLookupError:
    return None
  except OSError:
    pass
  return 0
