"""An installed copy has all that its programs read: a wheel is built, and used in a folder of its own."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tomllib
import zipfile

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
NOT_READ = {".md", ".jpg", ".pyc"}  # for people, not for programs
FOR_DOCKER = {"launch/Dockerfile"}
PACKAGES = ("configs", "data_pipelines", "dfdetect_jax", "launch")

# What a user of the wheel asks first, in one process: each program's --help, what is listed, every kind of job file.
# Prints what each call printed, and where the modules of the project lie.
PROGRAM = """
import contextlib, io, json, sys
from dfdetect_jax import cli

def call(*words):
  out = io.StringIO()
  with contextlib.redirect_stdout(out):
    try:
      status = cli.main([*words])
    except SystemExit as stop:
      status = stop.code
  assert not status, (words, status)
  return out.getvalue()

told = {f"{name} --help": call(name, "--help") for name in cli.PROGRAMS}
told |= {" ".join(words): call(*words) for words in (
  ("configs",), ("configs", "st_ilif:small"), ("study", "list"), ("figures", "list"), ("evaluate", "--protocol=list"),
)}
for target in ("slurm", "gke_jobset", "tpu_vm", "skypilot"):
  told[f"jobs {target}"] = call("jobs", target, "--", "--config=dip", "--workdir=/runs/a", "--data=/data")
ours = {name: module.__file__ for name, module in sys.modules.items()
        if name.split(".")[0] in ("dfdetect_jax", "data_pipelines", "launch") and getattr(module, "__file__", None)}
print(json.dumps({"told": told, "modules": ours}))
"""


def test_files_that_programs_read_are_packaged():
  """Guards the wheel, installed elsewhere: launch templates, lists and configs come with it."""
  tools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
  packages = [pattern.rstrip("*") for pattern in tools["packages"]["find"]["include"]]
  assert {*PACKAGES} <= {*packages}
  packed = {
    file.relative_to(ROOT).as_posix()
    for package, patterns in tools["package-data"].items()
    for pattern in patterns
    for file in (ROOT / package).glob(pattern)
  }
  read = {
    file.relative_to(ROOT).as_posix()
    for package in packages
    for file in (ROOT / package).rglob("*")
    if file.is_file() and file.suffix not in {".py", *NOT_READ}
  }
  assert read - packed == FOR_DOCKER
  for package in packages:  # setuptools finds folders with an __init__.py only
    for file in (ROOT / package).rglob("*.py"):
      assert (file.parent / "__init__.py").is_file(), file


@pytest.mark.slow  # builds a wheel, and trains with what it holds
def test_a_wheel_works_outside_the_checkout(toy_dataset, tmp_path):
  """Guards what an installed copy would lack: every program answers, lists and job files are there, a run is trained,
  and nothing of it comes from the checkout."""
  source, site, elsewhere = tmp_path / "source", tmp_path / "site", tmp_path / "elsewhere"
  for package in PACKAGES:
    shutil.copytree(ROOT / package, source / package, ignore=shutil.ignore_patterns("__pycache__"))
  for name in ("pyproject.toml", "README.md", "LICENSE"):
    shutil.copy(ROOT / name, source)
  build = "import setuptools.build_meta as backend; print(backend.build_wheel('.'))"  # what pip calls; no network
  subprocess.run([sys.executable, "-c", build], cwd=source, check=True, capture_output=True, text=True)
  [wheel] = source.glob("*.whl")
  with zipfile.ZipFile(wheel) as archive:
    archive.extractall(site)
  shutil.rmtree(source)
  assert "dfdetect = dfdetect_jax.cli:main" in next(site.glob("*.dist-info/entry_points.txt")).read_text()

  elsewhere.mkdir()
  environment = os.environ | {"PYTHONPATH": str(site), "JAX_NUM_CPU_DEVICES": "1"}

  def python(*words):
    done = subprocess.run(
      [sys.executable, *words], cwd=elsewhere, env=environment, capture_output=True, text=True, timeout=400
    )
    assert done.returncode == 0, done.stderr
    return done.stdout

  found = json.loads(python("-c", PROGRAM))
  assert {pathlib.Path(file).is_relative_to(site) for file in found["modules"].values()} == {True}
  told = found["told"]
  assert all(text for text in told.values())
  assert (
    "table7_idm" in told["configs"] and "dip_table7" in told["study list"] and "dip_figure7" in told["figures list"]
  )
  assert "#SBATCH" in told["jobs slurm"] and "kind: JobSet" in told["jobs gke_jobset"]
  fields = ("init=random", "total_steps=2", "eval_every=0")
  train = ["train", "--config=baselines:test", "--workdir=run", f"--data={toy_dataset}"]
  python("-m", "dfdetect_jax.cli", *train, *(f"--config.{field}" for field in fields))
  assert (elsewhere / "run" / "checkpoints" / "2").is_dir()
