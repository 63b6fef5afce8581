"""Trains a detector.

  python -m dfdetect_jax.train --config=configs/dip.py --workdir=runs/dip --data=shards/ffpp_c23
  python -m dfdetect_jax.train --config=configs/dip.py:small --workdir=runs/small --data=shards/mine --config.seed=1

  python -m dfdetect_jax.train --config=configs/dip.py --dry-run --config.mesh.fsdp=8

--config names a file in configs/ (`dip` is enough) and, after a colon, one of its variants; the file's first lines say
which table of the paper it is, what it needs and what to expect (`python -m dfdetect_jax.show_configs` lists them). Any
field can be set with --config.FIELD=VALUE; --print-config shows what comes of it. The same command goes on with a run
that was stopped, from the latest checkpoint in its workdir.

Exit status: 0 finished, 2 something given is wrong, 75 told to stop (state saved, start me again), 130 Ctrl-C (state
saved; a second one ends at once).
"""

import ast
import sys

from absl import flags
from ml_collections import config_flags

from dfdetect_jax.errors import UserError, exit_on_user_error
from dfdetect_jax.runs.config_files import find_config
from dfdetect_jax.runs.fields import check_fields, field_lines

_CONFIG = config_flags.DEFINE_config_file(
  "config", None, "Config file, with a variant after a colon.", lock_config=True
)
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run: checkpoints, metrics, config.")
_DRY_RUN = flags.DEFINE_bool("dry_run", False, "Compile the step, say what it needs, and stop.")
_PRINT_CONFIG = flags.DEFINE_bool("print_config", False, "Print every field as the run would have it, and stop.")
_PROFILE = flags.DEFINE_string("profile", None, "FIRST:LAST: trace these steps to WORKDIR/profile (for xprof).")
_COORDINATOR = flags.DEFINE_string("coordinator", None, "host:port of process 0, where no cluster is detected.")
_NUM_PROCESSES = flags.DEFINE_integer("num_processes", None, "Processes of the job, where no cluster is detected.")
_PROCESS_ID = flags.DEFINE_integer("process_id", None, "Number of this process, where no cluster is detected.")
_JOIN_TIMEOUT = flags.DEFINE_float("join_timeout", 300.0, "Seconds to wait for the other processes of a job.", 0.1)
_OTHER_DATA = flags.DEFINE_bool("other_data", False, "Go on with a run though its shards are others than before.")
_DATA = flags.DEFINE_string("data", None, "Dataset folder made by data_pipelines.build (sets config.data).")


def _parse(argv: list[str]):
  """Parses the flags; whatever is wrong with them is the user's to mend."""
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
  return config


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


def main(argv: list[str] | None = None) -> None:
  """Parses flags and trains; see the module's docstring."""
  with exit_on_user_error("train"):
    if {"--help", "-h", "-help"} & set(sys.argv if argv is None else argv):
      print(f"{__doc__}\nFlags:\n  --config=FILE[:VARIANT]\n  --config.FIELD=VALUE")
      several = (_COORDINATOR, _NUM_PROCESSES, _PROCESS_ID, _JOIN_TIMEOUT)
      for flag in (_WORKDIR, _DATA, _OTHER_DATA, _DRY_RUN, _PRINT_CONFIG, _PROFILE, *several):
        print(f"  --{flag.name.replace('_', '-')}: {flags.FLAGS[flag.name].help}")
      return
    config, profile = _parse(sys.argv if argv is None else argv), _profiled()
    check_fields(config)
    if _PRINT_CONFIG.value:
      print(field_lines(config))
      return
    from dfdetect_jax.devices import allocator

    allocator.one_arena()  # before jax, which --help and mistakes need not wait for
    from dfdetect_jax.devices import processes
    from dfdetect_jax.devices.compiled import keep_compiled

    keep_compiled()
    processes.initialize(_COORDINATOR.value, _NUM_PROCESSES.value, _PROCESS_ID.value, _JOIN_TIMEOUT.value)
    if _DRY_RUN.value:
      from dfdetect_jax.training import dry_run

      print(dry_run.report(config))
      return
    from dfdetect_jax.training.loop import train_and_evaluate

    assert _WORKDIR.value is not None, "asked for above"
    train_and_evaluate(config, _WORKDIR.value, profile, _OTHER_DATA.value)


if __name__ == "__main__":
  main()
