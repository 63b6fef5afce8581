"""What SDR's separate branches cost: `python -m benchmarks.sdr_branches [--size=P] [--frames=T] [--clips=B]`.

Times the convolutional part of SDR at the paper's widths, in float32: four branches on one clip each (`nn.vmap` over
the parameters) against one branch on a batch four times as large, forward and forward with backward in training mode.
The sides take turns, so that a busy machine slows all; printed is the least of the rounds. One branch is timed in both
forms of its temporal convolutions. Target: four branches cost at most 1.1 times the one in the same form.
Beside the wall clock the processor's time is printed, which other programs on the machine touch less.
"""

import argparse
import functools
import time

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from dfdetect_jax.methods.ftcn.model import SIZES, Trunk


def trunk(size: str, form: str, branches: int) -> nn.Module:
  """FTCN's convolutional part, or several of them on the second axis of their input."""
  settings = (SIZES[size]["width"], SIZES[size]["depths"], form)
  if branches == 1:
    return Trunk(*settings)
  vmapped = nn.vmap(
    Trunk, in_axes=(1, None), out_axes=1, variable_axes={"params": 0, "batch_stats": 0}, split_rngs={"params": True}
  )
  return vmapped(*settings)


def programs(model: nn.Module, clips: jax.Array) -> dict:
  """Jitted forward in test mode, and gradient in training mode, with their arguments bound."""
  # The values do not matter; compiling the initialisation would take longer than the benchmark.
  rng = np.random.default_rng(0)
  shapes = jax.eval_shape(lambda key, clips: model.init(key, clips, False), jax.random.key(0), clips)
  variables = jax.device_put(jax.tree.map(lambda leaf: rng.uniform(0.01, 0.02, leaf.shape).astype(leaf.dtype), shapes))
  state = {"batch_stats": variables["batch_stats"]}

  def loss(params, clips):
    tokens, _ = model.apply({"params": params, **state}, clips, True, mutable=["batch_stats"])
    return jnp.sum(tokens**2)

  forward, gradient = jax.jit(lambda v, c: model.apply(v, c, False)), jax.jit(jax.grad(loss))
  return {
    "forward": functools.partial(forward, variables, clips),
    "forward + backward": functools.partial(gradient, variables["params"], clips),
  }


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--model_size", choices=sorted(SIZES), default="paper")
  parser.add_argument("--size", type=int, default=112, help="height and width of the clips; the paper's are 224")
  parser.add_argument("--frames", type=int, default=16, help="the paper's are 32")
  parser.add_argument("--clips", type=int, default=1, help="clips per branch")
  parser.add_argument("--rounds", type=int, default=5)
  args = parser.parse_args()
  views = (args.clips, 4, args.frames, args.size, args.size, 3)
  clips = jax.random.randint(jax.random.key(0), views, 0, 256).astype(jnp.uint8)
  batch = clips.reshape(-1, *views[2:])
  sides = {
    "four branches, matmul": programs(trunk(args.model_size, "matmul", 4), clips),
    "one branch, matmul": programs(trunk(args.model_size, "matmul", 1), batch),
    "one branch, conv2d": programs(trunk(args.model_size, "conv2d", 1), batch),
  }
  print(f"4 x {args.clips} clips of {args.frames} x {args.size}^2; least of {args.rounds} rounds in seconds")
  for what in ("forward", "forward + backward"):
    wall, cpu = ({name: [] for name in sides} for _ in range(2))
    for round in range(args.rounds + 1):
      for name, side in sides.items():
        start, cpu_start = time.perf_counter(), time.process_time()
        jax.block_until_ready(side[what]())
        if round > 0:  # the first one compiles
          wall[name].append(time.perf_counter() - start)
          cpu[name].append(time.process_time() - cpu_start)
    four, *ones = sides
    for name in sides:
      print(f"  {what:18s}  {name:22s} {min(wall[name]):6.2f}   processor {min(cpu[name]):6.2f}")
    for one in ones:
      ratios = f"wall {min(wall[four]) / min(wall[one]):.2f}, processor {min(cpu[four]) / min(cpu[one]):.2f}"
      print(f"  {what:18s}  four branches / {one}: {ratios}")


if __name__ == "__main__":
  main()
