"""A study from nothing to its page, as a user calls it: `run --demo`, `plan`, `collect`; one of each paper."""

import csv
import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


def study(*words):
  """Stdout of `python -m dfdetect_jax.study …` on one device; LLVM's optimisations would not pay in so few steps."""
  done = subprocess.run(
    [sys.executable, "-m", "dfdetect_jax.study", *map(str, words)], cwd=ROOT, capture_output=True, text=True,
    env=os.environ | {"JAX_NUM_CPU_DEVICES": "1", "XLA_FLAGS": "--xla_backend_optimization_level=0"},
  )  # fmt: skip
  assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
  return done.stdout


@pytest.mark.slow  # renders and builds five sets of videos, trains and scores ten small detectors
def test_a_study_of_each_paper_runs_end_to_end(tmp_path):
  """Guards the whole road on generated data: every cell of a table of DIP, ST-ILIF, SDR and DIL, and its page."""
  where, names = f"--workdir={tmp_path / 'studies'}", ("dip_table1", "st_ilif_table3", "sdr_table2", "dil_table3")
  told = study("run", *names, where, "--demo", "--variant=test", "--steps=4", "--identities=6", "--frames=16")
  assert told.count(": done in 0:") == 10
  plan = study("plan", *names, "sdr_table1", where)  # options are kept
  assert "22 runs (22 trainings x 1 seed): 10 done, 12 to do" in plan and "device-hours" in plan
  collected = study("collect", *names, "sdr_table1", where, f"--output={tmp_path / 'pages'}")
  for name, measured in zip(names, (4, 6, 9, 6)):
    assert f"{name}: {measured} of {measured} cells measured" in collected
    page = (tmp_path / "pages" / f"{name}.html").read_text()
    assert "Demo: not a claim." in page and "not run" not in page
    with (tmp_path / "pages" / f"{name}.csv").open(newline="") as file:
      rows = [row for row in csv.DictReader(file) if row["measured"]]
    assert len(rows) == measured and all(0 <= float(row["measured"]) <= 100 for row in rows)
    for row in rows:
      for column in ("config", "checkpoint", "scores", "provenance"):
        for path in row[column].split(";"):  # an average has several
          assert (tmp_path / "pages" / path).exists()
  assert "not run" in (tmp_path / "pages" / "sdr_table1.html").read_text()
  again = study("run", "dip_table1", where)
  assert again.count(": done\n") == 2 and "$ python" not in again
