"""The flags that describe a job of several processes; without jax, so that a program's --help need not wait for it."""

import argparse

CONNECT_SECONDS = 300


def add_arguments(parser: argparse.ArgumentParser) -> None:
  """Gives a program the flags that describe a job where no cluster is detected."""
  group = parser.add_argument_group("several processes, where no cluster is detected")
  group.add_argument("--coordinator", metavar="HOST:PORT", help="of process 0")
  group.add_argument("--num-processes", type=int, metavar="N", help="of the job")
  group.add_argument("--process-id", type=int, metavar="I", help="of this one, from 0")
  for earlier in ("--num_processes", "--process_id"):
    group.add_argument(earlier, type=int, help=argparse.SUPPRESS)
  group.add_argument(
    "--join-timeout", type=float, default=CONNECT_SECONDS, metavar="SECONDS", help="to wait for the others"
  )
