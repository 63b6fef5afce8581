"""Every program × places where its results cannot be written: one sentence that names the place, and nothing half."""

import subprocess

import jax
import pytest
from helpers.damages import call

from data_pipelines import verify
from data_pipelines.synthetic import __main__ as synthetic
from dfdetect_jax import evaluate, predict, study
from dfdetect_jax.errors import exit_on_user_error
from dfdetect_jax.evaluation import report
from dfdetect_jax.figures import __main__ as figures
from dfdetect_jax.interop import convert, export
from dfdetect_jax.training import plot


def told(function):
  """As `python -m` starts it, for those whose `main` does not say their errors itself."""

  def program(*arguments):
    with exit_on_user_error("program"):
      function(*arguments)

  return program


# program -> how it is called, given the world and the output folder, and one of the files that it writes there
PROGRAMS = {
  "evaluate": (
    lambda root, out: evaluate.main([f"--workdir={root / 'run'}", f"--data={root / 'data'}", f"--output={out}"]),
    "metrics.json",
  ),
  "report": (
    lambda root, out: told(report.main)([str(root / "scores/scores.csv"), f"--output={out}"]), "report.html",
  ),
  "figures": (
    lambda root, out: figures.main(["st_ilif_figure2", f"--data={root / 'data'}", f"--output={out}"]),
    "st_ilif_figure2.json",
  ),
  "plot": (lambda root, out: plot.main([str(root / "run"), f"--output={out / 'curves.html'}"]), "curves.html"),
  "convert": (
    lambda root, out: convert.main(
      ["--method=tests/toy_method.py", f"--from={root / 'weights/own.npz'}", f"--to={out}"]
    ),
    "source.safetensors",
  ),
  "export": (
    lambda root, out: export.main([f"--from={root / 'run'}", f"--to={out / 'own.safetensors'}"]), "own.safetensors",
  ),
  "hub": (lambda root, out: export.main([f"--from={root / 'run'}", f"--to={out / 'model'}"]), "model"),
  "predict": (
    lambda root, out: predict.main(
      [str(root / "run/config.json"), f"--workdir={root / 'run'}", "--detector=dlib", f"--csv={out / 'all.csv'}"]
    ),
    "all.csv",
  ),
  "synthetic": (lambda root, out: told(synthetic.main)([f"--output={out}", "--identities=6"]), "synthetic.json"),
  "verify": (lambda root, out: verify.main([str(root / "data"), f"--sheets={out}"]), "train-real.png"),
  "collect": (
    lambda root, out: study.main(["collect", "toy_table", f"--workdir={root / 'study'}", f"--output={out}"]),
    "toy_table.html",
  ),
}  # fmt: skip


def below_a_file(folder, name):
  folder.write_text("")
  return folder / "out"


def name_taken_by_a_folder(folder, name):
  (folder / name / "inner").mkdir(parents=True)
  return folder


def read_only(folder, name):
  folder.mkdir()
  if subprocess.run(["mount", "-t", "tmpfs", "-o", "ro,size=1m", "tmpfs", str(folder)], capture_output=True).returncode:
    pytest.skip("cannot mount a tmpfs here")
  return folder / "out"


@pytest.mark.slow  # each is a program
@pytest.mark.parametrize("place", [below_a_file, name_taken_by_a_folder, read_only])
@pytest.mark.parametrize("name", PROGRAMS)
def test_a_place_that_cannot_be_written_is_told(world, tmp_path, name, place):
  """Guards against tracebacks after the work is done, and against files that are half-written for ever."""
  program, file = PROGRAMS[name]
  output = place(tmp_path / "place", file)
  try:
    with jax.numpy_dtype_promotion("standard"):
      status, said = call(lambda: program(world.root, output))
    left = [path.name for path in output.rglob("*partial*")] if output.is_dir() else []
  finally:
    subprocess.run(["umount", "-l", str(tmp_path / "place")], capture_output=True)
  assert status == 2, (status, said)
  assert "error: " in said and str(tmp_path / "place") in said and not left, (said, left)
