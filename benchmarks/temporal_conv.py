"""Which form of a temporal convolution is faster here: `python -m benchmarks.temporal_conv [--size=P] [--rounds=R]`.

For FTCN's temporal convolutions at 32×224² (or less, --size) it times the forms of `layers.temporal_conv`, forward and
forward with backward, and the same for four kernels on four batch entries by `vmap`, as SDR's branches run. The forms
take turns, so that a busy machine slows all; printed is the least of the rounds in milliseconds.
"""

import argparse
import functools
import time

import jax
import jax.numpy as jnp

from dfdetect_jax.layers.temporal_conv import FORMS, temporal_conv

# (name, frames, share of the height, channels, kernel, features) of FTCN's stages.
LAYERS = (
  ("stem", 32, 1, 3, 5, 64),
  ("res2", 32, 4, 256, 3, 64),
  ("res3", 16, 8, 512, 3, 128),
  ("res4", 16, 16, 1024, 3, 256),
)


def milliseconds(program, *arguments) -> float:
  start = time.perf_counter()
  jax.block_until_ready(program(*arguments))
  return 1e3 * (time.perf_counter() - start)


def programs(form: str, batched: bool) -> dict:
  """Jitted forward and gradient of one form, alone or batched over kernels."""
  convolve = functools.partial(temporal_conv, form=form)
  convolve = jax.vmap(convolve) if batched else convolve
  return {
    "forward": jax.jit(convolve),
    "forward + backward": jax.jit(jax.grad(lambda x, k: jnp.sum(convolve(x, k) ** 2), (0, 1))),
  }


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--size", type=int, default=112, help="height and width of the clips; the paper's are 224")
  parser.add_argument("--rounds", type=int, default=5)
  args = parser.parse_args()
  print(f"{jax.devices()[0].device_kind}, clips of 32 x {args.size}^2, float32; least of {args.rounds} rounds in ms")
  for name, frames, share, channels, taps, features in LAYERS:
    side = args.size // share
    for kernels in (1, 4):
      batched = kernels > 1
      shape = (1, frames, side, side, channels)
      x = jax.random.normal(jax.random.key(0), (kernels, *shape) if batched else shape)
      kernel = jax.random.normal(jax.random.key(1), (kernels, taps, channels, features)[0 if batched else 1 :])
      forms = {form: programs(form, batched) for form in FORMS}
      for what in ("forward", "forward + backward"):
        times = {form: [] for form in FORMS}
        for round in range(args.rounds + 1):
          for form in FORMS:
            elapsed = milliseconds(forms[form][what], x, kernel)
            if round > 0:  # the first one compiles
              times[form].append(elapsed)
        least = {form: min(t) for form, t in times.items()}
        row = "  ".join(f"{form} {ms:8.1f}" for form, ms in least.items())
        print(
          f"{name}  {kernels} kernel(s)  {what:18s}  {row}   conv3d / conv2d = {least['conv3d'] / least['conv2d']:.2f}"
        )


if __name__ == "__main__":
  main()
