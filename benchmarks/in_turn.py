"""Programs timed in turn, so that a busy machine slows all of them; what a figure is of; memory of a call."""

import contextlib
import ctypes
import os
import pathlib
import platform
import signal
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import torch

from dfdetect_jax.errors import UserError
from dfdetect_jax.runs.config import cores

Program = Callable[[], Any]


def machine(threads: int = 0) -> dict[str, str]:
  """What the figures are of; sets PyTorch's threads (0: as many as there are cores).

  Raises:
    UserError: PyTorch does not run on what jax runs on.
  """
  backend, device = jax.default_backend(), jax.devices()[0].device_kind
  if backend not in ("cpu", "gpu") or (backend == "gpu" and not torch.cuda.is_available()):
    raise UserError(f"jax runs on {device}, PyTorch here does not: install PyTorch for it, or set JAX_PLATFORMS=cpu.")
  torch.set_num_threads(threads or cores())
  # float32 on a GPU is TF32 for both sides, which is jax's default there.
  torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
  torch.backends.cudnn.benchmark = True
  model = platform.processor() or platform.machine()
  with contextlib.suppress(OSError):
    lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), model)
  return ({"device": device} if backend == "gpu" else {}) | {
    "CPU": model,
    "cores": str(cores()),
    "PyTorch's threads": str(torch.get_num_threads()),
    "jax": jax.__version__,
    "torch": torch.__version__,
    "Python": platform.python_version(),
    "load at the start": f"{os.getloadavg()[0]:.1f}",
  }


def torch_device() -> str:
  """PyTorch's name of the kind of device that jax runs on."""
  return "cuda" if jax.default_backend() == "gpu" else "cpu"


@contextlib.contextmanager
def limit(seconds: int) -> Iterator[None]:
  """Raises TimeoutError in the block after so many seconds."""

  def stop(*_):
    raise TimeoutError(f"not done in {seconds} s")

  before = signal.signal(signal.SIGALRM, stop)
  signal.alarm(seconds)
  try:
    yield
  finally:
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def in_turn(programs: dict[str, Program], rounds: int) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
  """Wall and processor seconds of each program, one a round; a program returns when what it began is done."""
  wall, cpu = ({name: [] for name in programs} for _ in range(2))
  for _ in range(rounds):
    for name, program in programs.items():
      start, cpu_start = time.perf_counter(), time.process_time()
      program()
      cpu[name].append(time.process_time() - cpu_start)
      wall[name].append(time.perf_counter() - start)
  return wall, cpu


def ratios(wall: dict[str, list[float]], cpu: dict[str, list[float]], ours: str = "JAX") -> dict[str, Any]:
  """Ours over the quickest of the others, round by round: least, median, most, by both clocks.

  Programs whose name begins with "JAX" are ours too, and are not compared with.
  """
  best = min((name for name in wall if not name.startswith("JAX")), key=lambda name: statistics.median(wall[name]))
  result: dict[str, Any] = {"against": best}
  for clock, seconds in (("ratio", wall), ("processor_ratio", cpu)):
    result[clock] = quotients(seconds[ours], seconds[best])
  return result


def quotients(ours: list[float], theirs: list[float]) -> dict[str, float]:
  """Ours over theirs, round by round: least, median, most."""
  each = [mine / other for mine, other in zip(ours, theirs, strict=True)]
  return {"least": min(each), "median": statistics.median(each), "most": max(each)}


def spread(ratio: dict[str, float]) -> str:
  """A ratio in a table: median [least, most]."""
  return f"{ratio['median']:.2f} [{ratio['least']:.2f}, {ratio['most']:.2f}]"


def markdown(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
  """A table."""
  lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
  return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def peak_growth(program: Program) -> int | None:
  """Bytes by which the resident memory grows at most during a call; None where the system does not say (Linux does)."""

  def kibibytes(field):
    line = next(x for x in pathlib.Path("/proc/self/status").read_text().splitlines() if x.startswith(field))
    return int(line.split()[1])

  try:
    ctypes.CDLL(None).malloc_trim(0)  # what is free but held would be taken again unseen
    pathlib.Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before = kibibytes("VmRSS")
    program()
    return 1024 * max(0, kibibytes("VmHWM") - before)
  except (OSError, StopIteration, AttributeError):  # AttributeError: another C library
    return None
