"""The detectors and what they stand on against PyTorch on this machine: both sides in turn, results compared first.

  python -m benchmarks.against_torch forward
  python -m benchmarks.against_torch step --method=ftcn,dip --size=paper --rounds=5 --json=step.json
  python -m benchmarks.against_torch step --method=ftcn --plot=ftcn.png
  python -m benchmarks.against_torch ops --size=paper
  python -m benchmarks.against_torch input --data=shards/mine --frames=16 --pixels=224
  python -m benchmarks.against_torch detect videos/*.mp4

`forward` is uint8 clips to logits with BatchNorm's running statistics. `step` is one optimizer step: logits with the
batch's statistics, binary cross-entropy, gradients of all parameters, Adam; without augmentation, without dropout and
without the other losses of DIP and SDR. Nothing is recomputed for memory's sake on either side.

The twins (benchmarks/twins) are written for speed: channels-last layout, fused attention; besides, those with
convolutions run in PyTorch's own layout, and torch.compile runs where it is done within --compile-seconds. Before
anything is timed, logits and, of a step, all gradients together are compared with the twin's in float64 (relative,
Euclidean norm): ours must lie within 1e-5 (a step's within 1e-3; in bfloat16 0.03 and 0.1), or no more than 3 times as
far off as PyTorch's in the same dtype, which the gradients of deep networks with batch statistics are by a percent.
The ratio, ours : PyTorch, is that of each round against PyTorch's quickest variant (by its median): below 1 ours is
ahead. Other programs on the machine touch the processor's time less than the wall clock's, so that both ratios are
given. Where there are any, OMP_WAIT_POLICY=passive is fair to PyTorch, whose threads else wait for each other by
spinning. Both sides keep a step's memory, as `dfdetect_jax.train` does: else the system gives ours, which is one block,
anew at each call, and PyTorch's, which is many, seldom. --plot draws time against clips and frames instead, on a CPU
the processor's.

Peak memory is what the process's resident memory grows by during one call; on a GPU, what the compiled program says
and PyTorch's allocator. FLOPs are those of the twin's convolutions and matrix products by PyTorch's counter, for both
sides; XLA's own count, which has all else in it, is in the JSON. Where the device's peak is known (dense bfloat16, as
its maker states it), the share of it is told. On a GPU (jax's, and a PyTorch for it) everything runs there; float32 is
TF32 then. That has not been tried yet.

`ops` are single layers, forward and with gradients. `input` is shards to uint8 clips against DataLoader on the same
files with the same decoder, and the codecs that shards can hold. `detect` finds faces in the first video, brought to
720p and 1080p, against other detectors as far as they are installed (in an environment of their own: facenet-pytorch
asks for an old PyTorch), and on every k-th frame against every frame in all of the videos.

Exit status: 0 all that was asked for was compared and timed, 1 something was not (it is named), 2 wrong call.
"""

import argparse
import json
import os
import pathlib
import sys
from typing import Any

from dfdetect_jax.devices import allocator

METHODS = ("dip", "st_ilif", "ftcn", "sdr", "dil")
# Config variant of each size, and its clips in a batch; None: as the config says.
SIZES = {"paper": ("", 1), "small": ("small", None), "test": ("test", None)}
# Side of the first stage's maps, its channels, images in a batch.
OPS = {"paper": (56, 64, 8), "small": (16, 16, 16), "test": (8, 16, 4)}
LEAST = {"rounds": 1, "batch": 0, "frames": 0, "pixels": 1, "workers": 0, "batches": 1, "most": 16}
HEIGHTS, EVERY = (720, 1080), (2, 5, 10)


def _parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(
    "python -m benchmarks.against_torch", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument("what", nargs="?", choices=("forward", "step", "ops", "input", "detect"), default="forward")
  parser.add_argument("videos", nargs="*", metavar="VIDEO", help="of detect")
  add = parser.add_argument_group("forward, step, ops; --batch and --frames of input too").add_argument
  add("--method", default=",".join(METHODS), help=f"of {', '.join(METHODS)} (default: all)")
  add("--size", choices=tuple(SIZES), default="small", help="the config's variant (default: small)")
  add("--dtype", choices=("float32", "bfloat16"), default="float32", help="bfloat16 is PyTorch's autocast")
  add("--batch", type=int, default=0, help="clips (default: the config's batch; of paper size, 1)")
  add("--frames", type=int, default=0, help="of a clip; of DIL, its snippets (default: the config's; of input, 16)")
  add("--compile-seconds", type=int, default=60, metavar="S", help="for torch.compile; 0 leaves it out")
  add("--plot", type=pathlib.Path, metavar="F.png", help="time against clips and frames, and F.csv")
  add = parser.add_argument_group("input").add_argument
  add("--data", default="", metavar="DIR", help="shards of data_pipelines.build")
  add("--pixels", type=int, default=224, help="side of a clip")
  add("--workers", type=int, default=2, help="processes of either side, besides none")
  add("--batches", type=int, default=24, help="of a round")
  add = parser.add_argument_group("detect").add_argument
  add("--most", type=int, default=75, help="frames of each video")
  add = parser.add_argument_group("all").add_argument
  add("--rounds", type=int, default=7)
  add("--threads", type=int, default=0, help="PyTorch's; XLA takes all cores (default: all cores)")
  add("--json", type=pathlib.Path, metavar="F", help="everything that was measured, round by round")
  return parser


def main(argv: list[str] | None = None) -> int:
  """Parses arguments, measures, prints a table; see the module's docstring."""
  args = _parser().parse_args(argv)
  from dfdetect_jax.errors import exit_on_user_error

  with exit_on_user_error("against_torch"):
    methods = args.method.split(",")
    _check(args, methods)
    # --help and mistakes need not wait for jax and PyTorch.
    from benchmarks import in_turn

    document: dict[str, Any] = {"machine": in_turn.machine(args.threads)}
    document["command"] = {name: str(value) for name, value in vars(args).items()}
    about = "" if args.what in ("input", "detect") else f"size {args.size}, {args.dtype}, "
    print(f"{args.what}, {about}{args.rounds} rounds")
    print("; ".join(f"{name} {value}" for name, value in document["machine"].items()))
    failed = document.setdefault("not_timed", {})
    run = {"forward": _networks, "step": _networks, "ops": _operations, "input": _input, "detect": _detect}[args.what]
    print(run(args, methods, document, failed))
    for name, why in failed.items():
      print(f"NOT TIMED: {name}: {why}")
    if args.json:
      args.json.write_text(json.dumps(document, indent=1) + "\n")
  return 1 if failed else 0


def _check(args: argparse.Namespace, methods: list[str]) -> None:
  """Raises UserError for a wrong call."""
  from dfdetect_jax.errors import UserError, unknown

  for name in methods:
    if name not in METHODS:
      raise unknown("method", name, METHODS)
  for name, least in LEAST.items():
    if getattr(args, name) < least:
      raise UserError(f"--{name}={getattr(args, name)} must be at least {least}.")
  if args.what == "detect" and not args.videos:
    raise UserError("detect needs videos to find faces in: list them after it.")
  if args.what != "detect" and args.videos:
    raise UserError(f"unexpected argument '{args.videos[0]}': only detect takes videos.")
  if bool(args.data) != (args.what == "input"):
    raise UserError("--data=DIR, shards of data_pipelines.build, goes with input and with nothing else.")
  if args.plot and args.what not in ("forward", "step"):
    raise UserError("--plot goes with forward and step.")
  if args.plot and args.frames:
    raise UserError("--plot measures at several numbers of frames, half to twice the config's: leave --frames out.")


def _networks(args: argparse.Namespace, methods: list[str], document: dict[str, Any], failed: dict[str, str]) -> str:
  from benchmarks import scaling, torch_comparison

  variant, batch = SIZES[args.size]
  batch = args.batch or batch
  if args.plot:
    try:
      found = document["points"] = scaling.points(methods, variant, args.what, batch, args.rounds, args.dtype)
    except torch_comparison.Differs as error:
      failed[args.method] = str(error)
      return ""
    return "\n".join(f"written: {path}" for path in scaling.draw(found, args.plot))
  results = document.setdefault("methods", {})
  for name in methods:
    print(f"{name} …", file=sys.stderr, flush=True)
    try:
      results[name] = torch_comparison.measure(
        name, variant, batch, args.what, args.rounds, args.compile_seconds, args.dtype, args.frames or None
      )
    except torch_comparison.Differs as error:
      failed[name] = str(error)
  return torch_comparison.table(results)


def _operations(args: argparse.Namespace, methods: list[str], document: dict[str, Any], failed: dict[str, str]) -> str:
  from benchmarks import operations, torch_comparison

  del methods
  results = document.setdefault("operations", {})
  for operation in operations.operations(*OPS[args.size]):
    print(f"{operation.name} …", file=sys.stderr, flush=True)
    try:
      results[operation.name] = operations.measure(operation, args.dtype, args.rounds)
    except torch_comparison.Differs as error:
      failed[operation.name] = str(error)
  return operations.table(results)


def _input(args: argparse.Namespace, methods: list[str], document: dict[str, Any], failed: dict[str, str]) -> str:
  from benchmarks import input_reading

  del methods, failed
  document["input"] = input_reading.measure(
    args.data, args.frames or 16, args.pixels, args.batch or 16, args.workers, args.batches, args.rounds
  )
  return input_reading.table(document["input"])


def _detect(args: argparse.Namespace, methods: list[str], document: dict[str, Any], failed: dict[str, str]) -> str:
  from benchmarks import face_finding

  del methods, failed
  found = face_finding.measure(
    args.videos, list(HEIGHTS), args.most, args.rounds, list(EVERY), list(face_finding.OTHERS)
  )
  document["detect"] = found
  return face_finding.table(found)


if __name__ == "__main__":
  # Compile times are those of the first time, and a compilation that is stopped leaves no workers behind.
  os.environ["JAX_ENABLE_COMPILATION_CACHE"] = "false"
  os.environ["TORCHINDUCTOR_FORCE_DISABLE_CACHES"] = "1"
  os.environ["TORCHINDUCTOR_COMPILE_THREADS"] = "1"
  allocator.one_arena()  # to keep a step's memory, see above
  # Both sides share the memory of a GPU.
  os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
  sys.exit(main())
