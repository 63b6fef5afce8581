"""Every signal × every phase of a training: the status that is stated, and the same command ends as if nothing was."""

import os
import pathlib
import random
import signal
import subprocess
import sys

import jax
import numpy as np
import pytest

from dfdetect_jax.runs.restore import restore_run

ROOT = pathlib.Path(__file__).resolve().parents[2]
ENDS = {"SIGINT": 130, "SIGTERM": 75, "SIGKILL": -signal.SIGKILL}
PHASES = ("start", "restore", "compile", "first batch", "step", "validation", "checkpoint", "end")
CASES = [(phase, number) for phase in PHASES for number in ENDS]
SAMPLE = random.Random(6).sample(CASES, 2)


def train(workdir, data, *before):
  """Output and status of a training of six steps, alone or behind `signal_at.py`."""
  toy = str(ROOT / "tests" / "toy_method.py")
  program = [str(ROOT / "tests/faults/signal_at.py"), *before] if before else [toy]
  flags = ("--config.total_steps=6", "--config.eval_every=3", "--config.checkpoint_every=2", "--config.log_every=1")
  command = [sys.executable, *program, "train", f"--config={toy}", f"--workdir={workdir}", f"--data={data}", *flags]
  environment = os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "JAX_NUM_CPU_DEVICES": "1"}
  done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
  return done.stdout + done.stderr, done.returncode


@pytest.fixture(scope="module")
def alone(toy, toy_dataset, tmp_path_factory):
  """The parameters of a run that was left alone."""
  workdir = tmp_path_factory.mktemp("alone")
  output, status = train(workdir, toy_dataset)
  assert status == 0, output
  return jax.device_get(restore_run(str(workdir), "6").variables)


def wrong(alone, data, workdir, phase, number) -> str:
  """What is wrong with how a training took a signal; "" if nothing is."""
  output, status = train(workdir, data, phase, number)
  if f"phase {phase}" not in output:
    return f"never came there: {output[-500:]}"
  # Told to stop in its last step, a run may just as well end.
  done = phase == "end" and number != "SIGKILL" and status == 0
  if status != ENDS[number] and not done:
    return f"status {status}: {output[-800:]}"
  if "Traceback" in output or "leaked" in output:
    return f"traceback: {output[-1500:]}"
  if list(workdir.rglob("*.partial")) and number != "SIGKILL":
    return "left partial files"
  if (workdir / "training.lock").exists() and number != "SIGKILL":
    return "left its lock"
  output, status = train(workdir, data)
  if status or "Traceback" in output:
    return f"does not go on: {output[-800:]}"
  found = jax.device_get(restore_run(str(workdir), "6").variables)
  same = all(jax.tree.leaves(jax.tree.map(np.array_equal, found, alone)))
  return "" if same else "ends with other parameters"


@pytest.mark.slow  # each case starts the program twice
@pytest.mark.parametrize("phase, number", SAMPLE)
def test_a_sample_of_signals(toy, toy_dataset, alone, tmp_path, phase, number):
  """Guards the stop of a training at drawn moments."""
  assert wrong(alone, toy_dataset, tmp_path / "run", phase, number) == ""


@pytest.mark.exhaustive
@pytest.mark.slow
def test_all_signals_in_all_phases(toy, toy_dataset, alone, tmp_path):
  """Guards as the sample does, with every signal in every phase."""
  found = {
    case: why
    for case in CASES
    if (why := wrong(alone, toy_dataset, tmp_path / "-".join(case).replace(" ", "_"), *case))
  }
  print(f"\n{len(CASES) - len(found)} of {len(CASES)} held")
  for case, why in found.items():
    print("WRONG", case, "\n  ", why)
  assert not found
