"""Optax relies on dtype promotion (Adam's bias correction), so tests that take optimizer steps allow it."""

import jax
import pytest


@pytest.fixture(autouse=True)
def optax_promotes():
  """Standard promotion inside each test of this folder."""
  with jax.numpy_dtype_promotion("standard"):
    yield
