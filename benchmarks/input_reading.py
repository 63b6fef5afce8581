"""What `benchmarks.against_torch input` does: shards to uint8 clips, ours against PyTorch's DataLoader, and codecs.

Both sides read the same shards with the same reader and decoder (`data.frames.FrameReader`); what differs is who calls
it: grain, in threads or worker processes, which puts batches onto the device, or DataLoader with its workers.
"""

import os
import pathlib
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import cv2
import jax
import numpy as np
import torch

from benchmarks.in_turn import markdown, quotients, spread
from data_pipelines.video.encoding import parse
from dfdetect_jax.data.frames import FrameReader
from dfdetect_jax.data.loader import long_enough, train_batches
from dfdetect_jax.devices.mesh import batch_sharding, make_mesh
from dfdetect_jax.errors import UserError
from dfdetect_jax.methods.method import ClipSpec
from dfdetect_jax.runs.config import base_config
from dfdetect_jax.schema import Track, read_tracks

AHEAD = 16  # batches: no side reads more ahead
Batches = Callable[[int], Iterator[Any]]
CODECS = ("png", "webp", "jpeg:95")  # --encoding of data_pipelines.build


class Clips(torch.utils.data.Dataset):
  """Random clips of T frames, as somebody would write them for DataLoader."""

  def __init__(self, reader: FrameReader, tracks: list[Track], frames: int, count: int):
    self.reader, self.tracks, self.frames, self.count = reader, tracks, frames, count

  def __len__(self) -> int:
    return self.count

  def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
    rng = np.random.default_rng(index)
    track = self.tracks[rng.integers(len(self.tracks))]
    first = track.first + int(rng.integers(track.frames - self.frames + 1))
    return torch.from_numpy(self.reader.read(first, self.frames, track)), int(track.label or 0)


def tree(field: Callable[[pathlib.Path], float]) -> float:
  """The sum of a figure over this process and its descendants, by `/proc/PID`; 0 for one that is gone."""
  total, todo = 0.0, [os.getpid()]
  while todo:
    folder = pathlib.Path("/proc") / str(todo.pop())
    try:
      for task in (folder / "task").iterdir():
        todo += map(int, (task / "children").read_text().split())
      total += field(folder)
    except (OSError, ValueError):
      continue
  return total


def processor_seconds(folder: pathlib.Path) -> float:
  fields = (folder / "stat").read_text().rpartition(")")[2].split()
  return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def own_bytes(folder: pathlib.Path) -> float:
  """Memory, what is shared counted by its share."""
  lines = (folder / "smaps_rollup").read_text().splitlines()
  return 1024 * int(next(line for line in lines if line.startswith("Pss:")).split()[1])


def measure(data: str, frames: int, size: int, batch: int, workers: int, count: int, rounds: int) -> dict[str, Any]:
  """Times the sides in turn, and the codecs.

  Args:
    data: folder of shards with a split `train`.
    frames, size: of a clip.
    batch: clips.
    workers: processes of either side; each side runs without them too.
    count: batches a round.
    rounds: in which every side has one turn.

  Returns:
    JSON-able: `sides` (frames/s, processor milliseconds a frame, bytes), `ratio`, `codecs`.

  Raises:
    UserError: no track is long enough.
  """
  spec = ClipSpec(frames=frames, size=size)
  tracks, _ = long_enough(read_tracks(data, "train"), frames)
  if not tracks:
    raise UserError(f"{data} has no training track of {frames} frames: give fewer --frames.")
  sharding = batch_sharding(make_mesh(base_config().mesh), batch, "batch_size")

  def ours(workers: int) -> Batches:
    return lambda n: train_batches(
      data, tracks, spec, batch_size=batch, seed=0, steps=range(n), sharding=sharding, workers=workers
    )

  def theirs(workers: int) -> Batches:
    clips = lambda n: Clips(FrameReader(data, "train", size), tracks, frames, n * batch)  # noqa: E731
    return lambda n: iter(
      # Forking a process that runs jax's threads would hang: its workers start as ours do.
      torch.utils.data.DataLoader(
        clips(n), batch, num_workers=workers, multiprocessing_context="spawn" if workers else None
      )
    )

  sides = {"JAX, threads": ours(0), "PyTorch, 0 workers": theirs(0)}
  if workers:
    sides |= {f"JAX, {workers} workers": ours(workers), f"PyTorch, {workers} workers": theirs(workers)}
  total = (rounds + 1) * AHEAD + rounds * count + AHEAD
  iterators, memory = {}, {}
  for name, batches in sides.items():
    before = tree(own_bytes)
    iterators[name] = batches(total)
    for _ in range(AHEAD):  # its workers have started then
      next(iterators[name])
    memory[name] = tree(own_bytes) - before
  found: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
  for _ in range(rounds):
    for name, iterator in iterators.items():
      found[name].append(one_round(iterator, count))
  iterators.clear()
  result: dict[str, Any] = {"clips": [batch, frames, size, size, 3], "batches": count, "sides": {}}
  for name, values in found.items():
    wall, cpu = (statistics.median(column) for column in zip(*values))
    result["sides"][name] = {
      "frames_per_second": count * batch * frames / wall, "core_ms_per_frame": 1e3 * cpu / (count * batch * frames),
      "mib": memory[name] / 2**20, "wall_seconds": [value[0] for value in values],
    }  # fmt: skip
  best = {
    of: min((n for n in sides if n.startswith(of)), key=lambda n: statistics.median(v[0] for v in found[n]))
    for of in ("JAX", "PyTorch")
  }
  result["best"] = best
  result["ratio"] = quotients(*([wall for wall, _ in found[best[of]]] for of in ("JAX", "PyTorch")))
  reader = FrameReader(data, "train", size)
  step = max(1, len(tracks) // 16)
  result["codecs"] = codecs(np.concatenate([reader.read(t.first, 4, t) for t in tracks[::step]]))
  return result


def one_round(iterator: Iterator[Any], count: int) -> tuple[float, float]:
  """Wall and processor seconds of `count` batches, workers included.

  What had been read ahead is taken first, so that as much is read ahead at the end as was at the beginning.
  """
  for _ in range(AHEAD):
    next(iterator)
  start, cpu = time.perf_counter(), tree(processor_seconds)
  for _ in range(count):
    last = next(iterator)
  jax.block_until_ready(last)
  return time.perf_counter() - start, tree(processor_seconds) - cpu


def codecs(frames: np.ndarray) -> dict[str, dict[str, float]]:
  """Size, time and error of each codec on frames `[N, H, W, 3]` uint8, on one core."""
  cv2.setNumThreads(1)
  result = {}
  for name in CODECS:
    encoding = parse(name)
    start = time.process_time()
    encoded = [encoding.encode(frame) for frame in frames]
    middle = time.process_time()
    decoded = [cv2.imdecode(np.frombuffer(code, np.uint8), cv2.IMREAD_COLOR_RGB) for code in encoded]  # as FrameReader
    end = time.process_time()
    error = np.abs(np.stack(decoded).astype(np.int16) - frames)
    result[name] = {
      "kib": sum(len(code) for code in encoded) / len(frames) / 1024, "encode_ms": 1e3 * (middle - start) / len(frames),
      "decode_ms": 1e3 * (end - middle) / len(frames), "mean_error": float(error.mean()),
      "most_error": int(error.max()),
    }  # fmt: skip
  return result


def table(result: dict[str, Any]) -> str:
  """Markdown."""
  head = ("reading " + " × ".join(map(str, result["clips"])), "frames/s", "core ms a frame", "frames/s per core", "MiB")
  rows = [
    (
      name, f"{s['frames_per_second']:.0f}", f"{s['core_ms_per_frame']:.2f}", f"{1e3 / s['core_ms_per_frame']:.0f}",
      f"{s['mib']:.0f}",
    ) for name, s in result["sides"].items()
  ]  # fmt: skip
  best = result["best"]
  lines = [markdown(head, rows), f"{best['JAX']} : {best['PyTorch']} in time: {spread(result['ratio'])}"]
  batch, frames = result["clips"][:2]
  core = 1e-3 * result["sides"][best["JAX"]]["core_ms_per_frame"]
  lines += [
    f"A step of one second that takes {batch} such clips needs {batch * frames * core:.2f} cores for reading.",
    "",
  ]
  head = (
    f"codec, {result['clips'][2]} px",
    "KiB a frame",
    "encode, ms",
    "decode, ms",
    "mean (most) error, levels of 255",
  )
  lines.append(markdown(head, [
    (
      name, f"{c['kib']:.1f}", f"{c['encode_ms']:.2f}", f"{c['decode_ms']:.2f}",
      f"{c['mean_error']:.2f} ({c['most_error']})",
    ) for name, c in result["codecs"].items()
  ]))  # fmt: skip
  return "\n".join(lines)
