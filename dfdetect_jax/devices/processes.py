"""Several processes, one job: finding each other, and noticing when one is gone."""

import contextlib
import hashlib
import importlib.util
import itertools
import logging
import os
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping

import jax
import numpy as np
from jax._src import distributed  # its client is in no public module
from jax.experimental import multihost_utils
from orbax.checkpoint import multihost

from dfdetect_jax.devices import presence
from dfdetect_jax.devices.arguments import CONNECT_SECONDS
from dfdetect_jax.devices.roll_call import roll_call
from dfdetect_jax.errors import UserError

_LOG = logging.getLogger(__name__)

# Where `presence` has not ended the processes that are left, jax's own service does, after so long.
HEARTBEAT_SECONDS = 60
_BARRIERS = itertools.count()


def initialize(
  coordinator: str | None = None,
  num_processes: int | None = None,
  process_id: int | None = None,
  timeout: float = CONNECT_SECONDS,
) -> None:
  """Joins the job's processes; does nothing where this process is alone. Must come before any computation.

  Without arguments jax looks for Cloud TPU, SLURM, Kubernetes and Open MPI. In a SLURM step of one process per GPU,
  each takes its own; where one process shall have all GPUs of its node, set JAX_LOCAL_DEVICE_IDS=0,1,….

  Args:
    coordinator: host:port of process 0, where the environment does not tell.
    num_processes: processes of the job.
    process_id: number of this one.
    timeout: seconds to wait for the others.

  Raises:
    UserError: the settings are incomplete or wrong, or the other processes do not come.
  """
  given = (coordinator, num_processes, process_id)
  if any(x is not None for x in given) and None in given:
    raise UserError("--coordinator, --num-processes and --process-id belong together: give all three or none.")
  if jax.distributed.is_initialized():
    return
  if coordinator is None and not _in_a_cluster():
    return
  if coordinator is not None and num_processes is not None and process_id is not None:
    roll_call(coordinator, num_processes, process_id, timeout)
  late = threading.Timer(timeout, _not_found, [timeout])
  late.daemon = True
  late.start()
  try:
    jax.distributed.initialize(
      coordinator,
      num_processes,
      process_id,
      # Longer than what is asked for: where it runs out, jax aborts the process instead of raising.
      initialization_timeout=int(timeout) + 60,
      heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
      shutdown_timeout_seconds=2 * HEARTBEAT_SECONDS,
    )
  except (RuntimeError, ValueError, OSError) as error:
    where = f"process {process_id} of {num_processes} at {coordinator}" if coordinator else "the cluster's environment"
    raise UserError(
      f"the processes of the job did not find each other within {timeout} s ({where}): {str(error).splitlines()[0]}. "
      "Check that every process was started with the same --coordinator and --num-processes and its own --process-id, "
      "that the coordinator's host and port can be reached from all hosts (firewall, proxy variables), and that no "
      "earlier job still holds the port."
    ) from error
  finally:
    late.cancel()
  state = distributed.global_state
  if state.client is not None and jax.process_count() > 1:
    presence.watch(state.client, jax.process_index(), jax.process_count())


def _not_found(timeout: float) -> None:
  """Ends a process whose job does not come together; it is deep in a call that nothing else interrupts."""
  print(
    f"error: the processes of the job did not find each other within {timeout:g} s (--join-timeout). Check that the "
    "scheduler started all of them, that they reach the first one's host, and that no earlier job holds its port.",
    file=sys.stderr, flush=True,
  )  # fmt: skip
  os._exit(2)


def barrier(place: str) -> None:
  """Waits until every process is here; nothing to do for one alone.

  Before a first batch processes may be far apart (imports, opening shards), and collectives on CPUs wait 30 s only. All
  processes must come to the same places in the same order.
  """
  if jax.process_count() > 1:
    multihost.get_barrier_sync_fn()(key=f"{place} {next(_BARRIERS)}", timeout_ms=1000 * CONNECT_SECONDS)


def gather(value: int) -> list[int]:
  """The integer that each process gives, by process; all must come here together, as in `barrier`."""
  if jax.process_count() == 1:
    return [value]
  barrier("gather")
  return multihost_utils.process_allgather(np.int32(value)).tolist()


def agree(error: UserError | None) -> None:
  """Raises on all processes what one of them found wrong; all must come here together.

  Raises:
    UserError: this process's own, or that of another, which says it itself.
  """
  failed = [process for process, wrong in enumerate(gather(int(error is not None))) if wrong]
  if error is not None:
    raise error
  if failed:
    raise UserError(f"process {failed[0]} of the job cannot go on, and says why.")


def agree_on(facts: Mapping[str, str]) -> None:
  """Stops all processes of a job unless the same is true for all of them; all must come here together.

  Args:
    facts: what must be the same, by the words that a difference is told in: config, data, code.

  Raises:
    UserError: naming what differs, between which processes, and both values.
  """
  if jax.process_count() == 1:
    return
  own = [np.frombuffer(hashlib.sha256(text.encode()).digest(), np.uint8) for text in facts.values()]
  barrier("agree")
  digests = multihost_utils.process_allgather(np.stack(own))  # [processes, facts, 32]
  for number, name in enumerate(facts):
    others = [i for i in range(1, len(digests)) if (digests[i, number] != digests[0, number]).any()]
    if others:
      texts = _texts(facts[name])
      raise UserError(
        f"the processes of the job do not agree on {name}: {_difference(texts[0], texts[others[0]], others[0])} Start "
        "all of them with the same command, code and data."
      )


def _texts(text: str) -> list[str]:
  """The text of each process."""
  content = np.frombuffer(text.encode(), np.uint8)
  longest = max(gather(len(content)))
  barrier("texts")
  padded = multihost_utils.process_allgather(np.pad(content, (0, longest - len(content))))
  return [bytes(row).rstrip(b"\0").decode(errors="replace") for row in padded]


def _difference(first: str, other: str, process: int) -> str:
  """The first line in which two texts differ."""
  pairs = itertools.zip_longest(first.splitlines(), other.splitlines(), fillvalue="nothing")
  a, b = next((pair for pair in pairs if pair[0] != pair[1]), (first, other))
  return f"process 0 has {a.strip()}, process {process} has {b.strip()}."


@contextlib.contextmanager
def fail_together(*agreed: type[BaseException]) -> Iterator[None]:
  """A block in which an error of one process ends that process at once, so that the others notice and end too.

  Unwinding would wait for the others (checkpoints are written together), and they wait for this process: a deadlock.

  Args:
    agreed: exceptions that all processes raise at the same step; they are passed on.
  """
  try:
    yield
  except agreed:
    raise
  except BaseException as error:
    if jax.process_count() == 1:
      raise
    if isinstance(error, UserError):
      print(f"process {jax.process_index()}: error: {error}", file=sys.stderr, flush=True)
      os._exit(2)
    traceback.print_exc()
    sys.stderr.flush()
    os._exit(1)


# What jax's own detection reads.
_SLURM = ("SLURM_JOB_ID", "SLURM_STEP_NODELIST", "SLURM_LOCALID")
_MPI = ("OMPI_MCA_orte_hnp_uri", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_LOCAL_RANK")


def _count(variable: str) -> int:
  """A number of processes from the environment, 1 if it says none.

  Raises:
    UserError: it is no number.
  """
  text = os.environ.get(variable, "1")
  if not text.isdecimal():
    raise UserError(f"the environment variable {variable} is '{text}', not a number of processes: unset or correct it.")
  return int(text)


def _in_a_cluster() -> bool:
  """Whether the environment is that of one process among several; jax's own detection then finds the rest."""
  env = os.environ
  slurm = "SLURM_PROCID" in env and _count("SLURM_NTASKS") > 1
  if slurm and "SLURM_STEP_ID" not in env:  # set in the tasks of srun, not in the batch script around them
    _LOG.warning(
      f"this is the batch step of a SLURM job of {env['SLURM_NTASKS']} tasks; it goes on as one process. Put "
      "srun before the command to start all of them."
    )
    slurm = False
  mpi = _count("OMPI_COMM_WORLD_SIZE") > 1
  for name, found, needed in (("SLURM", slurm, _SLURM), ("Open MPI", mpi, _MPI)):
    if found and (lacking := [variable for variable in needed if variable not in env]):
      raise UserError(
        f"this looks like a process of a job under {name}, but {', '.join(lacking)} is not set: start it with "
        f"{name}'s own launcher, or give --coordinator, --num-processes and --process-id."
      )
  kubernetes = "JOB_COMPLETION_INDEX" in env  # an indexed Job or JobSet; a lone pod is no job of several
  tpu = importlib.util.find_spec("libtpu") is not None and any(map(os.path.exists, ("/dev/accel0", "/dev/vfio/0")))
  return slurm or mpi or kubernetes or tpu
