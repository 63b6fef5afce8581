"""Annotations: mypy checks them in CI, the import hook of `conftest.py` in tests."""

import pathlib
import tomllib

import jax.numpy as jnp
import jaxtyping
import pytest

from dfdetect_jax.layers.temporal_conv import temporal_conv

ROOT = pathlib.Path(__file__).parent.parent
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_packages_are_checked_and_say_that_they_are_typed():
  """Guards against annotations that nobody checks, or that checkers of other people's code do not read."""
  packages = SETTINGS["tool"]["mypy"]["packages"]
  assert set(packages) == {"dfdetect_jax", "data_pipelines"}
  assert all((ROOT / package / "py.typed").is_file() for package in packages)
  assert any(line.strip() == ".venv/bin/mypy" for line in (ROOT / ".ci" / "run").read_text().splitlines())


@pytest.mark.parametrize(
  "x, kernel",
  [
    (jnp.zeros((1, 4, 2, 2, 3)), jnp.zeros((3, 5, 2))),  # another number of channels
    (jnp.zeros((4, 2, 2, 3)), jnp.zeros((3, 3, 2))),  # no batch
    (jnp.zeros((1, 4, 2, 2, 3), jnp.int32), jnp.zeros((3, 3, 2))),  # no float
  ],
)
def test_shapes_are_checked_in_tests(x, kernel):
  """Guards against an import hook that has come too late, and from then on checks nothing."""
  with pytest.raises(jaxtyping.TypeCheckError):
    temporal_conv(x, kernel)
