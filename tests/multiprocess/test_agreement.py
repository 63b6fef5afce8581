"""Processes that would train different things stop before the first step, and say what differs."""

import os
import pathlib
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow  # each starts processes that import the library

ROOT = pathlib.Path(__file__).resolve().parents[2]


def both(port, flags, toy_dataset):
  """Outputs and statuses of two processes with flags of their own."""
  toy = str(ROOT / "tests" / "toy_method.py")
  jobs = [
    subprocess.Popen(
      [sys.executable, toy, "train", f"--config={toy}", f"--data={toy_dataset}", f"--coordinator=127.0.0.1:{port}",
       "--num_processes=2", f"--process_id={i}", *own],
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
