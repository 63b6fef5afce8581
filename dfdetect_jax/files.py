"""Our own small files, read in one way: what is wrong with one is told in a sentence with file, line and cure.

A file of ours is written whole or not at all (`folders.write_whole`); what is empty, half, of another kind or of
another program when it is read was damaged afterwards, or edited. JSON files that others hang on carry a seal, the
SHA-256 of the rest of their content, by which a change that still parses is noticed too; older files have none.
"""

import csv
import dataclasses
import functools
import hashlib
import io
import json
import math
import pathlib
import sys
import types
import typing
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, TypeVar, cast

from etils import epath

from dfdetect_jax.errors import UserError, did_you_mean

SEAL = "content_sha256"
Path: TypeAlias = pathlib.Path | epath.Path
_T = TypeVar("_T")


class DamagedFile(UserError):
  """A file of ours is not what it was written as."""


def damaged(where: object, what: str, cure: str) -> DamagedFile:
  """The sentence: which file (and line), what is wrong with it, what to do."""
  return DamagedFile(f"{where} cannot be read ({what}): {cure}.")


def file_sha256(path: str | Path) -> str:
  """Hexadecimal SHA-256 of a file's bytes."""
  with epath.Path(path).open("rb") as file:
    return hashlib.file_digest(file, "sha256").hexdigest()


def read_bytes(path: Path, cure: str) -> bytes:
  """A file's content.

  Args:
    path: of the file.
    cure: what the user can do, the end of a sentence: "build the shards again".

  Raises:
    DamagedFile: it cannot be read.
  """
  try:
    return path.read_bytes()
  except OSError as error:
    raise DamagedFile(f"{path} cannot be read ({error.strerror or error}): {cure}.") from error


def read_text(path: Path, cure: str) -> str:
  """A file's text, as `read_bytes`; a byte order mark is dropped.

  Raises:
    DamagedFile: it cannot be read, or is not UTF-8.
  """
  try:
    return read_bytes(path, cure).decode("utf-8-sig")
  except UnicodeDecodeError as error:
    raise damaged(path, f"not UTF-8 text: byte {error.start}", cure) from error


def parse_json(text: str, where: object, cure: str, kind: type = dict) -> Any:
  """What a JSON text holds.

  Args:
    text: of the file, or of a line of it.
    where: file and line, for the message.
    cure: see `read_bytes`.
    kind: what it must be.

  Raises:
    DamagedFile: it is not JSON, or of another kind.
  """
  try:
    content = json.loads(text)
  except (ValueError, RecursionError) as error:
    raise damaged(where, f"not JSON: {error}" if text.strip() else "empty", cure) from error
  if type(content) is not kind:
    raise damaged(where, f"{_kind(content)} where {_KINDS.get(kind, kind.__name__)} belongs", cure)
  return content


def read_json(path: Path, cure: str) -> dict[str, Any]:
  """The object in a JSON file; its seal, if it has one, is checked and taken off.

  Raises:
    DamagedFile: it is not JSON, not an object, or not what was sealed.
  """
  content = parse_json(read_text(path, cure), path, cure)
  if content.pop(SEAL, None) not in (None, _digest(content)):
    raise damaged(path, "its checksum differs from what it holds", cure)
  return content


def sealed(content: dict[str, Any]) -> dict[str, Any]:
  """A JSON object with its seal."""
  return content | {SEAL: _digest(content)}


def _digest(content: dict[str, Any]) -> str:
  return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def read_lines(path: Path, cure: str) -> list[tuple[str, dict[str, Any]]]:
  """The objects of a JSON-lines file, each after its place (`FILE, line N`).

  Raises:
    DamagedFile: a line is not an object.
  """
  places = ((f"{path}, line {n}", line) for n, line in enumerate(read_text(path, cure).split("\n"), 1) if line)
  return [(where, parse_json(line, where, cure)) for where, line in places]


def read_rows(path: Path, columns: Sequence[str], cure: str) -> list[tuple[str, dict[str, str]]]:
  """The rows of a CSV file, each after its place; fields may be of any length.

  Args:
    path: of the file.
    columns: that must be there; others may.
    cure: see `read_bytes`.

  Raises:
    DamagedFile: a column is missing, or a row has fields too many or too few.
  """
  return parse_rows(read_text(path, cure), path, columns, cure)


def parse_rows(text: str, path: object, columns: Sequence[str], cure: str) -> list[tuple[str, dict[str, str]]]:
  """The rows of a CSV text; `path` names its file in messages, all else as in `read_rows`.

  Raises:
    DamagedFile: a column is missing, or a row has fields too many or too few.
  """
  csv.field_size_limit(sys.maxsize)  # the module's own limit is 131,072 characters: clip scores of a long video
  try:
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    header = reader.fieldnames or []
    rows = [(f"{path}, line {reader.line_num}", row) for row in reader]
  except csv.Error as error:
    raise damaged(path, f"not CSV: {error}", cure) from error
  lacking = [name for name in columns if name not in header]
  if lacking:
    raise damaged(path, f"column {', '.join(lacking)} is missing; it has: {', '.join(header) or 'none'}", cure)
  for where, row in rows:
    if None in row or None in row.values():
      raise damaged(where, f"{'more' if None in row else 'fewer'} fields than the {len(header)} columns", cure)
  return rows


def make(cls: Callable[..., _T], values: dict[str, Any], where: object, cure: str) -> _T:
  """A dataclass from the object that a file holds, its fields' names and types checked.

  Args:
    cls: the dataclass. Fields of its own that are dataclasses, lists or tuples of them are made likewise.
    values: of its fields; those with a default may be missing.
    where: file and line, for the message.
    cure: see `read_bytes`.

  Raises:
    DamagedFile: a field is missing, unknown, or of another type.
  """
  for name in _fields(cls)[1]:
    if name not in values:
      raise damaged(where, f"'{name}' is missing", cure)
  return cls(**convert(cls, values, where, cure))


def convert(cls: Callable[..., object], values: dict[str, Any], where: object, cure: str) -> dict[str, Any]:
  """Some fields of a dataclass from the object that a file holds, as in `make`.

  Raises:
    DamagedFile: a field is unknown, or of another type.
  """
  hints = _fields(cls)[0]
  made = {}
  for name, value in values.items():
    if name not in hints:
      raise damaged(where, f"'{name}' is not known.{did_you_mean(name, hints)}", cure)
    try:
      made[name] = _convert(hints[name], value, where, cure)
    except TypeError as error:
      raise damaged(where, f"'{name}' is {error}", cure) from error
  return made


@functools.cache
def _fields(cls) -> tuple[dict[str, Any], tuple[str, ...]]:
  missing = dataclasses.MISSING
  needed = [f.name for f in dataclasses.fields(cls) if f.default is missing and f.default_factory is missing]
  return typing.get_type_hints(cls), tuple(needed)


def _convert(hint: Any, value: Any, where: object, cure: str) -> Any:
  """The value as its hint says it is; TypeError says what it is instead."""
  if hint is Any or type(value) is hint and hint in (str, int, bool):
    return value
  if hint is float and type(value) in (int, float) and math.isfinite(value):
    return float(value)
  origin, arguments = typing.get_origin(hint), typing.get_args(hint)
  if origin in (types.UnionType, typing.Union):
    for one in arguments:
      try:
        return _convert(one, value, where, cure)
      except TypeError:
        pass
  elif hint is types.NoneType and value is None:
    return None
  elif origin in (list, tuple) and type(value) is list:
    return origin(_convert(arguments[0], item, where, cure) for item in value)
  elif origin is dict and type(value) is dict:
    return {str(key): _convert(arguments[1], item, where, cure) for key, item in value.items()}
  elif dataclasses.is_dataclass(hint) and type(value) is dict:
    return make(cast(type, hint), value, where, cure)
  raise TypeError(f"{_kind(value)}, {_KINDS.get(hint, getattr(hint, '__name__', hint))} belongs there")


_KINDS = {
  dict: "an object",
  list: "a list",
  str: "text",
  int: "a whole number",
  float: "a number",
  bool: "true or false",
}


def _kind(value: Any) -> str:
  shown = repr(value) if len(repr(value)) < 40 else ""
  return f"{_KINDS.get(type(value), 'nothing')} {shown}".strip()
