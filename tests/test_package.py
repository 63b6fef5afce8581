"""What a user of the package as a whole relies on: light imports, a README that tells the truth."""

import importlib.util
import pathlib
import re
import subprocess
import sys
import time

import pytest

ROOT = pathlib.Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def test_import_is_quick_and_light():
  """Guards against a heavy import at the top of the package."""
  program = "import sys, dfdetect_jax; print(*sys.modules)"
  start = time.monotonic()
  done = subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT, capture_output=True, text=True)
  assert time.monotonic() - start < 2
  assert not {"jax", "flax", "numpy", "grain", "tensorflow_datasets"} & set(done.stdout.split())


def test_every_module_imports_without_tensorflow_and_torch():
  """Guards against TensorFlow or PyTorch becoming a dependency by the back door."""
  program = (
    "import importlib, pkgutil, sys\n"
    "class Absent:\n"
    "  def find_spec(name, path=None, target=None):\n"
    "    if name.split('.')[0] in ('tensorflow', 'torch'):\n"
    "      raise ModuleNotFoundError(name, name=name)\n"
    "sys.meta_path.insert(0, Absent)\n"
    "for package in ('dfdetect_jax', 'data_pipelines', 'configs'):\n"
    "  for module in pkgutil.walk_packages(importlib.import_module(package).__path__, package + '.'):\n"
    "    if not module.name.endswith(('__main__', 'data_pipelines.beam')):\n"
    "      importlib.import_module(module.name)\n"
  )
  subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)


@pytest.mark.parametrize("module", sorted(set(re.findall(r"python -m ([\w.]+)", README)) - {"venv", "pytest"}))
def test_programs_of_the_readme_exist(module):
  """Guards against a README that names a program which was renamed."""
  assert importlib.util.find_spec(module) is not None


def test_paths_of_the_readme_exist():
  """Guards against a README that names a folder or config which was moved."""
  for path in re.findall(r"`((?:configs|data_pipelines|dfdetect_jax|launch|benchmarks)/[\w./]*)`", README):
    assert (ROOT / path).exists(), path
