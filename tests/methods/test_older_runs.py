"""Runs made before a method's newest switches: their configs still build the network that they trained.

`older_configs.json` was written by version 0.1.0 from its own code: what a run's config.json held of each method's test
size, and a fingerprint of the names and shapes of its variables.
"""

import hashlib
import json
import pathlib

import jax
import ml_collections
import pytest

from dfdetect_jax import methods
from dfdetect_jax.runs.run_config import _tuples

OLDER = json.loads((pathlib.Path(__file__).parent / "older_configs.json").read_text())


@pytest.mark.parametrize("name", OLDER)
def test_older_configs_build_the_same_network(name):
  """Guards weights that others keep: a config without a newer field, or with one that has moved, means what it did."""
  method = methods.build(ml_collections.ConfigDict(_tuples(OLDER[name]["config"])).lock())
  variables = jax.eval_shape(method.init, jax.random.key(0))
  leaves = sorted(
    f"{jax.tree_util.keystr(path)} {list(x.shape)}" for path, x in jax.tree_util.tree_leaves_with_path(variables)
  )
  assert len(leaves) == OLDER[name]["variables"]
  assert hashlib.sha256("\n".join(leaves).encode()).hexdigest() == OLDER[name]["sha256"]


def test_switches_that_came_later_are_off_in_older_runs():
  """Guards outputs, which a shape does not tell: ST-ILIF's recurrence and the scale of its images, DIP's distances."""
  build = lambda name: methods.build(ml_collections.ConfigDict(_tuples(OLDER[name]["config"])).lock())  # noqa: E731
  older = {name: build(name) for name in ("st_ilif", "dip")}
  assert (older["st_ilif"].model.recurrence, older["st_ilif"].model.unit_input) == ("scan", False)
  assert (older["dip"].model.density, older["dip"].model.feature_scale) == ("stationary", "none")
  assert older["st_ilif"].clip_spec.for_validation() == older["st_ilif"].clip_spec
