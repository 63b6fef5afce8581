"""Compiles a run's step without data and says what it will cost."""

import time

import jax
import ml_collections

from dfdetect_jax.training.memory import device_size, estimate
from dfdetect_jax.training.program import make_program
from dfdetect_jax.training.throughput import flops_per_step


def report(config: ml_collections.ConfigDict) -> str:
  """Compiles the step for the devices and mesh at hand and describes it.

  Args:
    config: of the run; `data` is not needed.

  Returns:
    Lines on parameters, memory per device by shapes (see `training.memory`) with what it fits in, and from XLA's own
    analysis, and operations per step.

  Raises:
    UserError: the config contradicts itself or does not fit the devices.
  """
  program = make_program(config, config.total_steps or 1)
  start = time.monotonic()
  compiled = program.compile_step()
  seconds = time.monotonic() - start
  memory = compiled.memory_analysis()
  mesh, state = program.mesh, program.abstract
  lines = [
    f"{config.method}: {sum(x.size for x in jax.tree.leaves(state.params)):,} parameters",
    f"devices: {mesh.size} x {jax.devices()[0].device_kind}, "
    f"mesh data {mesh.shape['data']} x fsdp {mesh.shape['fsdp']}",
    f"state per device: {_size(bytes_per_device(state))} (of {_size(_whole(state))}: parameters, teacher, optimizer)",
    f"batch: {config.batch_size} examples, "
    + ", ".join(f"{name} {list(x.shape)}" for name, x in program.batch_shapes().items()),
  ]
  need = estimate(config, mesh.size)
  lines.append(f"memory per device, by shapes: {need}: {device_size(need)}")
  if memory is not None:
    held = memory.argument_size_in_bytes + memory.output_size_in_bytes - memory.alias_size_in_bytes
    lines += [
      f"memory per device: {_size(held + memory.temp_size_in_bytes)} = "
      f"{_size(held)} held + {_size(memory.temp_size_in_bytes)} of activations and workspace "
      f"(XLA for {jax.devices()[0].platform})",
    ]
  flops = flops_per_step(compiled)
  lines += [
    f"work per step: {flops / 1e9:,.2f} GFLOP per device, {flops * mesh.size / 1e9:,.2f} in all",
    f"compiled in {seconds:.1f} s; nothing was trained or written.",
  ]
  return "\n".join(lines)


def bytes_per_device(state) -> int:
  """Bytes of a sharded pytree of ShapeDtypeStructs that one device holds."""
  shard = lambda x: jax.ShapeDtypeStruct(x.sharding.shard_shape(x.shape), x.dtype)  # noqa: E731
  return _whole(jax.tree.map(shard, state))


def _whole(tree) -> int:
  return sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(tree))


def _size(count: int) -> str:
  for unit, factor in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
    if count >= factor:
      return f"{count / factor:.2f} {unit}"
  return f"{count} B"
