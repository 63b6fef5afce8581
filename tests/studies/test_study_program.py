"""A study from nothing to its page, as a user calls it: `run --demo`, `plan`, `collect`; one of each paper."""

import csv
import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


def study(*words):
  """Stdout of `python -m dfdetect_jax.study …` on one device."""
  done = subprocess.run(
    [sys.executable, "-m", "dfdetect_jax.study", *map(str, words)], cwd=ROOT, capture_output=True, text=True,
    env=os.environ | {"JAX_NUM_CPU_DEVICES": "1"},
  )  # fmt: skip
  assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
  return done.stdout


@pytest.mark.slow  # renders, builds, and trains five small detectors
def test_a_study_of_each_paper_runs_end_to_end(tmp_path):
  """Guards the whole road on generated data: all of DIP's Table I, and a run each of ST-ILIF's, SDR's and DIL's."""
  where = f"--workdir={tmp_path / 'studies'}"
  options = ("--demo", "--variant=test", "--steps=4", "--identities=6", "--frames=16")
  told = study("run", "dip_table1", where, *options)
  assert told.count(": done in 0:") == 2
  for name, task in (("st_ilif_table3", 1), ("sdr_table1", 4), ("dil_table4", 0)):
    assert ": done in 0:" in study("run", name, where, "--demo", f"--task={task}")
  plan = study("plan", "dip_table1", "sdr_table1", where)  # options are kept
  assert "10 runs (10 trainings x 1 seed): 3 done, 7 to do" in plan and "device-hours" in plan
  names = ("dip_table1", "st_ilif_table3", "sdr_table1", "dil_table4")
  assert "dip_table1: 4 of 4 cells measured" in study("collect", *names, where, f"--output={tmp_path / 'pages'}")
  for name, measured in zip(names, (4, 2, 2, 1)):
    page = (tmp_path / "pages" / f"{name}.html").read_text()
    assert "Demo: not a claim." in page and ("not run" in page) == (name != "dip_table1")
    with (tmp_path / "pages" / f"{name}.csv").open(newline="") as file:
      rows = [row for row in csv.DictReader(file) if row["measured"]]
    assert len(rows) == measured and all(0 <= float(row["measured"]) <= 100 for row in rows)
    for row in rows:
      for column in ("config", "checkpoint", "scores", "provenance"):
        assert (tmp_path / "pages" / row[column]).exists()
  again = study("run", "dip_table1", where)
  assert again.count(": done\n") == 2 and "$ python" not in again
