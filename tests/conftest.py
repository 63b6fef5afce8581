"""The strict environment every test runs in: 8 CPU devices, no silent rank or dtype promotion, warnings are errors."""

import os
import pathlib

os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Compilations are most of the suite's time; a cache beside the repository's other caches keeps the second run quick.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(pathlib.Path(__file__).parent.parent / ".jax_cache"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.5")

import jax
import pytest
from absl import flags

jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")

# grain reads absl flags when it starts worker processes; outside app.run nobody has parsed them.
flags.FLAGS.mark_as_parsed()

REALFACES = pathlib.Path(
  os.environ.get("DFDETECT_REALFACES", pathlib.Path(__file__).resolve().parents[2] / "shared" / "realfaces")
)


@pytest.fixture(scope="session")
def realfaces() -> pathlib.Path:
  """Folder of real clips with manifest.csv; not part of the project, so tests that use it skip where it is absent."""
  if not (REALFACES / "manifest.csv").exists():
    pytest.skip(f"no real clips at {REALFACES} (set DFDETECT_REALFACES)")
  return REALFACES
