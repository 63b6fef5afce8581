"""Programs that run other programs of this project."""

import shlex
import subprocess
import sys

from dfdetect_jax import signals
from dfdetect_jax.errors import UserError


def run(*command: str, accepted: tuple[int, ...] = (0,)) -> None:
  """Prints a command and runs it with this Python.

  Raises:
    UserError: it failed.
  """
  shown = shlex.join(["python", "-m", *command])
  print(f"\n$ {shown}", flush=True)
  with subprocess.Popen([sys.executable, "-m", *command], env=signals.child_environment()) as child:
    try:
      status = child.wait()
    except BaseException:  # told to stop: so is the child, which may have something to save
      child.terminate()
      child.wait()
      raise
  if status not in accepted:
    raise UserError(f"'{shown}' ended with status {status}; what it printed above says why.")
