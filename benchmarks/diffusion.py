"""Which diffusion path is faster here: `python -m benchmarks.diffusion [--batch=B] [--t=STEPS] [--rounds=R]`.

Both paths give the same numbers (tests/parity/test_dip_diffusion.py). For graphs of L = 8, 14 and 28 tokens per
direction (DIP at 224 px with patches of 16 px: L = 14) it times the value and the value with its gradient, the two
paths in turn so that a busy machine slows both, and prints the medians and their ratio.
"""

import argparse
import time

import jax
import jax.numpy as jnp
import numpy as np

from dfdetect_jax.methods.dip import diffusion

LENGTHS = (8, 14, 28)
K_N = 7


def programs(path: str, t: int):
  """The two jitted programs of a path by name, each from W `[B, 2L, 2L]`."""

  def distance(w):
    return diffusion.diffusion_distance(w, t, path)

  return {
    "value": jax.jit(distance),
    "value and gradient": jax.jit(jax.value_and_grad(lambda w: jnp.sum(jnp.exp(-distance(w))))),
  }


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--batch", type=int, default=32, help="graphs, two per triplet of a training step")
  parser.add_argument("--t", type=int, default=20, help="diffusion steps")
  parser.add_argument("--rounds", type=int, default=50)
  args = parser.parse_args()
  device = jax.devices()[0]
  print(f"{device.platform} ({device.device_kind}), batch {args.batch}, t = {args.t}, median of {args.rounds}")

  table = {path: programs(path, args.t) for path in diffusion.PATHS}
  slower = []
  for length in LENGTHS:
    features = np.random.default_rng(0).normal(size=(args.batch, 2 * length, 64)).astype(np.float32)
    w = diffusion.score_matrix(0.3 * features, jnp.float32(0.05), K_N)
    for what in ("value", "value and gradient"):
      seconds = {path: [] for path in diffusion.PATHS}
      for path in diffusion.PATHS:
        jax.block_until_ready(table[path][what](w))
      for _ in range(args.rounds):
        for path in diffusion.PATHS:
          start = time.perf_counter()
          jax.block_until_ready(table[path][what](w))
          seconds[path].append(time.perf_counter() - start)
      spectral, power = (1e3 * float(np.median(seconds[path])) for path in diffusion.PATHS)
      slower.append(spectral / power)
      print(
        f"  {2 * length:3d} nodes, {what:18s}: spectral {spectral:8.3f} ms, power {power:8.3f} ms, "
        f"spectral / power {spectral / power:6.2f}"
      )
  verdict = "power" if np.median(slower) > 1 else "spectral"
  print(f"On this machine: model.diffusion_path={verdict} (ratios {min(slower):.2f} to {max(slower):.2f}).")


if __name__ == "__main__":
  main()
