"""What `benchmarks.against_torch` does for one method: both programs, their comparison, their times."""

import copy
import importlib
import statistics
import time
from typing import Any

import jax
import numpy as np
import optax
import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.in_turn import Program, in_turn, limit, markdown, peak_growth, ratios, spread, torch_device
from dfdetect_jax import methods
from dfdetect_jax.devices import allocator
from dfdetect_jax.interop import names
from dfdetect_jax.methods.method import binary_cross_entropy
from dfdetect_jax.runs.config_files import load_config
from dfdetect_jax.training.throughput import flops_per_step, peak_flops

LEARNING_RATE = 1e-4
FIRST_MOMENT = 0.9  # Adam's b1: after one step the first moment is (1 - b1) times the gradient
# Of logits and of all gradients together, relative: twice what is seen of ours in the dtype.
TOLERANCE = {
  ("forward", "float32"): 1e-5, ("step", "float32"): 1e-3, ("forward", "bfloat16"): 0.03, ("step", "bfloat16"): 0.1,
}  # fmt: skip


class Differs(Exception):
  """The two sides do not compute the same."""


def measure(
  name: str,
  variant: str,
  batch: int | None,
  what: str,
  rounds: int,
  compile_seconds: int,
  dtype: str = "float32",
  frames: int | None = None,
) -> dict[str, Any]:
  """Compares and times one method.

  Args:
    name: of the method, which is also that of its config and its twin.
    variant: of the config.
    batch: clips; None: as many as the config's batch holds.
    what: `forward` or `step`.
    rounds: in which every program has one turn.
    compile_seconds: that torch.compile may take; 0 leaves it out.
    dtype: `float32` or `bfloat16`, which is PyTorch's autocast.
    frames: of a clip (of DIL, snippets); None: as the config says.

  Returns:
    JSON-able: shapes, differences, seconds of each program by round, compile times, memory, FLOPs, ratios.

  Raises:
    Differs: before anything is timed.
  """
  config = load_config(f"{name}:{variant}" if variant else name, {"dtype": dtype, "remat": "", "augment": {}})
  with config.unlocked():
    if "dropout" in config.model:
      config.model.dropout = 0.0
    if frames:
      config.clips["snippets" if "snippets" in config.clips else "frames"] = frames
  method = methods.build(config)
  twin, variables = importlib.import_module(f"benchmarks.twins.{name}").build(method)
  shape = (batch or config.batch_size, *method.clip_spec.shape(train=True))
  clips = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
  label = np.arange(len(clips)) % 2
  make = {"forward": (our_forward, torch_forward), "step": (our_step, torch_step)}[what]

  with torch.device(torch_device()):  # what the twins make of their own lies there
    twin = twin.to(torch_device())
    exact = in_float64(make[1], twin, clips, label)
    ours, first, compiled, our_compile = make[0](method, variables, clips, label)
    theirs, torch_first = make[1](twin, clips, label, dtype)
    difference = {"JAX": compare(first(), exact), "PyTorch": compare(torch_first(), exact)}
    del exact
    tolerance = TOLERANCE[what, dtype]
    result = {
      "clips": list(shape),
      "dtype": dtype,
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
      programs["PyTorch, channels first"] = make[1](channels_first(twin), clips, label, dtype)[0]
    if compile_seconds:
      start = time.perf_counter()
      try:
        with limit(compile_seconds):
          programs["PyTorch, compiled"] = make[1](twin, clips, label, dtype, torch.compile)[0]
          programs["PyTorch, compiled"]()
        result["compile_seconds"]["PyTorch, compiled"] = time.perf_counter() - start
      except Exception as error:  # whatever the compiler falls over, the eager variants are there
        programs.pop("PyTorch, compiled", None)
        late = time.perf_counter() - start >= compile_seconds  # the compiler wraps what stops it in errors of its own
        why = f"not done in {compile_seconds} s" if late else f"{type(error).__name__}: {error}".splitlines()[0][:200]
        result["not_compiled"] = why
    for program in programs.values():
      program()
    result["peak_bytes"] = {of: peak_bytes(program, compiled, of) for of, program in programs.items()}
    allocator.keep_memory()  # as training does; once more, so that each has taken its own
    for program in programs.values():
      program()
    wall, cpu = in_turn(programs, rounds)
  result |= {"wall_seconds": wall, "processor_seconds": cpu} | ratios(wall, cpu)
  if peak := peak_flops():
    result["mfu"] = {of: result["flops"] / statistics.median(seconds) / peak for of, seconds in wall.items()}
  return result


def peak_bytes(program: Program, compiled: jax.stages.Compiled, of: str) -> int | None:
  """Most bytes that a call holds beside its arguments: resident on a CPU; on a GPU as compiled, and as allocated."""
  if torch_device() == "cpu":
    return peak_growth(program)
  if of == "JAX":
    memory = compiled.memory_analysis()
    return memory and memory.temp_size_in_bytes + memory.output_size_in_bytes - memory.alias_size_in_bytes
  before = torch.cuda.memory_allocated()
  torch.cuda.reset_peak_memory_stats()
  program()
  return torch.cuda.max_memory_allocated() - before


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


def torch_forward(twin, clips, label, dtype="float32", wrap=lambda function: function):
  """(timed program, program for the comparison)."""
  del label
  forward, clips = wrap(twin), as_input(clips, twin)

  def timed():
    twin.eval()
    with torch.inference_mode(), autocast(dtype):
      return waited_for(forward(clips))

  return timed, lambda: {"logits": as_array(timed())}


def torch_step(twin, clips, label, dtype="float32", wrap=lambda function: function):
  """As `torch_forward`, for a training step with PyTorch's fused Adam."""
  forward, clips = wrap(twin), as_input(clips, twin)
  label = torch.from_numpy(label).to(next(twin.parameters()))
  optimizer = torch.optim.Adam(twin.parameters(), LEARNING_RATE, (FIRST_MOMENT, 0.999), fused=True)

  def timed():
    twin.train()
    optimizer.zero_grad(set_to_none=True)
    with autocast(dtype):
      logit = forward(clips)
    F.binary_cross_entropy_with_logits(logit.to(label.dtype), label).backward()
    optimizer.step()
    return waited_for(logit.detach())

  def first():
    logits = as_array(timed())
    gradients = twin.cpu().linen_gradients()
    twin.to(torch_device())
    return {"logits": logits, "gradients": gradients}

  return timed, first


def autocast(dtype: str) -> torch.autocast:
  """PyTorch's mixed precision, or nothing for float32."""
  return torch.autocast(torch_device(), torch.bfloat16, enabled=dtype == "bfloat16")


def waited_for(x: torch.Tensor) -> torch.Tensor:
  """The same, once it and all before it is computed."""
  if x.is_cuda:
    torch.cuda.synchronize()
  return x


def as_array(x: torch.Tensor) -> np.ndarray:
  """A copy; of bfloat16, which NumPy does not know, in float32."""
  return (x.float() if x.dtype == torch.bfloat16 else x).cpu().numpy()


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
  return clips.to(torch_device())


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


def short(program: str) -> str:
  """A program's name in the table."""
  return "eager" if program == "PyTorch" else program.removeprefix("PyTorch, ")


def table(results: dict[str, dict[str, Any]]) -> str:
  """Markdown, a row for each method."""
  head = [
    "method", "clips", "ours, s", "PyTorch, s", "ours : PyTorch (processor)", "compiling, s",
    "peak MiB, ours : PyTorch", "GFLOP", "GFLOP/s, ours : PyTorch", "from float64, ours : PyTorch",
  ]  # fmt: skip
  known = any("mfu" in r for r in results.values())
  head += ["of the peak, ours : PyTorch"] if known else []
  rows, notes = [], []
  for name, r in results.items():
    best = r["against"]
    seconds = {of: statistics.median(values) for of, values in r["wall_seconds"].items()}
    peak = [r["peak_bytes"][of] for of in ("JAX", best)]
    ours, theirs = (r["from_float64"][of] for of in ("JAX", "PyTorch"))
    cells = [
      name,
      " × ".join(map(str, r["clips"][:-1])),
      f"{seconds['JAX']:.3f}",
      ", ".join(f"{short(of)} {s:.3f}" for of, s in seconds.items() if of != "JAX"),
      f"{spread(r['ratio'])} ({r['processor_ratio']['median']:.2f})",
      ", ".join(f"{short(of)} {s:.1f}" for of, s in r["compile_seconds"].items()),
      "not told" if None in peak else " : ".join(f"{size / 2**20:.0f}" for size in peak),
      f"{r['flops'] / 1e9:.1f}",
      " : ".join(f"{r['flops'] / seconds[of] / 1e9:.0f}" for of in ("JAX", best)),
      ", ".join(f"{of} {ours[of]:.0e} : {theirs[of]:.0e}" for of in ours),
    ]
    cells += [" : ".join(f"{r['mfu'][of]:.0%}" for of in ("JAX", best))] if known else []
    rows.append(tuple(cells))
    if "not_compiled" in r:
      notes.append(f"{name}: torch.compile left out: {r['not_compiled']}")
  return "\n".join([markdown(tuple(head), rows), *notes])
