"""Whether scoring is bound by the model: `python -m benchmarks.scoring [--videos=1000] [--rounds=5] [--rate=CLIPS/S]`.

Scores drawn face tracks (PNG, 32 frames each) with a config's network (--config, default DIP's `small` size) and random
weights, on whatever devices there are, and sets beside the pure forward pass, in turn within each round:

- scoring as `dfdetect_jax.evaluate` does it, reading and decoding included;
- scoring without reading: the same batch again and again, which leaves the bookkeeping;
- scoring with the model replaced by a wait, as beside an accelerator that leaves the CPU to the reading: how much of
  the wait's own rate is reached (default: the rate of the forward pass);
- reading alone, which is the most that any model could be given.

Where the model computes on the cores that decode, as on a CPU, scoring cannot reach the forward pass: on two cores a
clip takes 0.90 ms of a core to compute and 0.88 ms to read (0.64 of it to decode PNG), bookkeeping not 0.02. Measured
while other programs held the same two cores (load 12), so that only ratios within a round mean something: a wait of 150
clips/s is met to 0.985 [0.982, 0.987]; one of 715, twice of what could be read then, to 0.54 [0.27, 0.60].
"""

import argparse
import hashlib
import json
import pathlib
import statistics
import tempfile
import time

import cv2
import jax
import numpy as np

from data_pipelines.building import shards
from dfdetect_jax import methods, schema
from dfdetect_jax.data import loader
from dfdetect_jax.data.sampling import test_starts
from dfdetect_jax.devices.mesh import batch_sharding, make_mesh
from dfdetect_jax.evaluation import evaluator
from dfdetect_jax.runs.config_files import load_config

FRAMES = 32


def draw(directory: pathlib.Path, videos: int, size: int) -> None:
  """Writes a dataset of one-track videos; the frames of 32 tracks, again and again."""
  rng = np.random.default_rng(0)
  encoded = []
  for _ in range(32):
    face = cv2.resize(rng.integers(60, 196, (8, 8, 3)).astype(np.uint8), (size, size)).astype(np.int64)
    noisy = (np.clip(face + rng.normal(0, 4, face.shape), 0, 255).astype(np.uint8) for _ in range(FRAMES))
    encoded.append([cv2.imencode(".png", frame)[1].tobytes() for frame in noisy])
  tracks = []
  writer = shards.ShardWriter(directory / shards.shard_name("test", 0, 1))
  for number in range(videos):
    label, video_id = number % 2, f"drawn/{number % 2}/none/{number}"
    for k, image in enumerate(encoded[number % 32]):
      writer.write(shards.frame_record(image, video_id, 0, k, label))
    tracks.append(
      schema.Track(
        video_id=video_id,
        track=0,
        split="test",
        label=label,
        first=number * FRAMES,
        frames=FRAMES,
        first_frame=0,
        fps=25.0,
        dataset="drawn",
        manipulation=str(label),
        compression="",
        pair="",
        identity="",
        path=f"{number}.mp4",
        sha256=hashlib.sha256(video_id.encode()).hexdigest(),
        size=size,
      )
    )
  writer.close()
  shards.write_tfds_metadata(directory, size, {"test": [writer.records]})
  schema.write_tracks(directory, tracks)
  (directory / schema.DATASET_FILE).write_text(json.dumps({"schema_version": schema.SCHEMA_VERSION}))


class Wait:
  """Stands for a model on a device of its own: batches are done one after another, at a fixed rate."""

  def __init__(self, clips_per_second: float):
    self._rate, self._free = clips_per_second, 0.0

  def __call__(self, variables, clips):
    self._free = max(time.perf_counter(), self._free) + len(clips) / self._rate
    return Waited(len(clips), self._free)


class Waited:
  """Scores that are there at a point in time."""

  def __init__(self, count: int, ready: float):
    self._count, self._ready = count, ready

  def __array__(self, dtype=None, copy=None):
    time.sleep(max(0.0, self._ready - time.perf_counter()))
    return np.full(self._count, 0.5, dtype)


def main() -> None:
  """Parses arguments, measures and prints."""
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("--config", default="dip:small", help="of a network that takes clips of at most 32 frames")
  parser.add_argument("--videos", type=int, default=1000)
  parser.add_argument("--rounds", type=int, default=5)
  parser.add_argument("--rate", type=float, default=0.0, help="clips/s of the wait (default: that of the forward pass)")
  args = parser.parse_args()
  config = load_config(args.config)
  method, mesh = methods.build(config), make_mesh(config.mesh)
  each = len(test_starts(method.clip_spec, FRAMES))
  batch, clips = config.eval_batch_size, args.videos * each
  variables = method.init(jax.random.key(0))
  predict = evaluator.make_predictor(method, mesh)
  with tempfile.TemporaryDirectory() as folder:
    draw(pathlib.Path(folder), args.videos, method.clip_spec.size)
    tracks = schema.read_tracks(folder, "test")
    sharding = batch_sharding(mesh, batch, "eval_batch_size")
    read = lambda: loader.test_batches(  # noqa: E731
      folder, tracks, "test", method.clip_spec, batch_size=batch, sharding=sharding, prefetch=config.prefetch
    )
    batches = read()
    one, _ = next(batches)
    batches.close()
    owners = np.repeat(np.arange(args.videos), each)
    owners = np.append(owners, np.full(-clips % batch, -1)).reshape(-1, batch)
    predict(variables, one).block_until_ready()

    def score(with_, batches=None) -> None:
      original = evaluator.test_batches
      evaluator.test_batches = batches or original
      try:
        rows = evaluator.score_split(
          with_, variables, method, folder, "test", mesh=mesh, batch_size=batch, prefetch=config.prefetch,
          progress=False,
        )  # fmt: skip
      finally:
        evaluator.test_batches = original
      assert len(rows) == args.videos

    def forward() -> None:
      pending = None
      for _ in owners:
        done, pending = pending, predict(variables, one)
        if done is not None:
          done.block_until_ready()
      pending.block_until_ready()

    def reading() -> None:
      for _ in read():
        pass

    same = lambda *_, **__: ((one, owner) for owner in owners)  # noqa: E731
    seconds: dict[str, list[tuple[float, float]]] = {}  # (elapsed, of the cores) by what was done
    rates = []
    for _ in range(args.rounds):
      for name, do in (
        ("forward", forward),
        ("scoring", lambda: score(predict)),
        ("scoring without reading", lambda: score(predict, same)),
        ("scoring with a wait", lambda: score(Wait(rates[-1]))),
        ("reading alone", reading),
      ):
        wall, cores = time.perf_counter(), time.process_time()
        do()
        seconds.setdefault(name, []).append((time.perf_counter() - wall, time.process_time() - cores))
        if name == "forward":
          rates.append(args.rate or clips / seconds[name][-1][0])

  devices = f"{mesh.size} x {jax.devices()[0].device_kind}"
  print(f"{args.config}, {args.videos} videos, {clips} clips, {devices}, {args.rounds} rounds")
  print(f"{'':24} {'clips/s':>8} {'core ms/clip':>13}   rate / that of the forward pass or wait, median [least, most]")
  for name, measured in seconds.items():
    compared = rates if name == "scoring with a wait" else [clips / wall for wall, _ in seconds["forward"]]
    ratios = [clips / wall / rate for (wall, _), rate in zip(measured, compared, strict=True)]
    rate, cores = (statistics.median(values) for values in zip(*((clips / w, c / clips * 1e3) for w, c in measured)))
    told = f"{statistics.median(ratios):.3f} [{min(ratios):.3f}, {max(ratios):.3f}]"
    print(f"{name:24} {rate:8.0f} {cores:13.3f}   {told if name != 'forward' else ''}")


if __name__ == "__main__":
  main()
