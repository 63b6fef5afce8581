"""Compiled programs are kept from one call to the next: compiling is most of what a short one waits for."""

import hashlib
import logging
import pathlib
import platform

import jax

from dfdetect_jax.folders import user_cache

_LOG = logging.getLogger(__name__)
KEPT_FROM = 0.1  # seconds of compilation


def cache_folder() -> pathlib.Path:
  """Where they are kept: `dfdetect_jax/xla` in the user's cache folder, and there by kind of CPU.

  jax takes an entry that was made on another machine, whose instructions this one may lack: homes are shared.
  """
  try:
    lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
  except OSError:
    lines = [platform.processor()]
  able = next((line for line in lines if line.startswith(("flags", "Features"))), lines[0] if lines else "")
  kind = hashlib.sha256(" ".join(sorted(able.split())).encode()).hexdigest()[:8]
  return user_cache() / "xla" / f"{platform.machine()}-{kind}"


def keep_compiled() -> None:
  """Turns jax's persistent compilation cache on, for a program; before anything is compiled.

  Does nothing where JAX_COMPILATION_CACHE_DIR is set (to a folder of one's own, or to "" for none). A folder that
  cannot be made is told, and nothing is kept.
  """
  if jax.config.values["jax_compilation_cache_dir"] is not None:
    return
  try:
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
  except (OSError, RuntimeError) as error:  # RuntimeError: there is no home
    _LOG.warning(
      f"compiled programs are not kept for the next call ({error}): set JAX_COMPILATION_CACHE_DIR to a folder "
      'that can be written, or to "".'
    )
    return
  jax.config.update("jax_compilation_cache_dir", str(folder))
  # jax keeps what took a second by itself; the face detector's three networks take less, and a short video all of it.
  jax.config.update("jax_persistent_cache_min_compile_time_secs", KEPT_FROM)
