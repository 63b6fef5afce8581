"""Folders of runs and datasets, on a disk or in a bucket, and files in them that are written whole or not at all."""

import contextlib
import functools
import glob
import importlib.util
import json
import os
import pathlib
import re
import shutil
from collections.abc import Iterator

from etils import epath

from dfdetect_jax.errors import UserError


def as_folder(path: str | os.PathLike) -> pathlib.Path | epath.Path:
  """The folder that a user names, with pathlib's methods.

  Args:
    path: on this machine, or `gs://BUCKET/…`, which etils, Orbax and ArrayRecord read and write by themselves.

  Raises:
    UserError: another kind of address, the package for buckets is missing, or the bucket cannot be reached.
  """
  if isinstance(path, pathlib.PurePath):
    return path
  scheme, found, rest = os.fspath(path).partition("://")
  if not found:
    return pathlib.Path(path)
  if scheme != "gs":
    raise UserError(
      f"{path}: {scheme}:// cannot be used, because the libraries that read shards and write checkpoints do not know "
      "it. Mount the bucket as a folder (Mountpoint for Amazon S3, s3fs, rclone mount) and give that folder's path."
    )
  if importlib.util.find_spec("gcsfs") is None:
    raise UserError(f"{path}: buckets need gcsfs. Install it with: pip install 'dfdetect_jax[gcs]'")
  _reach(rest.partition("/")[0])
  return epath.Path(path)


@functools.cache
def _reach(bucket: str) -> None:
  """Sets gcsfs up, and looks whether a bucket is there."""
  import fsspec

  # TensorStore and other processes write to the same folders: a remembered listing would not show that.
  fsspec.config.conf.setdefault("gcs", {}).setdefault("use_listings_cache", False)
  try:
    found, why = epath.Path(f"gs://{bucket}").exists(), "there is none of this name, or you may not see it"
  except Exception as error:  # of gcsfs, aiohttp, google.auth or requests
    found, why = False, str(error)
  if not found:
    raise UserError(
      f"the bucket gs://{bucket} cannot be reached ({why}). Check its name, sign in with 'gcloud auth "
      "application-default login' (or let GOOGLE_APPLICATION_CREDENTIALS name a key file), and let the account read "
      "the bucket and its objects, and write them for a workdir."
    )


def as_absolute(path: str | os.PathLike) -> pathlib.Path | epath.Path:
  """The folder by its whole name, as Orbax wants it. (etils would look for a bucket in the current folder.)"""
  folder = as_folder(path)
  return folder.resolve() if isinstance(folder, pathlib.Path) else folder


def on_disk(path: str | os.PathLike) -> pathlib.Path:
  """The folder on this machine, for programs that write to no other place.

  Raises:
    UserError: the path is an address, which would become a local folder named `gs:`.
  """
  if re.match(r"[a-z]\w*:/", os.fspath(path)):  # one slash: pathlib drops the second
    raise UserError(
      f"{path}: this program writes to a disk or a mounted bucket only. Give a folder there, and copy it when it is "
      "finished: gcloud storage cp --recursive FOLDER gs://BUCKET/…"
    )
  return pathlib.Path(path)


def user_cache() -> pathlib.Path:
  """The project's folder for what is kept to save time and may be deleted: `dfdetect_jax` in the user's cache folder.

  Raises:
    RuntimeError: the user has no home.
  """
  given = os.environ.get("XDG_CACHE_HOME", "")
  caches = pathlib.Path(given) if os.path.isabs(given) else pathlib.Path.home() / ".cache"  # as the XDG standard has it
  return caches / "dfdetect_jax"


def move(source: pathlib.Path | epath.Path, target: pathlib.Path | epath.Path) -> None:
  """Moves a folder to a name that is free, and makes the folder around it; in a bucket object by object."""
  target.parent.mkdir(parents=True, exist_ok=True)
  if str(source).startswith("gs://"):  # where there are no empty folders, and etils wants to see the one around it
    import fsspec

    fsspec.filesystem("gcs").mv(str(source), str(target), recursive=True)
  else:
    source.rename(target)


def write_whole(path: pathlib.Path | epath.Path, content: str | bytes) -> None:
  """Writes a file under another name and then renames it, so that nobody sees half of it.

  Args:
    path: in a folder that exists.
    content: text is written as UTF-8, line ends as they are.

  Raises:
    OSError: it cannot be written; what was there before still is.
  """
  with whole(path) as partial:
    partial.write_bytes(content if isinstance(content, bytes) else content.encode())


@contextlib.contextmanager
def whole(path: pathlib.Path | epath.Path) -> Iterator[pathlib.Path | epath.Path]:
  """A block that writes a file or a folder under the name it is given, which becomes the path's own when it ends.

  Where it ends by an exception nothing is left, and what was there before still is.
  """
  partial = partial_name(path)
  try:
    yield partial
    partial.replace(path)
  except BaseException:
    _remove(partial)
    raise


def partial_name(path: pathlib.Path | epath.Path) -> pathlib.Path | epath.Path:
  """The name under which this process writes a file until it is whole.

  Of this process alone: two that write the same file would take each other's. In a bucket the name is the same each
  time, since nobody sweeps there what a kill leaves behind.
  """
  own = f".{os.getpid()}" if isinstance(path, pathlib.Path) else ""
  return path.with_name(f"{path.name.encode()[:200].decode(errors='ignore')}{own}.partial")  # no name has 256 bytes


def sweep_partial(folder: pathlib.Path | epath.Path, name: str = "") -> None:
  """Removes what processes that were killed while they wrote a file have left of it in a folder; "": of any file."""
  if not isinstance(folder, pathlib.Path):
    return
  for left in folder.glob(f"{glob.escape(name) or '*'}.*.partial"):
    process = left.name.split(".")[-2]
    if process.isdecimal() and not _is_running(int(process)):
      _remove(left)


def _is_running(process: int) -> bool:
  try:
    os.kill(process, 0)
  except ProcessLookupError:
    return False
  except OSError:  # it is somebody else's
    pass
  return True


def _remove(path: pathlib.Path | epath.Path) -> None:
  with contextlib.suppress(Exception):  # of a bucket it need not be an OSError; what went wrong before is told
    if path.is_dir():
      shutil.rmtree(path)
    else:
      path.unlink()


def check_writable(folder: pathlib.Path | epath.Path) -> None:
  """Tries to write a file into a folder, which may not be there yet, before any work is done for it; leaves nothing.

  Raises:
    OSError: it cannot be written.
  """
  made = [path for path in (folder, *folder.parents) if not path.exists()] if isinstance(folder, pathlib.Path) else []
  folder.mkdir(parents=True, exist_ok=True)
  probe = folder / f".probe.{os.getpid()}.partial"
  probe.write_bytes(b"?")
  probe.unlink()
  for path in made:
    with contextlib.suppress(OSError):  # somebody else uses it already
      path.rmdir()


def write_json(path: pathlib.Path | epath.Path, content: dict) -> None:
  """Writes a JSON file as `write_whole` does; `files.read_json` reads it."""
  write_whole(path, json.dumps(content, indent=2) + "\n")
