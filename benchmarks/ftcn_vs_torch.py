"""FTCN's forward against PyTorch's on this CPU: `python -m benchmarks.ftcn_vs_torch [--rounds=R] [--threads=N]`.

One clip of 32×224² in float32, the paper's network with batch statistics fixed. Both take turns, so that a busy
machine slows both; PyTorch also gets its channels-last layout and the better of the two counts. Target: ratio ≤ 1.5.
Beside the wall clock the processor's time is printed, which other programs on the machine touch less.
"""

import argparse
import os
import time

import jax
import numpy as np
import torch

from dfdetect_jax.layers.temporal_conv import FORMS
from dfdetect_jax.methods.ftcn.model import FTCN, SIZES
from tests.parity import torch_ftcn


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--size", type=int, default=224)
  parser.add_argument("--frames", type=int, default=32)
  parser.add_argument("--form", choices=FORMS, default="conv2d")
  parser.add_argument("--rounds", type=int, default=7)
  parser.add_argument("--threads", type=int, default=os.cpu_count(), help="PyTorch's threads; XLA takes all cores")
  args = parser.parse_args()
  torch.set_num_threads(args.threads)

  clip = np.random.default_rng(0).uniform(0, 255, (1, args.frames, args.size, args.size, 3)).astype(np.float32)
  ours = FTCN(frames=args.frames, form=args.form, **SIZES["paper"])
  # The values do not matter; compiling the initialisation would take longer than the benchmark.
  rng = np.random.default_rng(0)
  variables = jax.tree.map(
    lambda leaf: rng.uniform(0.01, 0.02, leaf.shape).astype(leaf.dtype),
    jax.eval_shape(ours.init, jax.random.key(0), clip),
  )
  variables = jax.device_put(variables)
  forward = jax.jit(lambda v, c: ours.apply(v, c)["logit"])
  on_device = jax.device_put(clip)

  first = torch_ftcn.FTCN(args.frames, **SIZES["paper"]).eval()
  channels_first = torch.from_numpy(clip).permute(0, 4, 1, 2, 3).contiguous()
  last = torch_ftcn.FTCN(args.frames, **SIZES["paper"]).eval().to(memory_format=torch.channels_last_3d)
  channels_last = channels_first.to(memory_format=torch.channels_last_3d)
  programs = {
    f"JAX, {args.form}": lambda: forward(variables, on_device).block_until_ready(),
    "PyTorch": lambda: first(channels_first),
    "PyTorch, channels last": lambda: last(channels_last),
  }

  wall, cpu = ({name: [] for name in programs} for _ in range(2))
  with torch.inference_mode():
    for program in programs.values():
      program()
    for _ in range(args.rounds):
      for name, program in programs.items():
        start, cpu_start = time.perf_counter(), time.process_time()
        program()
        wall[name].append(time.perf_counter() - start)
        cpu[name].append(time.process_time() - cpu_start)
  name, *others = programs
  print(f"FTCN, one clip of {args.frames} x {args.size}^2, float32; least of {args.rounds} rounds in seconds")
  for n in programs:
    print(f"  {n:24s} {min(wall[n]):6.2f}   processor {min(cpu[n]):6.2f}")
  for what, times in (("wall", wall), ("processor", cpu)):
    print(f"  JAX / PyTorch, {what}: {min(times[name]) / min(min(times[n]) for n in others):.2f}")


if __name__ == "__main__":
  main()
