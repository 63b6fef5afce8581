"""Checkpoints of a run: `checkpoints/` holds the latest whole states, `best/` the weights that validation preferred."""

import contextlib
import logging
import pathlib
import shutil
from collections.abc import Iterator
from typing import Any

import jax
import orbax.checkpoint as ocp
from etils import epath

from dfdetect_jax.devices import processes
from dfdetect_jax.errors import UserError
from dfdetect_jax.files import DamagedFile
from dfdetect_jax.folders import as_absolute, check_writable, move
from dfdetect_jax.runs import checksums
from dfdetect_jax.runs.state import Progress, TrainState, path_name

_LOG = logging.getLogger(__name__)

CHECKPOINTS, BEST, DAMAGED = "checkpoints", "best", "damaged_checkpoints"
# The items that evaluation needs; the others only serve to go on training.
WEIGHTS = ("params", "teacher", "model_state")
_PARTIAL = ".orbax-checkpoint-tmp"  # in the name of a checkpoint that is being written
# What a process says of a checkpoint that it has tried to read.
_READ, _UNREADABLE, _MISFIT = range(3)
_NAMED = 4  # places in which a checkpoint differs from its config


def _items(state: TrainState) -> dict[str, Any]:
  """The parts of a state that are written apart, without those that are empty."""
  items = {
    "params": state.params,
    "teacher": state.teacher,
    "model_state": state.model_state,
    "opt_state": state.opt_state,
    "run": {"step": state.step, "progress": state.progress},
  }
  return {name: item for name, item in items.items() if jax.tree.leaves(item)}


def _raised_again(record: logging.LogRecord) -> bool:
  """Whether to print a log record: Orbax prints the traceback of each error of its threads, and raises it as well."""
  return not (record.exc_info and "orbax" in record.pathname)


def _manager(directory: pathlib.Path, keep: int) -> ocp.CheckpointManager:
  logging.getLogger("absl").addFilter(_raised_again)

  def seal() -> None:
    """Writes the checksums of the checkpoint that is about to get its name."""
    # A bucket's objects have checksums of their own, which its client compares.
    if jax.process_index() == 0 and isinstance(directory, pathlib.Path):
      partial = [path for path in directory.iterdir() if _PARTIAL in path.name]
      checksums.write(max(partial, key=lambda path: path.stat().st_mtime))

  options = ocp.CheckpointManagerOptions(
    async_options=ocp.AsyncOptions(post_finalization_callback=seal),
    max_to_keep=keep,
    create=True,
    # Processes meet at barriers named by step alone: two managers that write the same step would meet each other's.
    multiprocessing_options=ocp.options.MultiprocessingOptions(barrier_sync_key_prefix=directory.name),
  )
  return ocp.CheckpointManager(directory, options=options)


def _save(manager: ocp.CheckpointManager, step: int, items: dict[str, Any]) -> None:
  if step in manager.all_steps():
    # A run that goes on from an earlier checkpoint comes by here again, with the same numbers.
    manager.delete(step)
  manager.save(step, args=ocp.args.Composite(**{name: ocp.args.StandardSave(item) for name, item in items.items()}))


def check_same_tree(saved: Any, expected: Any, what: str, where: str) -> None:
  """Compares shapes and dtypes of two trees.

  Args:
    saved: what lies on disk (leaves have `shape` and `dtype`).
    expected: what the program needs.
    what: "params", for the message.
    where: the checkpoint, for the message.

  Raises:
    UserError: they differ; the first paths that do are named.
  """

  def leaves(tree) -> dict[str, str]:
    flat = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {path_name(path): f"{leaf.dtype}{list(leaf.shape)}" for path, leaf in flat}

  have, need = leaves(saved), leaves(expected)
  lines = [f"missing {name} {need[name]}" for name in need if name not in have]
  lines += [f"left over {name} {have[name]}" for name in have if name not in need]
  lines += [
    f"{name}: saved {have[name]}, needed {need[name]}" for name in need if have.get(name, need[name]) != need[name]
  ]
  if lines:
    more = f"; and {len(lines) - _NAMED} more" if len(lines) > _NAMED else ""
    raise UserError(
      f"the checkpoint {where} is of another architecture than the config: {what} differ in {len(lines)} places: "
      f"{'; '.join(lines[:_NAMED])}{more}. Give config.model what it was trained with, or train in another folder."
    )


def _read(directory: pathlib.Path, abstract: dict[str, Any]) -> dict[str, Any]:
  """Reads this process's part of the items of one checkpoint.

  Files are compared with their checksums before they are restored, not meanwhile: where Orbax fails on a damaged one
  it leaves coroutines behind, of which Python complains at the program's end. The handlers are asked themselves: the
  manager's `restore` waits for the other processes at its end, for ever if one of them cannot read and never comes
  there.
  """
  if jax.process_index() == 0:
    checksums.verify(directory, abstract)
  handler = ocp.StandardCheckpointHandler()
  for name, item in abstract.items():
    if not (directory / name).is_dir():
      raise FileNotFoundError(f"{directory} lacks the item '{name}'")
    # Only weights are compared by path: they are what a user changes; the rest follows from them.
    if name in WEIGHTS:
      check_same_tree(handler.metadata(directory / name).tree, item, name, str(directory))
  if "run" in abstract:
    abstract = abstract | {"run": _as_written(handler.metadata(directory / "run").tree, abstract["run"])}
  return {
    name: handler.restore(directory / name, args=ocp.args.StandardRestore(item)) for name, item in abstract.items()
  }


def _as_written(saved: dict[str, Any], run: dict[str, Any]) -> dict[str, Any]:
  """The item "run" with those fields of `Progress` that a checkpoint, perhaps of an older version, has."""
  fields = vars(run["progress"])
  return run | {"progress": {name: fields[name] for name in fields if name in saved["progress"]}}


class Checkpoints:
  """Writes and restores the states of one run; saving goes on in the background.

  Args:
    workdir: folder of the run.
    keep: latest checkpoints that are kept.
    every: steps between them, for `is_time`.
  """

  def __init__(self, workdir: str | pathlib.Path, keep: int, every: int = 1):
    self.workdir = as_absolute(workdir)
    self._every = every
    for name in (CHECKPOINTS, BEST):
      _check_writable(self.workdir / name)
    self._latest = _manager(self.workdir / CHECKPOINTS, keep)
    self._best = _manager(self.workdir / BEST, 1)
    self._full = False

  def is_time(self, step: int) -> bool:
    """Whether to save after this step."""
    return step % self._every == 0

  def save(self, state: TrainState) -> None:
    """Starts writing the whole state under its step.

    Raises:
      UserError: this checkpoint, or the one before it, cannot be written.
    """
    with self._written():
      _save(self._latest, int(state.step), _items(state))

  def save_best(self, state: TrainState) -> None:
    """Starts writing the weights as the best so far."""
    items = _items(state)
    with self._written():
      _save(self._best, int(state.step), {name: items[name] for name in WEIGHTS if name in items})

  def latest(self) -> int | None:
    """Step of the latest checkpoint that is whole, None if there is none."""
    return self._latest.latest_step()

  def restore(self, abstract: TrainState) -> TrainState | None:
    """Restores the latest state; one that cannot be read is set aside, said loudly, and the one before is taken.

    All processes restore the same one: what any of them cannot read counts as unreadable.

    Args:
      abstract: shapes, dtypes and shardings of the state.

    Returns:
      The state, None if the run has no checkpoint yet.

    Raises:
      UserError: the checkpoint is of another architecture, or none of several can be read.
    """
    tried = 0
    steps = set(self._latest.all_steps())
    # Processes that see different folders all go through the steps of any of them, so that they come to the same one.
    while (step := max(processes.gather(max(steps, default=-1)))) >= 0:
      steps.discard(step)
      tried += 1
      items: dict[str, Any] | None = None
      error: Exception | None = None
      try:
        items = _read(self.workdir / CHECKPOINTS / str(step), _items(abstract))
      except Exception as failure:
        error = failure
      found = processes.gather(_verdict(error))
      unable = [process for process, verdict in enumerate(found) if verdict == _UNREADABLE]
      if unable:
        self._set_aside(step, unable, error)
        continue
      if _MISFIT in found:
        raise error or UserError(f"checkpoint {step} does not fit the config of every process of the job.")
      assert items is not None, "a process that read nothing has told the others"
      run = items["run"]
      start = jax.device_put(Progress.start(), jax.tree.map(lambda x: x.sharding, abstract.progress))
      progress = Progress(**(vars(start) | run["progress"]))
      return abstract.replace(
        step=run["step"],
        progress=progress,
        params=items["params"],
        teacher=items.get("teacher"),
        model_state=items.get("model_state", {}),
        opt_state=items.get("opt_state", abstract.opt_state),
      )
    if tried:
      raise UserError(f"none of the {tried} checkpoints in {self.workdir / CHECKPOINTS} can be read.")
    return None

  def _set_aside(self, step: int, unable: list[int], error: Exception | None) -> None:
    """Says which processes cannot read a checkpoint, and moves it out of the way."""
    me, lead = jax.process_index(), jax.process_index() == 0
    if me in unable or lead:
      named = [me] if me in unable else unable
      count = jax.process_count()
      who = f" by process {', '.join(map(str, named))} of {count}" if count > 1 else ""
      why = f" ({_first_line(error)})" if me in unable and error else ""
      _LOG.warning(f"checkpoint {step} cannot be read{who}{why}; going back to the one before.")
    source, target = self.workdir / CHECKPOINTS / str(step), self.workdir / DAMAGED / str(step)
    if lead and source.exists():
      epath.Path(target).rmtree(missing_ok=True)
      move(source, target)
    processes.barrier("set aside")
    self._latest.reload()

  def wait(self) -> None:
    """Returns when everything is on disk.

    Raises:
      UserError: something cannot be written.
    """
    with self._written():
      self._latest.wait_until_finished()
      self._best.wait_until_finished()

  @contextlib.contextmanager
  def _written(self) -> Iterator[None]:
    """Tells a full disk in a sentence. What was being written keeps a temporary name and never counts."""
    try:
      yield
    except Exception as error:
      # Several threads write: what fails after the first is a consequence, whatever it says.
      self._full = self._full or _no_space(error, self.workdir)
      if not self._full:
        raise
      good = max((int(p.name) for p in (self.workdir / CHECKPOINTS).glob("[0-9]*") if p.name.isdigit()), default=None)
      raise UserError(
        f"a checkpoint cannot be written: no space left for {self.workdir}. "
        + (f"The last good one is of step {good}; make" if good is not None else "Make")
        + " room and give the same command to go on."
      ) from error

  def close(self) -> None:
    """Waits and lets go of the threads that write.

    Raises:
      UserError: something cannot be written.
    """
    self.wait()
    with self._written():  # of what failed in two threads, `wait` raises one and this the other
      self._latest.close()
      self._best.close()


def _check_writable(folder: pathlib.Path | epath.Path) -> None:
  """Orbax would wait for minutes before it tells.

  Raises:
    UserError: the folder cannot be written; all processes raise.
  """
  error = None
  if jax.process_index() == 0:
    try:
      check_writable(folder)
    except OSError as failure:
      error = UserError(
        f"checkpoints cannot be written to {folder} ({failure.strerror or failure}): make it writable, or choose "
        "another --workdir."
      )
  processes.agree(error)


def _no_space(error: BaseException | None, folder: pathlib.Path | epath.Path) -> bool:
  """Whether a full disk stands behind an error: Orbax and TensorStore say so in words of their own, or not at all."""
  signs = ("No space left", "Disk quota", "RESOURCE_EXHAUSTED", "Errno 28", "ENOSPC")
  while error is not None:
    if any(sign in str(error) for sign in signs):
      return True
    error = error.__cause__ or error.__context__
  return isinstance(folder, pathlib.Path) and shutil.disk_usage(folder).free < 1 << 16


def _verdict(error: Exception | None) -> int:
  misfit = isinstance(error, UserError) and not isinstance(error, DamagedFile)
  return _READ if error is None else _MISFIT if misfit else _UNREADABLE


def load_weights(
  workdir: str | pathlib.Path, abstract: TrainState, step: str | int = "best"
) -> tuple[TrainState, int, pathlib.Path]:
  """Loads the weights of a run for evaluation.

  Where the best or the latest ones cannot be read, the last good checkpoint before is taken instead, loudly.

  Args:
    workdir: folder of the run.
    abstract: shapes, dtypes and shardings; only the weights are restored, the rest is returned as it is.
    step: "best" (by validation; the latest if there is none), "latest", or the number of a kept step.

  Returns:
    The state with restored weights, the step they are from, and the folder that they were read from.

  Raises:
    UserError: the run has no such checkpoint, one of another architecture, or none that can be read.
  """
  workdir = as_absolute(workdir)
  kept = {name: _steps(workdir / name) for name in (BEST, CHECKPOINTS)}
  latest = [(CHECKPOINTS, number) for number in kept[CHECKPOINTS]]
  best = [(BEST, number) for number in kept[BEST]]
  if str(step).isdigit():
    tried = [place for place in (*best, *latest) if place[1] == int(step)]
  else:
    tried = {"best": [*best, *latest], "latest": latest}.get(str(step), [])
  if not tried:
    names = [*(["best"] if best or latest else []), *(["latest"] if latest else [])]
    have = ", ".join(map(str, [*dict.fromkeys(n for _, n in (*best, *latest)), *names])) or "none"
    raise UserError(f"{workdir} has no checkpoint '{step}' (it has: {have}). Train first, or choose another step.")
  if str(step) == "best" and not best:
    _LOG.warning(f"{workdir} has no best step (it has not been validated): its latest one, {latest[0][1]}, is taken.")
  wanted = {name: item for name, item in _items(abstract).items() if name in WEIGHTS}
  for place, number in tried:
    folder, items, error = workdir / place / str(number), {}, None
    try:
      items = _read(folder, wanted)
    except Exception as failure:
      error = failure
    found = processes.gather(_verdict(error))
    if _MISFIT in found:
      raise error or UserError(f"{folder} does not fit the config of every process of the job.")
    if _UNREADABLE not in found:
      return abstract.replace(**items), number, folder
    why = f" ({_first_line(error)})" if error else ""
    _LOG.warning(f"the weights in {folder} cannot be read{why}.")
    if (place, number) != tried[-1]:
      _LOG.warning("going back to the last good checkpoint instead; its figures are its own.")
  there = ", ".join(str(number) for _, number in (*best, *latest))
  raise UserError(
    f"the weights '{step}' of {workdir} cannot be read: {_first_line(error) if error else 'by another process'}. "
    f"Choose another --step (there are: {there}), or train on to make new ones."
  )


def _steps(folder: pathlib.Path) -> list[int]:
  """Numbers of the whole checkpoints in a folder, the latest first."""
  if not folder.is_dir():
    return []
  if isinstance(folder, pathlib.Path):  # a checkpoint that is being written has another name
    return sorted((int(path.name) for path in folder.iterdir() if path.name.isdigit()), reverse=True)
  with _manager(folder, 1_000_000) as manager:
    return sorted(manager.all_steps(), reverse=True)


def _first_line(error: Exception) -> str:
  text = str(error).strip().splitlines()
  return text[0] if text else type(error).__name__
