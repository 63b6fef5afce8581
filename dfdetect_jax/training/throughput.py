"""How hard a step is and how well the devices are used."""

import jax

# Dense bfloat16 peak of one device in FLOP/s, as the makers state it; by a part of jax's device kind.
PEAK_FLOPS = {
  "TPU v4": 275e12,
  "TPU v5 lite": 197e12,
  "TPU v5p": 459e12,
  "TPU v6 lite": 918e12,
  "A100": 312e12,
  "H100": 989e12,
  "H200": 989e12,
}


def flops_per_step(compiled: jax.stages.Compiled) -> float:
  """Floating-point operations of one step on one device, by XLA's count (a loop's body counts once); 0 if unknown."""
  cost = compiled.cost_analysis() or {}
  return max(0.0, float(cost.get("flops", 0.0)))


def peak_flops() -> float | None:
  """Peak of this process's devices in FLOP/s, None where the table does not know them."""
  kind = jax.local_devices()[0].device_kind
  return next((peak for name, peak in PEAK_FLOPS.items() if name.lower() in kind.lower()), None)


def peak_memory() -> int | None:
  """Most bytes that a device of this process has held so far, None where the backend does not say."""
  stats = jax.local_devices()[0].memory_stats()
  return stats.get("peak_bytes_in_use") if stats else None
