"""Real processes: each test here starts several of them on this machine."""

import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def toy_job(toy_dataset, tmp_path_factory):
  """Starts train or evaluate on the toy method through launch.local; gives the running job."""
  environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}

  def start(program, workdir, *flags, processes=2, devices=1, extra=None):
    command = [sys.executable, "-m", "launch.local", f"--processes={processes}", f"--devices={devices}", "--"]
    config = [f"--config={ROOT / 'tests' / 'toy_method.py'}"] if program == "train" else []
    command += [str(ROOT / "tests" / "toy_method.py"), program, *config]
    command += [f"--workdir={workdir}", f"--data={toy_dataset}", *flags]
    return subprocess.Popen(
      command, cwd=ROOT, env=environment | (extra or {}), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )

  return start
