"""Who is there, before the job begins: an absent process is named in a sentence, in the time that is stated.

jax's own service waits for minutes, names nobody, and then aborts the process. Process 0 listens where that service
will listen afterwards; every other process says its number and how many it believes there are, and waits for "go".
"""

import contextlib
import json
import socket
import time

from dfdetect_jax.errors import UserError

_HELLO_SECONDS = 5.0


def roll_call(coordinator: str, count: int, me: int, timeout: float) -> None:
  """Returns when all processes of the job are there.

  Args:
    coordinator: host:port of process 0.
    count: processes of the job.
    me: number of this one.
    timeout: seconds to wait for the others.

  Raises:
    UserError: a process is missing, comes twice, or counts otherwise; on all that are there.
  """
  host, _, port = coordinator.rpartition(":")
  if not (host and port.isdigit() and 0 < int(port) < 65536):
    raise UserError(f"--coordinator={coordinator} must be HOST:PORT of process 0, for example 10.0.0.1:8476.")
  if not 0 <= me < count:
    raise UserError(f"--process-id={me} must lie from 0 to {count - 1}: the job has --num-processes={count}.")
  end = time.monotonic() + timeout
  if me == 0:
    _call(int(port), count, end, timeout)
  else:
    _answer(host.strip("[]"), int(port), count, me, end, timeout)


def _call(port: int, count: int, end: float, timeout: float) -> None:
  there: dict[int, socket.socket] = {}
  with contextlib.ExitStack() as stack:
    try:
      server = stack.enter_context(socket.create_server(("", port)))
    except OSError as error:
      raise UserError(
        f"process 0 cannot listen on port {port} ({error.strerror}): an earlier job may still hold it. Choose another "
        "port in --coordinator, for all processes."
      ) from error
    wrong = ""
    while len(there) < count - 1 and not wrong:
      server.settimeout(max(end - time.monotonic(), 0.01))
      try:
        connection, _ = server.accept()
      except TimeoutError:
        missing = [str(i) for i in range(1, count) if i not in there]
        wrong = f"process {', '.join(missing)} of {count} did not come within {timeout:g} s (--join-timeout)"
        break
      stack.enter_context(connection)
      connection.settimeout(_HELLO_SECONDS)
      try:
        number, counts = json.loads(connection.makefile().readline())
      except (OSError, ValueError, TypeError):
        continue  # somebody else knocked
      if counts != count:
        wrong = f"process {number} was started with --num-processes={counts}, process 0 with {count}"
      elif number in there:
        wrong = f"two processes have --process-id={number}"
      there[number] = connection
    for connection in there.values():
      with contextlib.suppress(OSError):
        connection.sendall(json.dumps(wrong).encode() + b"\n")
  if wrong:
    raise UserError(f"the job cannot begin: {wrong}.")


def _answer(host: str, port: int, count: int, me: int, end: float, timeout: float) -> None:
  said = "refused"
  while time.monotonic() < end:
    try:
      with socket.create_connection((host, port), timeout=max(end - time.monotonic(), 0.01)) as connection:
        connection.sendall(json.dumps([me, count]).encode() + b"\n")
        # Process 0 tells of its own timeout, which may have begun later.
        connection.settimeout(timeout + _HELLO_SECONDS)
        line = connection.makefile().readline()
      if line:
        if wrong := json.loads(line):
          raise UserError(f"the job cannot begin: {wrong}.")
        return
      said = "went away"
    except (OSError, ValueError) as error:
      said = getattr(error, "strerror", None) or str(error)
    time.sleep(0.2)
  raise UserError(
    f"process 0 of the job was not found at {host}:{port} within {timeout:g} s ({said}). Check that it was started, "
    "that all processes have the same --coordinator, and that its host and port can be reached from here (firewall, "
    "proxy variables); --join-timeout is how long to wait."
  )
