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

import sys

from dfdetect_jax.errors import exit_on_user_error
from dfdetect_jax.runs.fields import field_lines
from dfdetect_jax.training import command_line


def main(argv: list[str] | None = None) -> None:
  """Parses flags and trains; see the module's docstring."""
  argv = sys.argv if argv is None else argv
  with exit_on_user_error("train"):
    if {"--help", "-h", "-help"} & set(argv):
      print(f"{__doc__}\nFlags:\n{command_line.flag_lines()}")
      return
    call = command_line.parse(argv)
    if call.print_config:
      print(field_lines(call.config))
      return
    from dfdetect_jax.devices import allocator, processes  # jax, which --help need not wait for
    from dfdetect_jax.devices.compiled import keep_compiled

    allocator.one_arena()
    keep_compiled()
    processes.initialize(*call.job)
    if call.dry_run:
      from dfdetect_jax.training import dry_run

      print(dry_run.report(call.config))
      return
    from dfdetect_jax.training.loop import train_and_evaluate

    assert call.workdir is not None, "asked for by the parser"
    train_and_evaluate(call.config, call.workdir, call.profile, call.other_data)


if __name__ == "__main__":
  main()
