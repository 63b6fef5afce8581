"""The folder of a run: one training at a time, the same run, the same data, papers that tell of what is there."""

import contextlib
import pathlib
import time
from collections.abc import Iterator, Mapping, Sequence

import jax
import ml_collections

from dfdetect_jax import locks
from dfdetect_jax.devices import processes
from dfdetect_jax.errors import UserError
from dfdetect_jax.folders import as_folder, sweep_partial, write_whole
from dfdetect_jax.runs import provenance, run_config
from dfdetect_jax.runs.fields import flat
from dfdetect_jax.schema import DATASET_FILE

LOCK_FILE = "training.lock"
SHARED_SECONDS = 60.0


@contextlib.contextmanager
def claimed(workdir: pathlib.Path) -> Iterator[None]:
  """Holds a workdir for one training, of however many processes.

  Raises:
    UserError: another training is at work in it, or it cannot be written; all processes raise.
  """
  with contextlib.ExitStack() as stack:
    error = None
    if jax.process_index() == 0:
      try:
        stack.enter_context(locks.held(workdir / LOCK_FILE, "training", f"the workdir {workdir}"))
        sweep_partial(workdir)
      except UserError as refused:
        error = refused
      except OSError as failure:
        error = cannot_be_written(workdir, failure)
    processes.agree(error)
    yield


def agree(workdir: pathlib.Path, config: ml_collections.ConfigDict, total_steps: int) -> None:
  """Stops the processes of a job that would train different things, or do not see one workdir.

  Raises:
    UserError: naming what differs; all processes raise.
  """
  if jax.process_count() == 1:
    return
  agree_on_work(config, [config.data], {"the number of steps": str(total_steps)})
  # The lead's lock is there by now; a shared folder may take a while to show it.
  end = time.monotonic() + SHARED_SECONDS
  while isinstance(workdir, pathlib.Path) and not (workdir / LOCK_FILE).exists() and time.monotonic() < end:
    time.sleep(1)
  seen = isinstance(workdir, pathlib.Path) is False or (workdir / LOCK_FILE).exists()
  blind = [process for process, sees in enumerate(processes.gather(int(seen))) if not sees]
  if blind:
    raise UserError(
      f"process {', '.join(map(str, blind))} of the job does not see the workdir {workdir} that process 0 writes: it "
      "must be one folder that all hosts share."
    )


def agree_on_work(
  config: ml_collections.ConfigDict, folders: Sequence[str | pathlib.Path], others: Mapping[str, str]
) -> None:
  """Stops the processes of a job that have another config, other shards or another code, or differ in something else.

  Args:
    config: of the run.
    folders: dataset folders that are read.
    others: what else must be the same, see `processes.agree_on`.

  Raises:
    UserError: naming what differs; all processes raise.
  """
  if jax.process_count() == 1:
    return
  # Where the data lie may differ from host to host, what they are may not.
  settings = {name: value for name, value in flat(config.to_dict()).items() if name != "data"}
  processes.agree_on({
    "the config": "\n".join(f"{name}={value!r}" for name, value in sorted(settings.items())),
    **others,
    "the shards": "\n".join(f"sha256 {provenance.data_fingerprint(folder)['sha256']}" for folder in folders),
    "the code": f"sources of sha256 {provenance.code_version()['sha256']}",
  })  # fmt: skip


def cannot_be_written(workdir: pathlib.Path, error: OSError) -> UserError:
  """The sentence for a workdir on a disk that is full, read-only or somebody else's."""
  return UserError(f"the workdir {workdir} cannot be written ({error.strerror or error}): choose another --workdir.")


def check(workdir: pathlib.Path, config: ml_collections.ConfigDict, other_data: bool) -> None:
  """Compares the run that a workdir holds, if it does, with the one that is asked for.

  Args:
    workdir: of the run.
    config: that is asked for.
    other_data: the user wants to go on with other shards than before.

  Raises:
    UserError: it is another run, or the same on other data.
  """
  if not (workdir / run_config.CONFIG_FILE).exists():
    return
  run_config.check_same_run(workdir, config)
  path = workdir / provenance.PROVENANCE_FILE
  sessions = provenance.read_json(path).get("sessions", []) if path.is_file() else []
  if not sessions or other_data:
    return
  before, now = sessions[-1]["data"], provenance.data_fingerprint(config.data)
  if before.get("sha256") != now["sha256"]:
    raise UserError(
      f"{workdir} holds a run that was trained on other shards: {before.get('path')} (sha256 "
      f"{str(before.get('sha256'))[:12]}), now {now['path']} (sha256 {now['sha256'][:12]}). Give those to go on with "
      "it, another --workdir for a new run, or --other-data to go on with these; provenance.json then tells so."
    )


def write_papers(workdir: pathlib.Path, config: ml_collections.ConfigDict, step: int, total_steps: int) -> None:
  """Writes what every later reader of the run goes by: its config, and how its faces were found and cut.

  Args:
    workdir: of the run.
    config: of the run.
    step: that it goes on at.
    total_steps: that it shall have.

  Raises:
    UserError: the run has gone further already, or the folder cannot be written.
  """
  if step > total_steps:
    raise UserError(
      f"{workdir} holds a run of {step} steps; this command asks for {total_steps}, and its papers would tell of a "
      f"shorter run than it is. Give --config.total_steps={step} or more, or another --workdir."
    )
  if jax.process_index() != 0:
    return
  cut = (as_folder(config.data) / DATASET_FILE).read_text()
  try:
    workdir.mkdir(parents=True, exist_ok=True)
    run_config.save_config(workdir, config)
    write_whole(workdir / DATASET_FILE, cut)  # prediction must cut faces in the same way
  except OSError as error:
    raise cannot_be_written(workdir, error) from error
