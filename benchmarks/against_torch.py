"""Each detector against PyTorch on this CPU: the same weights, the same batch, both sides in turn.

  python -m benchmarks.against_torch forward
  python -m benchmarks.against_torch step --method=ftcn,dip --size=paper --rounds=5 --json=step.json

`forward` is uint8 clips to logits with BatchNorm's running statistics. `step` is one optimizer step: logits with the
batch's statistics, binary cross-entropy, gradients of all parameters, Adam; without augmentation, without dropout and
without the other losses of DIP and SDR. Nothing is recomputed for memory's sake on either side.

The twins (benchmarks/twins) are written for speed: channels-last layout, fused attention; besides, those with
convolutions run in PyTorch's own layout, and torch.compile runs where it is done within --compile-seconds. Before
anything is timed, logits and, of a step, all gradients together are compared with the twin's in float64 (relative,
Euclidean norm): ours must lie within 1e-5 (a step's within 1e-3), or no more than 3 times as far off as PyTorch's in
float32, which the gradients of deep networks with batch statistics are by a percent. The ratio, ours : PyTorch, is
that of each round against PyTorch's quickest variant (by its median): below 1 ours is ahead. Other programs on the
machine touch the processor's time less than the wall clock's, so that both ratios are given. Where there are any,
OMP_WAIT_POLICY=passive is fair to PyTorch, whose threads else wait for each other by spinning.

Peak memory is what the process's resident memory grows by during one call. FLOPs are those of the twin's convolutions
and matrix products by PyTorch's counter, for both sides; XLA's own count, which has all else in it, is in the JSON.

Exit status: 0 all that was asked for was compared and timed, 1 something was not (it is named), 2 wrong call.
"""

import argparse
import json
import os
import pathlib
import sys

METHODS = ("dip", "st_ilif", "ftcn", "sdr", "dil")
# Config variant of each size, and its clips in a batch; None: as the config says.
SIZES = {"paper": ("", 1), "small": ("small", None), "test": ("test", None)}
TOLERANCE = {"forward": 1e-5, "step": 1e-3}


def _parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(
    "python -m benchmarks.against_torch", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument("what", nargs="?", choices=("forward", "step"), default="forward")
  parser.add_argument("--method", default=",".join(METHODS), help=f"of {', '.join(METHODS)} (default: all)")
  parser.add_argument("--size", choices=tuple(SIZES), default="small", help="the config's variant (default: small)")
  parser.add_argument("--batch", type=int, default=0, help="clips (default: the config's batch; of paper size, 1)")
  parser.add_argument("--rounds", type=int, default=7)
  parser.add_argument("--threads", type=int, default=0, help="PyTorch's; XLA takes all cores (default: all cores)")
  parser.add_argument("--compile-seconds", type=int, default=60, metavar="S", help="for torch.compile; 0 leaves it out")
  parser.add_argument("--json", type=pathlib.Path, metavar="F", help="everything that was measured, round by round")
  return parser


def main(argv: list[str] | None = None) -> int:
  """Parses arguments, measures, prints a table; see the module's docstring."""
  args = _parser().parse_args(argv)
  from dfdetect_jax.errors import UserError, exit_on_user_error, unknown

  with exit_on_user_error("against_torch"):
    methods = args.method.split(",")
    for name in methods:
      if name not in METHODS:
        raise unknown("method", name, METHODS)
    if args.rounds < 1 or args.batch < 0:
      raise UserError(f"--rounds={args.rounds} and --batch={args.batch} must be at least 1 and 0.")

  from benchmarks import torch_comparison  # --help and mistakes need not wait for jax and PyTorch

  with exit_on_user_error("against_torch"):
    document = {"machine": torch_comparison.machine(args.threads), "command": vars(args) | {"json": str(args.json)}}
    print(f"{args.what}, size {args.size}, float32, {args.rounds} rounds")
    print("; ".join(f"{name} {value}" for name, value in document["machine"].items()))
    results, failed = document.setdefault("methods", {}), document.setdefault("not_timed", {})
    for name in methods:
      print(f"{name} …", file=sys.stderr, flush=True)
      variant, batch = SIZES[args.size]
      try:
        results[name] = torch_comparison.measure(
          name, variant, args.batch or batch, args.what, args.rounds, args.compile_seconds, TOLERANCE[args.what]
        )
      except torch_comparison.Differs as error:
        failed[name] = str(error)
    print(torch_comparison.table(results))
    for name, why in failed.items():
      print(f"NOT TIMED: {name}: {why}")
    if args.json:
      args.json.write_text(json.dumps(document, indent=1) + "\n")
  return 1 if failed else 0


if __name__ == "__main__":
  # Compile times are those of the first time, and a compilation that is stopped leaves no workers behind.
  os.environ["JAX_ENABLE_COMPILATION_CACHE"] = "false"
  os.environ["TORCHINDUCTOR_FORCE_DISABLE_CACHES"] = "1"
  os.environ["TORCHINDUCTOR_COMPILE_THREADS"] = "1"
  sys.exit(main())
