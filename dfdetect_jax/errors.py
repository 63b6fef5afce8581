"""The user's mistakes, told in a paragraph instead of a traceback."""

import contextlib
import sys
from collections.abc import Iterator


class UserError(Exception):
  """Something the user gave is wrong. The message says what, where, and what to do about it."""


@contextlib.contextmanager
def exit_on_user_error(program: str) -> Iterator[None]:
  """Turns a `UserError` inside the block into one paragraph on stderr and exit status 2.

  Every entry point wraps its main in it; any other exception keeps its traceback, because that is our mistake.

  Args:
    program: name of the entry point, printed before the message.
  """
  try:
    yield
  except UserError as error:
    print(f"{program}: error: {error}", file=sys.stderr)
    sys.exit(2)
