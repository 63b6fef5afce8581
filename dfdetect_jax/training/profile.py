"""A trace of chosen steps for xprof (`xprof WORKDIR/profile`)."""

import pathlib
import shutil
import tempfile

import jax

from dfdetect_jax.folders import as_folder


class Trace:
  """Records steps FIRST to LAST, 1 being the run's first; does nothing without them.

  Args:
    workdir: folder of the run; the trace goes to `profile/` in it.
    steps: first and last step, both included; None records nothing.
  """

  def __init__(self, workdir: str | pathlib.Path, steps: tuple[int, int] | None):
    self._folder, self._steps, self._running = as_folder(workdir) / "profile", steps, False

  def __enter__(self):
    return self

  def before(self, done: int) -> None:
    """Starts or stops the trace before the step that follows `done` steps."""
    if self._steps is None:
      return
    first, last = self._steps
    if not self._running and first <= done + 1 <= last:
      # A bucket gets a copy: the profiler would go there by a way of its own, with credentials of its own.
      self._local = self._folder if isinstance(self._folder, pathlib.Path) else pathlib.Path(tempfile.mkdtemp())
      jax.profiler.start_trace(str(self._local))
      self._running = True
    elif self._running and done >= last:
      self._stop()

  def _stop(self) -> None:
    self._running = False
    jax.profiler.stop_trace()
    if self._local != self._folder:
      for file in filter(pathlib.Path.is_file, self._local.rglob("*")):
        target = self._folder / file.relative_to(self._local).as_posix()
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.read_bytes())
      shutil.rmtree(self._local)

  def __exit__(self, *_):
    if self._running:
      self._stop()
