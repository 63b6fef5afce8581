"""What checkpoints cost a run: `python -m benchmarks.checkpoint_cost --data=DIR [--config=NAME:VARIANT]`.

Measured on a run of its own, in a temporary folder. Three figures:

- the part of a training step's time that checkpoints take at the default interval. Blocks of steps with and without
  a checkpoint take turns, so that a busy machine slows both; a block with one ends when the checkpoint is whole on the
  disk, so that the background's work is counted in full. Target: under 2 %.
- seconds from the start of `dfdetect_jax.train` on a run that was stopped to its first new step. Target: under 60 s at
  test size.
- what checksums cost at paper size (`--checksums=dip`, alone: needs no data): a restore without comparing them,
  comparing them, which comes before it, and writing them, in turn; seconds of the clock and of the processor. Targets:
  5 % of a restore, and 1 % of the steps between two checkpoints.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import jax
import numpy as np

from dfdetect_jax.data.loader import long_enough, train_batches
from dfdetect_jax.runs import checksums
from dfdetect_jax.runs.checkpoints import Checkpoints
from dfdetect_jax.runs.config import base_config
from dfdetect_jax.runs.config_files import load_config
from dfdetect_jax.schema import read_tracks
from dfdetect_jax.training.program import make_program


def step_cost(config, workdir: pathlib.Path, block: int, rounds: int) -> tuple[float, float]:
  """Medians over rounds: seconds of a step, and seconds that one checkpoint adds to a block of steps."""
  program = make_program(config, 1_000_000)
  spec = program.method.clip_spec
  tracks, _ = long_enough(read_tracks(config.data, "train"), spec.frames)
  batches = train_batches(
    config.data, tracks, spec, batch_size=config.batch_size, seed=0, steps=range(4), sharding=program.rows,
    unpaired=config.unpaired,
  )  # fmt: skip
  batches = list(batches)  # reading is not what is measured
  step, state = program.compile_step(), program.initial_state()
  checkpoints = Checkpoints(workdir, config.checkpoint_keep)

  def seconds(save: bool) -> float:
    nonlocal state
    start = time.perf_counter()
    if save:
      checkpoints.save(state)
    for i in range(block):
      state, _ = step(state, batches[i % len(batches)], program.run_key)
    jax.block_until_ready(state)
    checkpoints.wait()
    return time.perf_counter() - start

  seconds(True), seconds(False)  # the first of each is slower
  pairs = np.array([[seconds(False), seconds(True)] for _ in range(rounds)])
  checkpoints.close()
  return float(np.median(pairs[:, 0])) / block, float(np.median(pairs[:, 1] - pairs[:, 0]))


def restart_seconds(name: str, data: str, workdir: pathlib.Path) -> tuple[float, float]:
  """Seconds (clock, processor) from the start of the program to the first step that a stopped run had not done."""
  command = [sys.executable, "-m", "dfdetect_jax.train", f"--config=configs/{name.partition(':')[0]}.py"]
  command[-1] += f":{name.partition(':')[2]}"
  command += [f"--workdir={workdir}", f"--data={data}", "--config.log_every=1", "--config.eval_every=0"]
  root = pathlib.Path(__file__).parents[1]
  subprocess.run([*command, "--config.total_steps=2"], cwd=root, check=True, stdout=subprocess.DEVNULL)
  start, used = time.time(), os.times()
  with subprocess.Popen([*command, "--config.total_steps=1000000"], cwd=root, stdout=subprocess.DEVNULL) as job:
    lines = []
    while job.poll() is None and not any(json.loads(line)["step"] > 2 for line in lines):
      time.sleep(0.05)
      lines = [line for line in (workdir / "metrics.jsonl").read_text().splitlines() if line.endswith("}")]
    seconds = time.time() - start
    job.kill()
  now = os.times()
  return seconds, now.children_user + now.children_system - used.children_user - used.children_system


def checksum_cost(name: str, workdir: pathlib.Path, rounds: int) -> str:
  """Restores a checkpoint of random numbers, compares and writes its checksums in turn; says the medians."""
  program = make_program(load_config(name, {"data": "none"}), 1_000_000)
  draw = np.random.default_rng(0)

  def filled(leaf):
    if not np.issubdtype(leaf.dtype, np.floating):
      return jax.device_put(np.zeros(leaf.shape, leaf.dtype), leaf.sharding)
    return jax.device_put(draw.standard_normal(leaf.shape, np.float32).astype(leaf.dtype), leaf.sharding)

  checkpoints = Checkpoints(workdir, 1)
  checkpoints.save(jax.tree.map(filled, program.abstract))
  checkpoints.wait()
  [folder] = (path for path in (workdir / "checkpoints").iterdir() if path.name.isdigit())
  size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
  items, verify = [path.name for path in folder.iterdir() if path.is_dir()], checksums.verify

  def seconds(work) -> tuple[float, float]:
    start, used = time.perf_counter(), time.process_time()
    jax.block_until_ready(work())
    return time.perf_counter() - start, time.process_time() - used

  def without():
    checksums.verify = lambda *_: True
    try:
      return checkpoints.restore(program.abstract)
    finally:
      checksums.verify = verify

  seconds(without)  # the first one reads the disk
  table = [
    [seconds(without), seconds(lambda: verify(folder, items)), seconds(lambda: checksums.write(folder))]
    for _ in range(rounds)
  ]
  checkpoints.close()
  plain, compare, write = np.median(np.array(table), axis=0)
  more = np.median(np.array(table)[:, 1] / np.array(table)[:, 0], axis=0)
  return (
    f"{name}, a state of {size / 1e9:.2f} GB, medians of {rounds}: restore {plain[0]:.1f} s ({plain[1]:.1f} s of "
    f"processor), comparing checksums {compare[0]:.2f} s ({compare[1]:.2f}), {100 * more[0]:.1f} % "
    f"({100 * more[1]:.1f} %) of it; writing them {write[0]:.1f} s ({write[1]:.2f}): at one checkpoint in "
    f"{base_config().checkpoint_every} steps 1 % of steps that take "
    f"{1e5 * write[1] / base_config().checkpoint_every:.0f} ms."
  )


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--data", default="", help="dataset folder made by data_pipelines.build")
  parser.add_argument("--config", default="dip:small", help="a file of configs/ and a variant (default: dip:small)")
  parser.add_argument("--restart", default="dip:test", help="the same, to start again (default: dip:test)")
  parser.add_argument("--block", type=int, default=10, help="steps of a block")
  parser.add_argument("--rounds", type=int, default=5)
  parser.add_argument("--checksums", default="", metavar="NAME", help="only what checksums cost a config's state")
  args = parser.parse_args()
  if args.checksums:
    with tempfile.TemporaryDirectory() as folder:
      print(checksum_cost(args.checksums, pathlib.Path(folder), args.rounds))
    return
  if not args.data:
    parser.error("--data=DIR is missing")
  config = load_config(args.config, {"data": args.data})
  interval = base_config().checkpoint_every
  with tempfile.TemporaryDirectory() as folder:
    folder = pathlib.Path(folder)
    step, checkpoint = step_cost(config, folder / "run", args.block, args.rounds)
    print(
      f"{args.config} on {jax.device_count()} x {jax.devices()[0].device_kind} ({os.cpu_count()} cores), medians of "
      f"{args.rounds}: step {step:.3f} s, checkpoint {checkpoint:.3f} s more; one every {interval} steps (the "
      f"default): {100 * checkpoint / (interval * step):.3f} % of the time of the steps."
    )
    seconds, processor = restart_seconds(args.restart, args.data, folder / "restart")
    print(
      f"{args.restart} stopped at step 2: {seconds:.1f} s ({processor:.1f} s of processor time) from the start of the "
      "program to its first new step."
    )


if __name__ == "__main__":
  main()
