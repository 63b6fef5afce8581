"""Trains a detector.

  python -m dfdetect_jax.train --config=configs/dip.py --workdir=runs/dip --data=shards/ffpp_c23
  python -m dfdetect_jax.train --config=configs/dip.py:small --workdir=runs/small --data=shards/mine --config.seed=1

--config names a file in configs/ and, after a colon, one of its variants; the file's first lines say which table of the
paper it is, what it needs and what to expect. Any field can be set with --config.FIELD=VALUE. The same command goes on
with a run that was stopped, from the latest checkpoint in its workdir.

Exit status: 0 finished, 2 something given is wrong, 75 told to stop (state saved, start me again).
"""

import sys

from absl import flags
from ml_collections import config_flags

from dfdetect_jax.errors import UserError, exit_on_user_error

_CONFIG = config_flags.DEFINE_config_file(
  "config", None, "Config file, with a variant after a colon.", lock_config=True
)
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run: checkpoints, metrics, config.")
_DATA = flags.DEFINE_string("data", None, "Dataset folder made by data_pipelines.build (sets config.data).")


def _parse(argv: list[str]):
  """Parses the flags; whatever is wrong with them is the user's to mend."""
  flags.FLAGS.set_gnu_getopt(True)
  try:
    rest = flags.FLAGS(argv)
  except (flags.Error, AttributeError, KeyError, TypeError, ValueError, OSError) as error:
    raise UserError(f"{error}\n(--help shows how to call this program)") from error
  if len(rest) > 1:
    raise UserError(f"unexpected argument '{rest[1]}': fields are set as --config.FIELD=VALUE.")
  for flag in (_CONFIG, _WORKDIR):
    if not flag.value:
      raise UserError(f"--{flag.name} is missing. For example: --config=configs/dip.py:small --workdir=runs/dip")
  config = _CONFIG.value
  if _DATA.value:
    config.data = _DATA.value
  if not config.data:
    raise UserError("--data is missing: the dataset folder that data_pipelines.build made.")
  return config, _WORKDIR.value


def main(argv: list[str] | None = None) -> None:
  """Parses flags and trains; see the module's docstring."""
  with exit_on_user_error("train"):
    if {"--help", "-h", "-help"} & set(sys.argv if argv is None else argv):
      print(f"{__doc__}\nFlags:\n  --config=FILE[:VARIANT]\n  --workdir=DIR\n  --data=DIR\n  --config.FIELD=VALUE")
      return
    config, workdir = _parse(sys.argv if argv is None else argv)
    from dfdetect_jax.training.loop import train_and_evaluate  # --help and mistakes need not wait for it

    train_and_evaluate(config, workdir)


if __name__ == "__main__":
  main()
