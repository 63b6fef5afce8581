"""What the user is told: mistakes in a paragraph instead of a traceback, warnings in a line."""

import contextlib
import difflib
import logging
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


def unknown(
  what: str, name: object, known: Iterable[object], where: str = "", more: str = "", cutoff: float = 0.6
) -> UserError:
  """What is said of a name that nothing is called by: `there is no WHAT 'NAME'. Did you mean …? There are: ….`

  Args:
    what: kind of thing.
    name: what the user wrote.
    known: all names there are.
    where: in front, such as `--distortion=blurr: `.
    more: behind, a sentence.
    cutoff: see `did_you_mean`.
  """
  names = [str(other) for other in known]
  hint = did_you_mean(str(name), names, cutoff)
  return UserError(f"{where}there is no {what} '{name}'.{hint} There are: {', '.join(names)}.{more and ' ' + more}")


def check_one_of(name: str, value: object, choices: Iterable[str], where: str = "") -> None:
  """Refuses a setting that is none of the names that it may be: `NAME is 'VALUE', it must be one of ….`

  Args:
    name: of the setting.
    value: that it was given.
    choices: what it may be.
    where: in front, such as `DIP: `.

  Raises:
    UserError: it is none of them.
  """
  choices = tuple(choices)
  if value not in choices:
    hint = did_you_mean(str(value), choices)
    raise UserError(f"{where}{name} is '{value}', it must be one of {', '.join(choices)}.{hint}")


def unwritable(where: object, error: Exception, cure: str = "choose another folder") -> UserError:
  """What is said when something cannot be written.

  Args:
    where: file or folder, or the flag that named it.
    error: that the system gave.
    cure: what to do.
  """
  return UserError(f"{where} cannot be written ({getattr(error, 'strerror', None) or error}): {cure}.")


LOGGERS = ("dfdetect_jax", "data_pipelines")  # every module logs below one of them


@contextlib.contextmanager
def show_warnings() -> Iterator[None]:
  """Shows the warnings of the project inside the block on stderr, a line `WARNING: …` each: how programs do it.

  A library configures nothing: there Python shows them bare, `logging.getLogger("dfdetect_jax").setLevel("ERROR")`
  silences them, and any handler takes them.
  """
  handler = logging.StreamHandler()
  handler.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
  loggers = [logger for name in LOGGERS if not (logger := logging.getLogger(name)).handlers]  # not those of a caller
  for logger in loggers:
    logger.addHandler(handler)
    logger.propagate = False  # some library may have given the root a handler, which would show them again
  try:
    yield
  finally:
    for logger in loggers:
      logger.removeHandler(handler)
      logger.propagate = True


@contextlib.contextmanager
def exit_on_user_error(program: str) -> Iterator[None]:
  """Turns a `UserError` inside the block into one paragraph on stderr and exit status 2.

  Every entry point wraps its main in it; any other exception keeps its traceback, because that is our mistake. Ctrl-C
  and SIGTERM end it in one sentence too, with status 130 and 75 (see `signals`). Warnings are shown as `show_warnings`
  says.

  Args:
    program: name of the entry point, printed before the message.
  """
  with stopping(program), show_warnings():
    try:
      yield
    except UserError as error:
      print(f"{program}: error: {error}", file=sys.stderr)
      sys.exit(2)
