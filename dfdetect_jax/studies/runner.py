"""Makes the runs of a plan, one after the other, each training and each scoring in a process of its own.

What is done is left alone and what was begun goes on, so the same command continues a study that was interrupted. A
run that fails is reported with the end of its log, and the others go on.
"""

import collections
import contextlib
import fcntl
import pathlib
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence

import tqdm

from dfdetect_jax.folders import write_json
from dfdetect_jax.runs.provenance import clock
from dfdetect_jax.signals import EXIT_PREEMPTED, STATUS, child_environment
from dfdetect_jax.studies.plan import FINISHED_FILE, SCORES, Run

LOG_FILE = "log.txt"
# By these a process believes that it is one of several; every run here is alone.
_CLUSTER = ("JOB_COMPLETION_INDEX", "SLURM_PROCID", "OMPI_COMM_WORLD_SIZE")


def program(name: str) -> list[str]:
  """Command of one of the package's programs."""
  return [sys.executable, "-m", f"dfdetect_jax.{name}"]


class Failed(Exception):
  """A process ended with an error; the message is its status and the end of its log."""


class Children:
  """Starts processes one at a time, and passes SIGTERM and Ctrl-C on to the one that runs."""

  def __init__(self):
    self.stopped = False
    self.status = EXIT_PREEMPTED
    self._child: subprocess.Popen | None = None

  def __enter__(self):
    self._previous = {number: signal.signal(number, self._stop) for number in STATUS}
    return self

  def __exit__(self, *_):
    for number, handler in self._previous.items():
      signal.signal(number, handler)

  def _stop(self, number, _):
    self.stopped, self.status = True, STATUS[signal.Signals(number)]
    if self._child is not None and self._child.poll() is None:
      self._child.terminate()

  def run(self, command: Sequence[str], log: pathlib.Path, seen: Callable[[str], None]) -> None:
    """Runs a command to its end, its output going to the log.

    Args:
      command: with its arguments.
      log: appended to.
      seen: called with each line of output.

    Raises:
      Failed: it ended with an error.
      SystemExit: it was told to stop (status 75).
    """
    if self.stopped:
      sys.exit(self.status)
    environment = {k: v for k, v in child_environment().items() if k not in _CLUSTER}
    environment |= {"PYTHONUNBUFFERED": "1", "TQDM_DISABLE": "1"}
    last: collections.deque[str] = collections.deque(maxlen=3)
    with log.open("a") as file:
      file.write(f"$ {' '.join(command)}\n")
      file.flush()
      with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
      ) as self._child:
        if self.stopped:  # told so while it started
          self._child.terminate()
        assert self._child.stdout is not None, "a pipe"
        for line in self._child.stdout:
          file.write(line)
          if line.strip():
            last.append(line.strip())
          seen(line)
    status = self._child.returncode
    if self.stopped or status == EXIT_PREEMPTED:
      print("told to stop: what the run has done is saved; the same command goes on.", file=sys.stderr, flush=True)
      sys.exit(self.status)
    if status:
      raise Failed(f"status {status}: {' | '.join(last) or 'it printed nothing'}")


def execute(runs: Sequence[Run], program: Callable[[str], list[str]] = program, leaks: str = "drop") -> int:
  """Makes all runs that are not done, printing a line for each.

  Args:
    runs: see `plan.make_plan`.
    program: command of the programs `train` and `evaluate`.
    leaks: what happens to test videos that a run has seen, "drop" or "keep".

  Returns:
    Exit status: 0, or 1 if a run failed.

  Raises:
    SystemExit: told to stop (status 75); the same command goes on.
  """
  start, worked, failed = time.monotonic(), 0, []
  todo = sum(not run.done and (run.data is not None or run.trained) for run in runs)
  with Children() as children:
    for number, run in enumerate(runs, 1):
      head = f"[{number}/{len(runs)}] {run.name}"
      if run.done:
        print(f"{head}: done", flush=True)
        continue
      if run.data is None and not run.trained:
        print(f"{head}: no data: {run.missing[0]}", flush=True)
        continue
      began = time.monotonic()
      try:
        with _locked(run.folder) as free:
          if free:
            _make(run, head, children, program, leaks)
          outcome = f"done in {clock(time.monotonic() - began)}" if free else "another process is at work on it"
      except Failed as error:
        failed.append(run)
        outcome = f"FAILED, {error} (log: {run.folder / LOG_FILE})"
      worked += 1
      left = (todo - worked) * (time.monotonic() - start) / worked
      print(
        f"{head}: {outcome}" + (f"; {todo - worked} left, about {clock(left)}" if todo > worked else ""), flush=True
      )
  if failed:
    print(f"{len(failed)} of {len(runs)} runs failed: {', '.join(run.name for run in failed)}", flush=True)
  return 1 if failed else 0


def _make(run: Run, head: str, children: Children, program: Callable[[str], list[str]], leaks: str) -> None:
  """Trains, then scores each test folder."""
  log = run.folder / LOG_FILE
  if not run.trained:
    if run.data is None:  # it was trained when the plan was gone through
      raise Failed(f"no data: {run.missing[0]}")
    train = [*program("train"), *run.recipe.flags(), f"--workdir={run.folder}", f"--data={run.data.path}"]
    with tqdm.tqdm(desc=f"{head} training", unit="step", mininterval=1.0, leave=False) as bar:

      def seen(line: str) -> None:
        if match := re.match(r"step (\d+)/(\d+) ", line):
          bar.total = int(match[2])
          bar.update(int(match[1]) - bar.n)

      children.run([*train, f"--config.seed={run.seed}"], log, seen)
    write_json(run.folder / FINISHED_FILE, {"finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())})
  for place in tqdm.tqdm(run.unscored, desc=f"{head} scoring", unit="folder", leave=False):
    # Test sets of other datasets may hold videos of the training set (DeeperForensics' reals are FaceForensics++'s).
    evaluate = [*program("evaluate"), f"--workdir={run.folder}", f"--data={run.tests[place].path}", f"--leaks={leaks}"]
    children.run([*evaluate, f"--output={run.folder / SCORES / place}"], log, lambda line: None)


@contextlib.contextmanager
def _locked(folder: pathlib.Path) -> Iterator[bool]:
  """Whether no other process works on the run; holds it meanwhile."""
  folder.mkdir(parents=True, exist_ok=True)
  with (folder / "lock").open("w") as file:
    try:
      fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
      yield False
      return
    yield True
