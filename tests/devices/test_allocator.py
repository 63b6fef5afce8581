"""Memory that a CPU program keeps."""

import platform
import subprocess
import sys

import pytest

# Prints how many pages the system had to give to the median of the last five calls, whose temporary memory has 16,384.
# The first ones may still ask for some: where a small block came to lie in a call's memory, the next finds no room.
PROGRAM = """
from dfdetect_jax.devices import allocator
if {prepared}:
  allocator.one_arena()
import resource
import jax
import jax.numpy as jnp
f = jax.jit(lambda x: jnp.sum(jnp.sort(x * 2, axis=0)))
x = jnp.ones((4, 1 << 22))
f(x).block_until_ready()
allocator.keep_memory()
given = [resource.getrusage(resource.RUSAGE_SELF).ru_minflt]
for _ in range(16):
  f(x).block_until_ready()
  given.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
print(sorted(after - before for before, after in zip(given[-6:], given[-5:]))[2])
"""


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's malloc is what is set")
@pytest.mark.parametrize("prepared", [True, False])
def test_no_page_is_asked_for_again(prepared):
  """Guards that both calls together do what they say, and that a process which is not a program's is left alone."""
  done = subprocess.run(
    [sys.executable, "-c", PROGRAM.format(prepared=prepared)], capture_output=True, text=True, check=True
  )  # fmt: skip
  pages = int(done.stdout)
  assert pages < 1000 if prepared else pages > 10_000
