"""What an installed copy lacks, no test in the checkout would miss: every file that a program reads is in the wheel."""

import pathlib
import tomllib

ROOT = pathlib.Path(__file__).resolve().parents[1]
NOT_READ = {".md", ".jpg", ".pyc"}  # for people, not for programs
FOR_DOCKER = {"launch/Dockerfile"}


def test_files_that_programs_read_are_packaged():
  """Guards the wheel, installed elsewhere: launch templates, lists and configs come with it."""
  tools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
  packages = [pattern.rstrip("*") for pattern in tools["packages"]["find"]["include"]]
  assert {"configs", "data_pipelines", "dfdetect_jax", "launch"} <= {*packages}
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
