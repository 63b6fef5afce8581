"""What lies in archives, kept from one listing to the next: to know it an archive must be unpacked from end to end."""

import contextlib
import os
import pathlib
from collections.abc import Callable

from dfdetect_jax.errors import UserError
from dfdetect_jax.files import read_json, sealed
from dfdetect_jax.folders import user_cache, write_json

FILE = "archives.json"


class SeenArchives:
  """The folders of pictures in each archive, by path, size and time of last change; for a `with` block.

  The file lies in the user's cache folder and may be deleted at any time. Where it cannot be read or written, archives
  are read again.
  """

  def __enter__(self) -> "SeenArchives":
    self._kept: dict[str, list] = {}
    self._new: dict[str, list] = {}
    with contextlib.suppress(UserError, RuntimeError):  # there is none, or it was damaged; there is no home
      self._kept = read_json(user_cache() / FILE, "it is made anew")
    return self

  def folders(self, archive: pathlib.Path, read: Callable[[pathlib.Path], list[str]]) -> list[str]:
    """The folders in an archive: those that were kept, or what `read` finds."""
    status, name = archive.stat(), str(archive.resolve())
    state = [status.st_size, status.st_mtime_ns]
    before = self._kept.get(name)
    if isinstance(before, list) and before[:2] == state:
      return before[2]
    found = read(archive)
    self._new[name] = [*state, found]
    return found

  def __exit__(self, *error: object) -> None:
    if not self._new:
      return
    there = {name: entry for name, entry in (self._kept | self._new).items() if os.path.exists(name)}
    with contextlib.suppress(OSError, RuntimeError):
      user_cache().mkdir(parents=True, exist_ok=True)
      write_json(user_cache() / FILE, sealed(there))
