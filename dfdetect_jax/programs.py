"""Programs that run other programs of this project."""

import shlex
import subprocess
import sys

from dfdetect_jax.errors import UserError


def run(*command: str, accepted: tuple[int, ...] = (0,)) -> None:
  """Prints a command and runs it with this Python.

  Raises:
    UserError: it failed.
  """
  shown = shlex.join(["python", "-m", *command])
  print(f"\n$ {shown}", flush=True)
  status = subprocess.run([sys.executable, "-m", *command], check=False).returncode
  if status not in accepted:
    raise UserError(f"'{shown}' ended with status {status}; what it printed above says why.")
