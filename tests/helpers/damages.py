"""Damages of files, as disks and people do them, and what a program says to them."""

import contextlib
import io
import pathlib
import random
import traceback
from collections.abc import Callable


def file_of(root: pathlib.Path, name: str, draw: random.Random) -> pathlib.Path:
  """The file that a name stands for; of a checkpoint's item one of its files, the larger the likelier."""
  path = next(root.glob(name)) if "*" in name else root / name
  if not path.is_dir():
    return path
  files = sorted(file for file in path.rglob("*") if file.is_file() and file.stat().st_size)
  return draw.choices(files, [file.stat().st_size for file in files])[0]


def neighbour(path: pathlib.Path) -> pathlib.Path:
  """A file that could be mistaken for this one: of the other checkpoint, the other shard, else the next one."""
  text = str(path)
  pairs = (("/checkpoints/6/", "/checkpoints/3/"), ("-00000", "-00001"), ("-00001", "-00000"))
  for mine, other in pairs:
    if mine in text:
      found = pathlib.Path(text.replace(mine, other, 1))
      if found.is_file():
        return found
  others = sorted(p for p in path.parent.iterdir() if p.is_file() and p != path)
  return others[0] if others else path


def flip(path: pathlib.Path, draw: random.Random) -> None:
  content = bytearray(path.read_bytes())
  content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
  path.write_bytes(content)


def folder(path: pathlib.Path) -> None:
  path.unlink()
  path.mkdir()


DAMAGES: dict[str, Callable[[pathlib.Path, random.Random], object]] = {
  "empty": lambda path, draw: path.write_bytes(b""),
  "half": lambda path, draw: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
  "flip": flip,
  "flip again": flip,
  "other type": lambda path, draw: path.write_bytes(b"[]" if path.suffix in (".json", ".jsonl") else bytes(range(256))),
  "null": lambda path, draw: path.write_bytes(b"null\n"),
  "latin-1": lambda path, draw: path.write_bytes(b'{"\xe9": 1}'),
  "unreadable": lambda path, draw: folder(path),  # even for root, as who tests often run
  "gone": lambda path, draw: path.unlink(),
  "neighbour": lambda path, draw: path.write_bytes(neighbour(path).read_bytes()),
}

WORDS = [b"", b"null", b"[]", b"{}", b"-1", b"1e999", b'""', b"NaN", b"true", b"\xff", b"\0", b"\n", b",", b'"', b"\r",
         b"9" * 30, b"../", "é".encode("latin-1"), "\u2028".encode(), b"[" * 3000]  # fmt: skip


def mutated_bytes(content: bytes, draw: random.Random) -> bytes:
  """Bytes flipped, cut out, doubled or put in."""
  a, b = sorted(draw.randrange(len(content) + 1) for _ in range(2))
  b = min(b, a + draw.choice((1, 1, 8, 1000)))
  kind = draw.randrange(4)
  if kind == 0 and a < len(content):
    return content[:a] + bytes([content[a] ^ 1 << draw.randrange(8)]) + content[a + 1 :]
  return content[:a] + {0: b"", 1: b"", 2: content[a:b] * 2, 3: draw.choice(WORDS)}[kind] + content[b:]


def call(function: Callable[[], object]) -> tuple[int | str, str]:
  """Exit status (or the traceback) and output of a program called in this process."""
  out = io.StringIO()
  with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
    try:
      status = function() or 0
    except SystemExit as stop:
      status = stop.code or 0
    except Exception:
      return traceback.format_exc(), out.getvalue()
  return status, out.getvalue()
