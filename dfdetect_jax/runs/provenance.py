"""Where a run comes from: `provenance.json` in its workdir, written while it trains.

The file holds what the whole run has in common (`method`, `seed`, `config`, `config_sha256`, `step`, `wall_seconds`)
and one entry of `sessions` for each time that the command was given: when it started and ended, from which step to
which, with which code, packages, devices and shards. A session that was killed has no `ended`, and the step and time of
its last checkpoint.
"""

import datetime
import hashlib
import importlib.metadata
import json
import logging
import os
import pathlib
import platform
import subprocess
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import dfdetect_jax
from dfdetect_jax import files
from dfdetect_jax.errors import unwritable
from dfdetect_jax.folders import as_folder, write_json
from dfdetect_jax.schema import DATASET_FILE, TRACKS_FILE, read_metadata

_LOG = logging.getLogger(__name__)

if TYPE_CHECKING:
  import ml_collections

PROVENANCE_FILE = "provenance.json"
FORMAT = 1
# Those whose version can change a figure; of the plugins, those that are installed.
PACKAGES = (
  "dfdetect_jax", "jax", "jaxlib", "jax-cuda12-plugin", "jax-cuda13-plugin", "libtpu", "flax", "optax",
  "orbax-checkpoint", "grain", "numpy", "scipy", "scikit-learn", "tensorflow-datasets", "array_record",
  "opencv-python-headless", "ml-collections",
)  # fmt: skip
_SOURCE = pathlib.Path(dfdetect_jax.__file__).parent


class Session:
  """The record of one start of a run, written by process 0 alone.

  Args:
    workdir: folder of the run; `config.json` lies in it already.
    config: of the run.
    step: that this session starts at.

  Raises:
    UserError: the file cannot be written, or the one that is there is not JSON.
  """

  def __init__(self, workdir: pathlib.Path, config: "ml_collections.ConfigDict", step: int):
    import jax  # not above: reports read provenance, and need not wait for it

    self._path, self._start, self._lead = workdir / PROVENANCE_FILE, time.monotonic(), jax.process_index() == 0
    if not self._lead:
      return
    earlier = read_json(self._path)["sessions"] if self._path.exists() else []
    self._entry = {"started": now(), "ended": None, "first_step": step, "last_step": step, "wall_seconds": 0.0}
    self._entry |= environment() | {"data": data_fingerprint(config.data)}
    fields = json.loads(json.dumps(config.to_dict()))
    self._content = {
      "format": FORMAT,
      "method": config.method,
      "seed": config.seed,
      "config": fields,
      "config_sha256": hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest(),
      "step": step,
      "wall_seconds": 0.0,
      "sessions": [*earlier, self._entry],
    }
    try:
      self._write(step)
    except OSError as error:
      raise unwritable(self._path, error, "make room for it") from error

  def reached(self, step: int, ended: bool = False) -> None:
    """Notes how far the session has come; a full disk is said, but stops nothing that could still be saved."""
    if not self._lead:
      return
    try:
      self._entry["ended"] = now() if ended else None
      self._write(step)
    except OSError as error:
      _LOG.warning(f"{self._path} cannot be written ({error.strerror or error}).")

  def _write(self, step: int) -> None:
    self._entry |= {"last_step": step, "wall_seconds": round(time.monotonic() - self._start, 3)}
    total = sum(session["wall_seconds"] for session in self._content["sessions"])
    self._content |= {"step": step, "wall_seconds": round(total, 3)}
    write_json(self._path, files.sealed(self._content))


def environment() -> dict:
  """What computes: `code` (see `code_version`), `packages`, `python`, `platform` and `devices`."""
  import jax

  packages = {}
  for name in PACKAGES:
    try:
      packages[name] = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
      pass
  devices = {"kind": jax.devices()[0].device_kind, "count": jax.device_count(), "processes": jax.process_count()}
  return {
    "code": code_version(),
    "packages": packages,
    "python": platform.python_version(),
    "platform": platform.platform(),
    "devices": devices,
  }


def code_version(source: pathlib.Path = _SOURCE) -> dict:
  """Which code this is.

  Args:
    source: folder of the package.

  Returns:
    `sha256` over the package's Python files, always; `commit` and `dirty` (whether the package, data_pipelines or
    configs differ from it, files that git does not know included) where the package lies in a git work tree that
    tracks it and that git trusts (it is this user's, or named in the user's own safe.directory), else None.
  """
  digest = hashlib.sha256()
  for file in sorted(source.rglob("*.py")):
    content = file.read_bytes()
    digest.update(f"{file.relative_to(source).as_posix()} {len(content)}\n".encode() + content)
  # An installed copy may lie inside the work tree of something else, which does not track it.
  tracked = _git(source, "ls-files", "--error-unmatch", "__init__.py")
  commit = _git(source, "rev-parse", "HEAD") if tracked else None
  return {"sha256": digest.hexdigest(), "commit": commit, "dirty": None if commit is None else _dirty(source)}


def _dirty(source: pathlib.Path) -> bool | None:
  """Whether the work tree differs from its commit; `git status` would start the repository's own filters to tell."""
  top, names = source.parent, (source.name, "data_pipelines", "configs")
  committed = _git(top, "ls-tree", "-r", "-z", "HEAD", "--", *names)
  known = _git(top, "ls-files", "-z", "--", *names)
  unknown = _git(top, "ls-files", "-z", "--others", "--exclude-standard", "--", *names)
  if committed is None or known is None or unknown is None:
    return None
  wanted = {}
  for line in filter(None, committed.split("\0")):
    about, _, name = line.partition("\t")
    wanted[name] = about.split()[2]
  if unknown or set(filter(None, known.split("\0"))) != wanted.keys():
    return True
  return any(_blob(top / name, len(value)) != value for name, value in wanted.items())


def _blob(path: pathlib.Path, digits: int) -> str | None:
  """The name that git gives a file's content, without asking git; None if there is no such file."""
  try:
    content = os.readlink(path).encode() if path.is_symlink() else path.read_bytes()
  except OSError:
    return None
  return hashlib.new("sha1" if digits == 40 else "sha256", b"blob %d\0" % len(content) + content).hexdigest()


def _git(folder: pathlib.Path, *arguments: str) -> str | None:
  """What git prints, None if it fails, does not trust the repository, or is not there.

  Nothing of the repository's own is started: no hook, monitor, pager or remote; filters have no part in what is asked.
  """
  options = ("-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "--no-pager", "--no-optional-locks")
  kept = ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_NOSYSTEM", "GIT_CONFIG_SYSTEM", "GIT_TEST_ASSUME_DIFFERENT_OWNER")
  surroundings = {name: value for name, value in os.environ.items() if not name.startswith("GIT_") or name in kept}
  surroundings |= {"GIT_NO_LAZY_FETCH": "1", "GIT_TERMINAL_PROMPT": "0"}
  try:
    done = subprocess.run(
      ["git", *options, *arguments], cwd=folder, env=surroundings, capture_output=True, text=True, timeout=60
    )
  except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
    return None
  return done.stdout.strip() if done.returncode == 0 else None


def data_fingerprint(directory: str | pathlib.Path) -> dict[str, str]:
  """Path of a dataset folder, and the SHA-256 over its `dataset.json` (which has each shard's) and `tracks.jsonl`.

  Raises:
    UserError: the folder does not hold a finished dataset.
  """
  read_metadata(directory)  # says what is missing
  digest = hashlib.sha256()
  for name in (DATASET_FILE, TRACKS_FILE):
    content = (as_folder(directory) / name).read_bytes()
    digest.update(f"{name} {len(content)}\n".encode() + content)
  return {"path": str(directory), "sha256": digest.hexdigest()}


def describe_code(code: Mapping[str, Any]) -> str:
  """What `code_version` tells, in words."""
  sources = f"sources {code['sha256'][:12]}"
  if code["commit"] is None:
    return f"{sources} (no commit known)"
  return f"commit {code['commit'][:12]}" + (f" with changes ({sources})" if code["dirty"] else "")


def now() -> str:
  """The time of day, UTC, to the second."""
  return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def clock(seconds: float) -> str:
  """A duration as H:MM:SS."""
  minutes, rest = divmod(int(seconds), 60)
  return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


def read_json(path: pathlib.Path) -> dict:
  """Reads a provenance file.

  Raises:
    DamagedFile: it is not one.
  """
  cure = "remove it to go on without what it told"
  content = files.read_json(path, cure)
  if content.get("format") != FORMAT:
    raise files.damaged(path, "it has no 'format', or that of another version", cure)
  kinds = {"sessions": list, "config": dict, "scores": dict, "data": dict, "code": dict, "checkpoint": dict}
  for name, kind in kinds.items():
    if name in content and type(content[name]) is not kind:
      raise files.damaged(path, f"'{name}' is {content[name]!r:.40}", cure)
  for session in content.get("sessions", []):
    if type(session) is not dict or type(session.get("data")) is not dict or type(session.get("code")) is not dict:
      raise files.damaged(path, "a session does not tell its code and data", cure)
  return content
