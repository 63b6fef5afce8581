"""Processes that would train different things stop before the first step, and say what differs."""

import os
import pathlib
import subprocess
import sys

import jax
import optax
import pytest

from dfdetect_jax import methods
from dfdetect_jax.runs import run_config
from dfdetect_jax.runs.checkpoints import Checkpoints
from dfdetect_jax.runs.state import init_state

pytestmark = pytest.mark.slow  # each starts processes that import the library

ROOT = pathlib.Path(__file__).resolve().parents[2]


def both(port, flags, toy_dataset, program="train"):
  """Outputs and statuses of two processes with flags of their own."""
  toy = str(ROOT / "tests" / "toy_method.py")
  config = [f"--config={toy}"] if program == "train" else []
  jobs = [
    subprocess.Popen(
      [sys.executable, toy, program, *config, f"--data={toy_dataset}", f"--coordinator=127.0.0.1:{port}",
       "--num-processes=2", f"--process-id={i}", *own],
      cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
      env=os.environ | {"PYTHONPATH": str(ROOT), "JAX_NUM_CPU_DEVICES": "1"},
    )
    for i, own in enumerate(flags)
  ]  # fmt: skip
  try:
    return [(job.communicate(timeout=200)[0], job.returncode) for job in jobs]
  finally:
    for job in jobs:
      job.kill()


@pytest.mark.parametrize(
  "port, flags, told",
  [
    (
      23461,
      ("--config.optimizer.learning_rate=0.5",),
      "do not agree on the config: process 0 has optimizer",
    ),
    (23462, ("--config.total_steps=7",), "do not agree on the config: process 0 has total_steps=20, process 1 has"),
  ],
)
def test_a_difference_stops_all_before_the_first_step(toy_dataset, tmp_path, port, flags, told):
  """Guards against gradients of different runs added up."""
  workdir = f"--workdir={tmp_path / 'run'}"
  results = both(port, [(workdir,), (workdir, *flags)], toy_dataset)
  for output, status in results:
    assert status == 2 and told in output and "Traceback" not in output, output


def test_processes_that_evaluate_agree_too(toy, randomised, toy_dataset, tmp_path):
  """Guards against scores of different options, weights or shards in one file."""
  config = toy.get_config()
  method = methods.build(config)
  run_config.save_config(tmp_path, config)
  checkpoints = Checkpoints(tmp_path, keep=1)
  checkpoints.save_best(init_state(method, optax.identity(), jax.random.key(0), randomised(method)))
  checkpoints.close()
  flags = (f"--workdir={tmp_path}", f"--output={tmp_path / 'out'}")
  for output, status in both(23463, [flags, (*flags, "--tracks=mean")], toy_dataset, "evaluate"):
    assert status == 2 and "do not agree on the options: process 0 has tracks=None, process 1 has" in output, output
  assert not (tmp_path / "out").exists()
