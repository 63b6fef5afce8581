"""The videos that a user names: files, folders and lists, each once, in a fixed order."""

import codecs
import os
import pathlib
import sys
from collections.abc import Sequence

from dfdetect_jax.errors import UserError
from dfdetect_jax.prediction.verdict import shown

# Endings of what is looked at in a folder; a file that is named is tried whatever it is called.
ENDINGS = (
  ".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".flv", ".wmv", ".mpg", ".mpeg", ".ts", ".mts", ".m2ts", ".3gp",
  ".ogv", ".gif", ".vob", ".dv", ".mxf", ".264", ".h264", ".265", ".hevc", ".y4m", ".asf", ".f4v",
)  # fmt: skip


def find_videos(named: Sequence[str], lists: Sequence[str] = ()) -> tuple[list[str], list[str]]:
  """The videos to judge.

  Args:
    named: files, or folders, which are searched with all folders in them.
    lists: text files with a path on each line, relative to the list's folder or the current one; "-" is stdin. Line
      ends, slashes and the byte order mark may be those of Windows.

  Returns:
    Paths, and what must be told: files of folders that were not taken, paths given twice.

  Raises:
    UserError: nothing is named, a list cannot be read, or a folder holds no video.
  """
  paths: list[str] = []
  notes: list[str] = []
  for path in named:
    paths += _in_folder(path, notes) if os.path.isdir(path) else [path]
  for file in lists:
    paths += _in_list(file)
  if not paths:
    raise UserError("no video is named: give files, folders, or a list of them with --list=FILE.")
  once = list({os.path.abspath(path): path for path in paths}.values())
  if len(once) < len(paths):
    notes.append(f"{len(paths) - len(once)} videos are named more than once and are judged once.")
  return once, notes


def _in_folder(folder: str, notes: list[str]) -> list[str]:
  videos: list[str] = []
  others: list[str] = []

  def cannot(error: OSError) -> None:
    notes.append(f"{shown(error.filename)} cannot be read ({error.strerror}): its videos are left out.")

  seen: set[str] = set()
  for where, folders, files in os.walk(folder, onerror=cannot, followlinks=True):
    real = os.path.realpath(where)
    if real in seen:  # linked folders are followed once, also where they lead in a circle
      folders.clear()
      continue
    seen.add(real)
    folders.sort()
    for name in sorted(files):
      taken = os.path.splitext(name)[1].lower() in ENDINGS and not name.startswith(".")
      (videos if taken else others).append(os.path.join(where, name))
  if not videos:
    raise UserError(
      f"{shown(folder)} holds no video ({len(others)} other files); videos end in {', '.join(ENDINGS[:8])}, …"
    )
  if others:
    notes.append(f"{len(others)} files of {shown(folder)} are no videos by name, such as {shown(others[0])}: left out.")
  return videos


def _in_list(file: str) -> list[str]:
  try:
    content = sys.stdin.buffer.read() if file == "-" else pathlib.Path(file).read_bytes()
  except OSError as error:
    raise UserError(f"--list={shown(file)} cannot be read ({error.strerror or error}).") from error
  content = content.removeprefix(codecs.BOM_UTF8)
  lines = [os.fsdecode(line.strip(b"\r")) for line in content.split(b"\n") if line.strip()]
  if not lines:
    raise UserError(f"--list={shown(file)} names no video: it must have a path on each line.")
  beside = "" if file == "-" else os.path.dirname(file)
  return [_there(line, beside) for line in lines]


def _there(path: str, beside: str) -> str:
  """The path as it leads to a file: from here, from the list's folder, or with the slashes of another system."""
  ways = [path, os.path.join(beside, path)]
  ways += [way.replace("\\", "/") for way in ways]
  return next((way for way in ways if os.path.exists(way)), path)
