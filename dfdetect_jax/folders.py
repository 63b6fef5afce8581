"""Folders of runs and datasets, on a disk or in a bucket."""

import importlib.util
import os
import pathlib

from etils import epath

from dfdetect_jax.errors import UserError


def as_folder(path: str | os.PathLike) -> pathlib.Path | epath.Path:
  """The folder that a user names, with pathlib's methods.

  Args:
    path: on this machine, or `gs://BUCKET/…`, which etils, Orbax and ArrayRecord read and write by themselves.

  Raises:
    UserError: another kind of address, or the package for buckets is missing.
  """
  if isinstance(path, pathlib.PurePath):
    return path
  scheme, found, _ = os.fspath(path).partition("://")
  if not found:
    return pathlib.Path(path)
  if scheme != "gs":
    raise UserError(
      f"{path}: {scheme}:// cannot be used, because the libraries that read shards and write checkpoints do not know "
      "it. Mount the bucket as a folder (Mountpoint for Amazon S3, s3fs, rclone mount) and give that folder's path."
    )
  if importlib.util.find_spec("gcsfs") is None:
    raise UserError(f"{path}: buckets need gcsfs. Install it with: pip install 'dfdetect_jax[gcs]'")
  return epath.Path(path)


def as_absolute(path: str | os.PathLike) -> pathlib.Path | epath.Path:
  """The folder by its whole name, as Orbax wants it. (etils would look for a bucket in the current folder.)"""
  folder = as_folder(path)
  return folder.resolve() if isinstance(folder, pathlib.Path) else folder
