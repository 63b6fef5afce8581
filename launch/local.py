"""Runs a program as several processes of one job on this machine, each with its own simulated devices.

  python -m launch.local --processes=2 --devices=4 -- \\
    dfdetect_jax.train --config=configs/dip.py:test --workdir=runs/two --data=shards/mine --config.batch_size=8

What a cluster does, small: the processes find each other, share each batch and write one run. It shows that things are
right, not that they are fast: simulated devices share this machine's cores. SIGTERM and Ctrl-C are passed on (a second
Ctrl-C kills); when one process ends with an error, the others are given a minute and then killed; when this program is
killed, they are told to stop.

Exit status: that of the first process that failed, 0 if none did, 130 after Ctrl-C and 75 after SIGTERM. --dry-run
prints the commands.
"""

import argparse
import functools
import os
import shlex
import signal
import socket
import subprocess
import sys
import time

from dfdetect_jax import signals

GRACE_SECONDS = 60


def commands(program: list[str], processes: int, port: int) -> list[list[str]]:
  """The command of each process.

  Args:
    program: a module and its flags, or a .py file and its flags.
    processes: of the job.
    port: where process 0 listens.
  """
  target = program[:1] if program[0].endswith(".py") else ["-m", program[0]]
  job = [f"--coordinator=127.0.0.1:{port}", f"--num-processes={processes}"]
  return [[sys.executable, *target, *program[1:], *job, f"--process-id={i}"] for i in range(processes)]


def environment(devices: int) -> dict[str, str]:
  """Variables that give each process `devices` simulated devices."""
  return {"JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": str(devices)}


def run(program: list[str], processes: int, devices: int) -> int:
  """Starts the processes, waits for them, and returns the job's exit status."""
  with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    port = probe.getsockname()[1]
  me = os.getpid()
  jobs: list[subprocess.Popen] = []
  caught: list[int] = []

  def stop(number: int, _) -> None:
    caught.append(number)
    _send(jobs, signal.SIGKILL if caught.count(signal.SIGINT) > 1 else signal.SIGTERM)

  for number in signals.STATUS:
    signal.signal(number, stop)
  for command in commands(program, processes, port):
    if not caught:
      # Each in a group of its own, so that its data workers can be ended with it.
      jobs.append(
        subprocess.Popen(
          command,
          env=os.environ | environment(devices),
          start_new_session=True,
          preexec_fn=functools.partial(signals.end_with, me),
        )
      )
  if caught:  # while one was being started
    _send(jobs, signal.SIGTERM)
  status, deadline = 0, None
  while any(job.poll() is None for job in jobs):
    failed = [job.returncode for job in jobs if job.returncode]
    if failed and deadline is None:
      status, deadline = failed[0], time.monotonic() + GRACE_SECONDS
    if deadline is not None and time.monotonic() > deadline:
      _send(jobs, signal.SIGKILL)
    time.sleep(0.1)
  status = status or next((job.returncode for job in jobs if job.returncode), 0)
  if caught and (status or len(jobs) < processes):
    print(
      f"launch.local: {signals.WORDS[caught[0]]}: all {len(jobs)} processes have ended.", file=sys.stderr, flush=True
    )
    return signals.STATUS[caught[0]]
  return status


def _send(jobs: list[subprocess.Popen], number: int) -> None:
  for job in jobs:
    if job.poll() is None:
      if number == signal.SIGKILL:
        os.killpg(job.pid, number)
      else:
        job.send_signal(number)


def main(argv: list[str] | None = None) -> None:
  """Parses flags and runs; see the module's docstring."""
  parser = argparse.ArgumentParser(
    "python -m launch.local", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument("--processes", type=int, default=2, help="processes of the job (default: 2)")
  parser.add_argument("--devices", type=int, default=1, help="simulated devices of each process (default: 1)")
  parser.add_argument("--dry-run", action="store_true", help="print the commands and stop")
  parser.add_argument("program", nargs="+", help="after --: module or .py file, and its flags")
  args = parser.parse_args(argv)
  if args.dry_run:
    variables = " ".join(f"{name}={value}" for name, value in environment(args.devices).items())
    for command in commands(args.program, args.processes, 12321):
      print(f"{variables} {shlex.join(['python', *command[1:]])}")
    return
  status = run(args.program, args.processes, args.devices)
  sys.exit(128 - status if status < 0 else status)


if __name__ == "__main__":
  main()
