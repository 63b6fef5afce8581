"""A step's memory on a CPU, kept from one step to the next.

XLA takes the temporary memory of a CPU program anew at each call. For blocks of that size glibc asks the system, which
gives zeroed pages one by one and takes them back at the end: a third of the processor's time of FTCN's small step.
"""

import ctypes
import importlib.util
import sys

# Parameters of mallopt(3), from glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -4, -8

_one_arena = False  # whether this process is a program's own, prepared for keeping memory


def one_arena() -> None:
  """Has all threads take memory from one heap, which `keep_memory` needs; for a program, before jax computes.

  Does nothing without glibc, or where jax may have another device than the CPU.
  """
  global _one_arena
  other_devices = any(importlib.util.find_spec(name) for name in ("jax_plugins", "libtpu"))
  mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
  if mallopt is not None and not other_devices:
    _one_arena = bool(mallopt(_M_ARENA_MAX, 1))


def keep_memory() -> None:
  """Has the heap keep what is freed from now on; after compiling, whose memory goes back. Needs `one_arena`."""
  if _one_arena:
    mallopt = ctypes.CDLL(None).mallopt
    mallopt(_M_MMAP_MAX, 0)
    mallopt(_M_TRIM_THRESHOLD, -1)
