"""What `benchmarks.against_torch` does for one method: both programs, their comparison, their times."""

import contextlib
import copy
import ctypes
import importlib
import os
import pathlib
import platform
import signal
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
import optax
import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from dfdetect_jax import methods
from dfdetect_jax.errors import UserError
from dfdetect_jax.interop import names
from dfdetect_jax.methods.method import binary_cross_entropy
from dfdetect_jax.runs.config_files import load_config
from dfdetect_jax.training.throughput import flops_per_step

Program = Callable[[], Any]
LEARNING_RATE = 1e-4
FIRST_MOMENT = 0.9  # Adam's b1: after one step the first moment is (1 - b1) times the gradient


class Differs(Exception):
  """The two sides do not compute the same."""


def machine(threads: int) -> dict[str, str]:
  """What the figures are of; sets PyTorch's threads (0: as many as there are cores).

  Raises:
    UserError: jax runs on something other than a CPU.
  """
  if jax.default_backend() != "cpu":
    raise UserError(
      f"this compares CPUs, and jax runs on {jax.devices()[0].device_kind}: set JAX_PLATFORMS=cpu. (The twins have not "
      "been run on a GPU yet.)"
    )
  cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
  torch.set_num_threads(threads or cores)
  model = platform.processor() or platform.machine()
  with contextlib.suppress(OSError):
    lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), model)
  return {
    "CPU": model,
    "cores": str(cores),
    "PyTorch's threads": str(torch.get_num_threads()),
    "jax": jax.__version__,
    "torch": torch.__version__,
    "Python": platform.python_version(),
    "load at the start": f"{os.getloadavg()[0]:.1f}",
  }


def measure(
  name: str, variant: str, batch: int | None, what: str, rounds: int, compile_seconds: int, tolerance: float
) -> dict[str, Any]:
  """Compares and times one method.

  Args:
    name: of the method, which is also that of its config and its twin.
    variant: of the config.
    batch: clips; None: as many as the config's batch holds.
    what: `forward` or `step`.
    rounds: in which every program has one turn.
    compile_seconds: that torch.compile may take; 0 leaves it out.
    tolerance: of the comparison.

  Returns:
    JSON-able: shapes, differences, seconds of each program by round, compile times, memory, FLOPs, ratios.

  Raises:
    Differs: before anything is timed.
  """
  config = load_config(f"{name}:{variant}" if variant else name, {"dtype": "float32", "remat": "", "augment": {}})
  with config.unlocked():
    if "dropout" in config.model:
      config.model.dropout = 0.0
  method = methods.build(config)
  twin, variables = importlib.import_module(f"benchmarks.twins.{name}").build(method)
  shape = (batch or config.batch_size, *method.clip_spec.shape(train=True))
  clips = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
  label = np.arange(len(clips)) % 2

  make = {"forward": (our_forward, torch_forward), "step": (our_step, torch_step)}[what]
  exact = in_float64(make[1], twin, clips, label)
  ours, first, compiled, our_compile = make[0](method, variables, clips, label)
  theirs, torch_first = make[1](twin, clips, label)
  difference = {"JAX": compare(first(), exact), "PyTorch": compare(torch_first(), exact)}
  result = {
    "clips": list(shape),
    "parameters": sum(leaf.size for leaf in jax.tree.leaves(variables["params"])),
    "from_float64": difference,
    "tolerance": tolerance,
    "compile_seconds": {"JAX": our_compile},
    "xla_flops": flops_per_step(compiled),
  }
  allowed = {of: max(tolerance, 3 * error) for of, error in difference["PyTorch"].items()}
  if worst := {of: error for of, error in difference["JAX"].items() if not error <= allowed[of]}:
    raise Differs(f"{worst} of relative difference from float64, {allowed} is allowed")

  programs: dict[str, Program] = {"JAX": ours, "PyTorch": theirs}
  result["flops"] = counted_flops(theirs)
  if twin.layout is not None:
    programs["PyTorch, channels first"] = make[1](channels_first(twin), clips, label)[0]
  if compile_seconds:
    start = time.perf_counter()
    try:
      with limit(compile_seconds):
        programs["PyTorch, compiled"] = make[1](twin, clips, label, torch.compile)[0]
        programs["PyTorch, compiled"]()
      result["compile_seconds"]["PyTorch, compiled"] = time.perf_counter() - start
    except Exception as error:  # whatever the compiler falls over, the eager variants are there
      programs.pop("PyTorch, compiled", None)
      late = time.perf_counter() - start >= compile_seconds  # the compiler wraps what stops it in errors of its own
      why = f"not done in {compile_seconds} s" if late else f"{type(error).__name__}: {error}".splitlines()[0][:200]
      result["not_compiled"] = why
  for program in programs.values():
    program()
  result["peak_bytes"] = {of: peak_growth(program) for of, program in programs.items()}
  wall, cpu = in_turn(programs, rounds)
  return result | {"wall_seconds": wall, "processor_seconds": cpu} | ratios(wall, cpu)


def our_forward(method, variables, clips, label):
  """(timed program, program for the comparison, compiled program, seconds to compile)."""
  del label
  variables, clips = jax.device_put((variables, clips))
  start = time.perf_counter()
  compiled = jax.jit(lambda v, c: method.outputs(v, c)["logit"]).lower(variables, clips).compile()
  seconds = time.perf_counter() - start
  return (
    lambda: compiled(variables, clips).block_until_ready(),
    lambda: {"logits": np.asarray(compiled(variables, clips))},
    compiled,
    seconds,
  )


def our_step(method, variables, clips, label):
  """As `our_forward`, for a training step whose state is donated from step to step."""
  optimizer = optax.adam(LEARNING_RATE, b1=FIRST_MOMENT)

  def step(state, clips, label):
    params, statistics, moments = state

    def loss(params):
      collections = {"params": params, **statistics}
      outputs, new = method.model.apply(
        collections, clips, train=True, mutable=list(statistics), rngs={"dropout": jax.random.key(0)}
      )
      return binary_cross_entropy(outputs["logit"], label), (outputs["logit"], new)

    gradient, (logit, statistics) = jax.grad(loss, has_aux=True)(params)
    updates, moments = optimizer.update(gradient, moments, params)
    return (optax.apply_updates(params, updates), statistics, moments), logit

  params = variables["params"]
  state = (params, {k: v for k, v in variables.items() if k != "params"}, optimizer.init(params))
  state, clips, label = jax.device_put((state, clips, label))
  start = time.perf_counter()
  compiled = jax.jit(step, donate_argnums=0).lower(state, clips, label).compile()
  seconds = time.perf_counter() - start
  held = [state]

  def timed():
    held[0], logit = compiled(held[0], clips, label)
    jax.block_until_ready((held[0], logit))
    return logit

  def first():
    logit = np.asarray(timed())
    gradient = jax.tree.map(lambda m: np.asarray(m) / (1 - FIRST_MOMENT), held[0][2][0].mu)
    return {"logits": logit, "gradients": names.flatten({"params": gradient})}

  return timed, first, compiled, seconds


def torch_forward(twin, clips, label, wrap=lambda function: function):
  """(timed program, program for the comparison)."""
  del label
  forward, clips = wrap(twin), as_input(clips, twin)

  def timed():
    twin.eval()
    with torch.inference_mode():
      return forward(clips)

  return timed, lambda: {"logits": timed().numpy()}


def torch_step(twin, clips, label, wrap=lambda function: function):
  """As `torch_forward`, for a training step with PyTorch's fused Adam."""
  forward, clips = wrap(twin), as_input(clips, twin)
  label = torch.from_numpy(label).to(next(twin.parameters()).dtype)
  optimizer = torch.optim.Adam(twin.parameters(), LEARNING_RATE, (FIRST_MOMENT, 0.999), fused=True)

  def timed():
    twin.train()
    optimizer.zero_grad(set_to_none=True)
    logit = forward(clips)
    F.binary_cross_entropy_with_logits(logit, label).backward()
    optimizer.step()
    return logit.detach()

  def first():
    return {"logits": timed().numpy(), "gradients": twin.linen_gradients()}

  return timed, first


def counted_flops(program: Program) -> int:
  """FLOPs of a PyTorch program's convolutions and matrix products, two for a multiply-add.

  The counter does not know fused attention on a CPU: while it counts, attention is its two products.
  """
  with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
    program()
  return counter.get_total_flops()


def channels_first(twin: torch.nn.Module) -> torch.nn.Module:
  """A copy whose kernels and activations lie in PyTorch's own layout."""
  twin = copy.deepcopy(twin)
  twin.layout = torch.contiguous_format
  for parameter in twin.parameters():
    parameter.data = parameter.data.contiguous()
  return twin


def as_input(clips: np.ndarray, twin: torch.nn.Module) -> torch.Tensor:
  """uint8 clips `[B, …, H, W, 3]`; in memory the colours come before height and width for a twin of that layout."""
  clips = torch.from_numpy(clips)
  if twin.layout is torch.contiguous_format:
    axis = twin.colours
    clips = clips.movedim(-1, axis).contiguous().movedim(axis, -1)
  return clips


def in_float64(make, twin: torch.nn.Module, clips: np.ndarray, label: np.ndarray) -> dict[str, Any]:
  """What both sides should compute: the twin's logits (and gradients) with everything in float64."""
  _, first = make(copy.deepcopy(twin).double(), clips.astype(np.float64), label)
  return first()


def compare(found: dict[str, Any], exact: dict[str, Any]) -> dict[str, float]:
  """Relative differences of the logits and, where there are any, of all gradients together."""

  def error(have, want):
    have, want = (np.concatenate([np.ravel(x) for x in side]).astype(np.float64) for side in (have, want))
    return float(np.linalg.norm(have - want) / np.linalg.norm(want))

  difference = {"logits": error([found["logits"]], [exact["logits"]])}
  if "gradients" in found:
    have, want = found["gradients"], exact["gradients"]
    if extra := set(want) - set(have):
      raise Differs(f"the twin has parameters of other names: {', '.join(sorted(extra)[:3])}")
    # What the twin leaves out has no part in the logit.
    want = want | {name: np.zeros_like(value) for name, value in have.items() if name not in want}
    if wrong := [name for name, value in have.items() if value.shape != want[name].shape]:
      raise Differs(f"parameters of other shapes: {', '.join(wrong[:3])}")
    difference["gradients"] = error(have.values(), [want[name] for name in have])
  return difference


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
  """Wall and processor seconds of each program, one a round."""
  wall, cpu = ({name: [] for name in programs} for _ in range(2))
  for _ in range(rounds):
    for name, program in programs.items():
      start, cpu_start = time.perf_counter(), time.process_time()
      program()
      cpu[name].append(time.process_time() - cpu_start)
      wall[name].append(time.perf_counter() - start)
  return wall, cpu


def ratios(wall: dict[str, list[float]], cpu: dict[str, list[float]]) -> dict[str, Any]:
  """Ours over PyTorch's quickest variant, round by round: least, median, most, by both clocks."""
  best = min((name for name in wall if name != "JAX"), key=lambda name: statistics.median(wall[name]))
  result: dict[str, Any] = {"against": best}
  for clock, seconds in (("ratio", wall), ("processor_ratio", cpu)):
    each = sorted(ours / theirs for ours, theirs in zip(seconds["JAX"], seconds[best]))
    result[clock] = {"least": each[0], "median": statistics.median(each), "most": each[-1]}
  return result


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


def short(program: str) -> str:
  """A program's name in the table."""
  return "eager" if program == "PyTorch" else program.removeprefix("PyTorch, ")


def table(results: dict[str, dict[str, Any]]) -> str:
  """Markdown, a row for each method."""
  head = (
    "method", "clips", "ours, s", "PyTorch, s", "ours : PyTorch (processor)", "compiling, s",
    "peak MiB, ours : PyTorch", "GFLOP", "GFLOP/s, ours : PyTorch", "from float64, ours : PyTorch",
  )  # fmt: skip
  lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
  notes = []
  for name, r in results.items():
    best = r["against"]
    seconds = {of: statistics.median(values) for of, values in r["wall_seconds"].items()}
    peak = [r["peak_bytes"][of] for of in ("JAX", best)]
    ratio, processor = r["ratio"], r["processor_ratio"]
    ours, theirs = (r["from_float64"][of] for of in ("JAX", "PyTorch"))
    compiling = ", ".join(f"{short(of)} {s:.1f}" for of, s in r["compile_seconds"].items())
    cells = (
      name,
      " × ".join(map(str, r["clips"][:-1])),
      f"{seconds['JAX']:.3f}",
      ", ".join(
        f"{of.removeprefix('PyTorch, ').replace('PyTorch', 'eager')} {s:.3f}"
        for of, s in seconds.items()
        if of != "JAX"
      ),
      f"{ratio['median']:.2f} [{ratio['least']:.2f}, {ratio['most']:.2f}] ({processor['median']:.2f})",
      compiling,
      "not told" if None in peak else " : ".join(f"{bytes / 2**20:.0f}" for bytes in peak),
      f"{r['flops'] / 1e9:.1f}",
      " : ".join(f"{r['flops'] / seconds[of] / 1e9:.0f}" for of in ("JAX", best)),
      ", ".join(f"{of} {ours[of]:.0e} : {theirs[of]:.0e}" for of in ours),
    )
    lines.append("| " + " | ".join(cells) + " |")
    if "not_compiled" in r:
      notes.append(f"{name}: torch.compile left out: {r['not_compiled']}")
  return "\n".join(lines + notes)
