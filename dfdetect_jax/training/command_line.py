"""The flags of dfdetect_jax.train: without jax, for which --help and a mistaken call need not wait."""

import ast
import dataclasses
from typing import Any

import ml_collections
from absl import flags
from ml_collections import config_flags

from dfdetect_jax.errors import UserError
from dfdetect_jax.runs.config_files import find_config
from dfdetect_jax.runs.fields import check_fields

_CONFIG = config_flags.DEFINE_config_file(
  "config", None, "Config file, with a variant after a colon.", lock_config=True
)
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run: checkpoints, metrics, config.")
_DATA = flags.DEFINE_string("data", None, "Dataset folder made by data_pipelines.build (sets config.data).")
_OTHER_DATA = flags.DEFINE_bool("other_data", False, "Go on with a run though its shards are others than before.")
_DRY_RUN = flags.DEFINE_bool("dry_run", False, "Compile the step, say what it needs, and stop.")
_PRINT_CONFIG = flags.DEFINE_bool("print_config", False, "Print every field as the run would have it, and stop.")
_PROFILE = flags.DEFINE_string("profile", None, "FIRST:LAST: trace these steps to WORKDIR/profile (for xprof).")
_COORDINATOR = flags.DEFINE_string("coordinator", None, "host:port of process 0, where no cluster is detected.")
_NUM_PROCESSES = flags.DEFINE_integer("num_processes", None, "Processes of the job, where no cluster is detected.")
_PROCESS_ID = flags.DEFINE_integer("process_id", None, "Number of this process, where no cluster is detected.")
_JOIN_TIMEOUT = flags.DEFINE_float("join_timeout", 300.0, "Seconds to wait for the other processes of a job.", 0.1)
_SHOWN = (
  _WORKDIR, _DATA, _OTHER_DATA, _DRY_RUN, _PRINT_CONFIG, _PROFILE, _COORDINATOR, _NUM_PROCESSES, _PROCESS_ID,
  _JOIN_TIMEOUT,
)  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class Call:
  """What a command asks for.

  Attributes:
    config: of the run, checked.
    workdir: its folder; None with `dry_run` or `print_config`.
    profile: first and last step to trace.
    other_data: go on though the shards are others than before.
    dry_run, print_config: say what the run would be, and stop.
    job: how the processes of a job find each other: the arguments of `devices.processes.initialize`.
  """

  config: ml_collections.ConfigDict
  workdir: str | None
  profile: tuple[int, int] | None
  other_data: bool
  dry_run: bool
  print_config: bool
  job: tuple[Any, ...]


def flag_lines() -> str:
  """Every flag with its meaning, a line each, for --help."""
  lines = (f"  --{flag.name.replace('_', '-')}: {flags.FLAGS[flag.name].help}" for flag in _SHOWN)
  return "\n".join(("  --config=FILE[:VARIANT]", "  --config.FIELD=VALUE", *lines))


def parse(argv: list[str]) -> Call:
  """Parses the flags; whatever is wrong with them is the user's to mend.

  Args:
    argv: the program's name, then its flags.

  Raises:
    UserError: a flag is unknown, missing or malformed, or a field of the config is none of the values it may have.
  """
  flags.FLAGS.set_gnu_getopt(True)
  try:
    rest = flags.FLAGS(_resolved(argv))
  except (flags.Error, AttributeError, KeyError, TypeError, ValueError, OSError) as error:
    message = str(error)
    if message[:1] == message[-1:] and message[:1] in ("'", '"'):
      message = ast.literal_eval(message)  # a KeyError shows its message as Python would write it
    raise UserError(f"{message.strip()}\n(--help shows how to call this program)") from error
  if len(rest) > 1:
    raise UserError(f"unexpected argument '{rest[1]}': fields are set as --config.FIELD=VALUE.")
  if not _CONFIG.value:
    raise UserError("--config is missing. For example: --config=configs/dip.py:small --workdir=runs/dip")
  config = _CONFIG.value
  try:
    config.data = _DATA.value or config.data  # a file that could not be loaded tells so at its first use
  except OSError as error:
    raise UserError(str(error)) from error
  if not (_DRY_RUN.value or _PRINT_CONFIG.value):
    if not _WORKDIR.value:
      raise UserError("--workdir is missing: the folder of the run, for example --workdir=runs/dip")
    if not config.data:
      raise UserError("--data is missing: the dataset folder that data_pipelines.build made.")
  profile = _profiled()
  check_fields(config)
  return Call(
    config=config,
    workdir=_WORKDIR.value,
    profile=profile,
    other_data=_OTHER_DATA.value,
    dry_run=_DRY_RUN.value,
    print_config=_PRINT_CONFIG.value,
    job=(_COORDINATOR.value, _NUM_PROCESSES.value, _PROCESS_ID.value, _JOIN_TIMEOUT.value),
  )


def _resolved(argv: list[str]) -> list[str]:
  """The arguments with the file that --config names, and with flags in absl's spelling (`--dry-run` is `--dry_run`)."""
  resolved = []
  for n, word in enumerate(argv):
    name, equals, value = word.partition("=")
    if name in ("--config", "-config") and equals:
      word = f"{name}={_config_file(value)}"
    elif n and argv[n - 1] in ("--config", "-config"):
      word = _config_file(word)
    elif name.startswith("--") and not name.startswith("--config"):
      word = name.replace("-", "_").replace("__", "--", 1) + equals + value
    resolved.append(word)
  return resolved


def _config_file(name: str) -> str:
  path, variant = find_config(name)
  return f"{path}:{variant}" if variant else str(path)


def _profiled() -> tuple[int, int] | None:
  """The steps to trace."""
  if _PROFILE.value is None:
    return None
  first, _, last = _PROFILE.value.partition(":")
  if not (first.isdigit() and last.isdigit() and 1 <= int(first) <= int(last)):
    raise UserError(f"--profile={_PROFILE.value} must be FIRST:LAST, two steps, for example --profile=20:25")
  return int(first), int(last)
