"""Real runs of the toy method as one process, to be hurt."""

import os
import pathlib
import subprocess
import sys
from collections.abc import Iterator

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def toy_run(toy_dataset):
  """Starts a training run on one device; gives the running process, in a group of its own."""

  def start(workdir, *flags, data=toy_dataset):
    toy = str(ROOT / "tests" / "toy_method.py")
    command = [sys.executable, toy, "train", f"--config={toy}", f"--workdir={workdir}", f"--data={data}", *flags]
    return subprocess.Popen(
      command,
      cwd=ROOT,
      env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", "JAX_NUM_CPU_DEVICES": "1"},
      stdout=subprocess.PIPE,
      stderr=subprocess.STDOUT,
      text=True,
      start_new_session=True,
    )

  return start


@pytest.fixture(scope="module")
def world(toy_dataset, tmp_path_factory) -> Iterator:
  """A run and what is made of it; nothing of it is hurt."""
  from helpers.world import make_world  # all programs: seconds

  with pytest.MonkeyPatch.context() as patch:
    yield make_world(toy_dataset, tmp_path_factory.mktemp("world") / "world", patch)
