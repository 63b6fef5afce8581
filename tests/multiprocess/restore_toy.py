"""One process of several that restores runs of the toy method, each process from a folder of its own.

  python -m launch.local --processes=2 -- tests/multiprocess/restore_toy.py FOLDER …

Process i looks into FOLDER/seen_by_i, so that a test can hide or damage a checkpoint for one process alone. For each
folder a line says the step that was restored and a digest of all parameters, or why nothing was.
"""

import argparse
import hashlib
import pathlib
import sys

import jax
import numpy as np

from dfdetect_jax.devices import arguments, processes
from dfdetect_jax.errors import UserError
from dfdetect_jax.runs.checkpoints import Checkpoints
from dfdetect_jax.runs.config_files import load_config
from dfdetect_jax.training.program import make_program


def main() -> None:
  parser = argparse.ArgumentParser()
  parser.add_argument("folders", nargs="+")
  parser.add_argument("--width", type=int, required=True)
  arguments.add_arguments(parser)
  args = parser.parse_args()
  processes.initialize(args.coordinator, args.num_processes, args.process_id, args.join_timeout)
  sys.path.append(str(pathlib.Path(__file__).parents[1]))
  config = load_config(f"{pathlib.Path(__file__).parents[1] / 'toy_method.py'}").unlock()
  config.model.width = args.width
  program = make_program(config, 20)
  for folder in map(pathlib.Path, args.folders):
    checkpoints = Checkpoints(folder / f"seen_by_{jax.process_index()}", 2)
    try:
      state = checkpoints.restore(program.abstract)
      digest = hashlib.sha256(b"".join(np.asarray(x).tobytes() for x in jax.tree.leaves(state.params))).hexdigest()
      found = f"step {int(state.step)} {digest}"
    except UserError as error:
      found = f"UserError {error}"
    print(f"{folder.name}: process {jax.process_index()}: {found}", flush=True)
    checkpoints.close()


if __name__ == "__main__":
  main()
