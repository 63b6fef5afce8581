"""Runs the toy's training and sends this process a signal when it comes to a phase for the first time.

python tests/faults/signal_at.py PHASE SIGNAL train --config=tests/toy_method.py --workdir=… --data=…
"""

import functools
import importlib
import os
import pathlib
import runpy
import signal
import sys

# Where each phase begins: module, and the function in it.
PHASES = {
  "start": ("dfdetect_jax.training.loop", "training_videos"),
  "restore": ("dfdetect_jax.runs.checkpoints", "Checkpoints.restore"),
  "compile": ("dfdetect_jax.training.program", "Program.compile_step"),
  "first batch": ("dfdetect_jax.training.progress", "ProgressLine.waiting"),
  "step": ("dfdetect_jax.training.step_log", "StepLog.append"),
  "validation": ("dfdetect_jax.training.validation", "Validation.__call__"),
  "checkpoint": ("dfdetect_jax.runs.checkpoints", "Checkpoints.save"),
  "end": ("dfdetect_jax.runs.checkpoints", "Checkpoints.close"),
}


def main() -> None:
  phase, number, *rest = sys.argv[1:]
  module, name = PHASES[phase]
  owner = importlib.import_module(module)
  *parents, last = name.split(".")
  for parent in parents:
    owner = getattr(owner, parent)
  real, seen = getattr(owner, last), []

  @functools.wraps(real)
  def once(*args, **kwargs):
    if not seen:
      seen.append(1)
      print(f"phase {phase}", flush=True)
      os.kill(os.getpid(), signal.Signals[number])
    return real(*args, **kwargs)

  setattr(owner, last, once)
  sys.argv = [str(pathlib.Path(__file__).parents[1] / "toy_method.py"), *rest]
  sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
  runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
  main()
