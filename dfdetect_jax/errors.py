"""The user's mistakes, told in a paragraph instead of a traceback."""

import contextlib
import difflib
import sys
from collections.abc import Iterable, Iterator

from dfdetect_jax.signals import stopping


class UserError(Exception):
  """Something the user gave is wrong. The message says what, where, and what to do about it."""


def did_you_mean(name: str, known: Iterable[str], cutoff: float = 0.6) -> str:
  """` Did you mean 'x'?` with the known name that is nearest to a mistyped one; "" where none is near.

  Args:
    name: what the user wrote.
    known: what could be meant.
    cutoff: how alike they must be, from 0 to 1 (see difflib).
  """
  close = difflib.get_close_matches(name, known, 1, cutoff)
  return f" Did you mean '{close[0]}'?" if close else ""


def unwritable(where: object, error: Exception, cure: str = "choose another folder") -> UserError:
  """What is said when something cannot be written.

  Args:
    where: file or folder, or the flag that named it.
    error: that the system gave.
    cure: what to do.
  """
  return UserError(f"{where} cannot be written ({getattr(error, 'strerror', None) or error}): {cure}.")


@contextlib.contextmanager
def exit_on_user_error(program: str) -> Iterator[None]:
  """Turns a `UserError` inside the block into one paragraph on stderr and exit status 2.

  Every entry point wraps its main in it; any other exception keeps its traceback, because that is our mistake. Ctrl-C
  and SIGTERM end it in one sentence too, with status 130 and 75 (see `signals`).

  Args:
    program: name of the entry point, printed before the message.
  """
  with stopping(program):
    try:
      yield
    except UserError as error:
      print(f"{program}: error: {error}", file=sys.stderr)
      sys.exit(2)
