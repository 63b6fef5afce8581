"""How many bytes a clip costs: bytes read from shards for T consecutive frames against the frames' own bytes.

    python benchmarks/shard_reading.py DIR [--split=train] [--frames=16] [--clips=200]

Bytes are those that this process asks of the system (`/proc/self/io`, Linux), whether or not they come from the cache.
Measured on face tracks of 65 clips at 224 pixels, PNG: 16 frames cost 1.003 times their own bytes, readers open. At 64
pixels it is 2.3 times, because array_record's data source reads 32 KiB at once and such a frame has 8.
"""

import argparse
import pathlib
import sys
import time

import numpy as np
import tensorflow_datasets as tfds

from dfdetect_jax.errors import UserError, exit_on_user_error
from dfdetect_jax.schema import read_tracks


def bytes_read() -> int:
  """Bytes that this process has read so far."""
  counters = pathlib.Path("/proc/self/io")
  if not counters.exists():
    raise UserError("this benchmark counts bytes with /proc/self/io, which only Linux has.")
  return int(counters.read_text().split("rchar: ")[1].split()[0])


def measure(directory: pathlib.Path, split: str, frames: int, clips: int) -> dict[str, float]:
  """Reads random clips of consecutive frames.

  Returns:
    `ratio` of bytes read to the pictures' bytes, without and `cold_ratio` with the opening of the shards,
    `clips_per_second`, `frame_bytes` (mean size of a picture).
  """
  tracks = [track for track in read_tracks(directory, split) if track.frames >= frames]
  if not tracks:
    raise UserError(f"{directory} has no track of {frames} frames in split '{split}'.")
  source = tfds.builder_from_directory(directory).as_data_source(split, decoders={"image": tfds.decode.SkipDecoding()})
  rng = np.random.default_rng(0)

  def read_all() -> tuple[int, int]:
    own = 0
    start = bytes_read()
    for _ in range(clips):
      track = tracks[rng.integers(len(tracks))]
      first = track.first + int(rng.integers(track.frames - frames + 1))
      own += sum(len(record["image"]) for record in source.__getitems__(list(range(first, first + frames))))
    return bytes_read() - start, own

  cold_read, cold_own = read_all()
  rng = np.random.default_rng(0)  # the same clips again: every shard they need is open now
  started = time.monotonic()
  read, own = read_all()
  seconds = time.monotonic() - started
  return {
    "ratio": read / own,
    "cold_ratio": cold_read / cold_own,
    "clips_per_second": clips / seconds,
    "frame_bytes": own / (clips * frames),
  }


def main(argv: list[str] | None = None) -> int:
  """Parses the command line and prints the figures."""
  p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  p.add_argument("directory", type=pathlib.Path)
  p.add_argument("--split", default="train")
  p.add_argument("--frames", type=int, default=16)
  p.add_argument("--clips", type=int, default=200)
  args = p.parse_args(argv)
  with exit_on_user_error("benchmarks/shard_reading"):
    figures = measure(args.directory, args.split, args.frames, args.clips)
    print(f"{args.clips} clips of {args.frames} frames, {figures['frame_bytes']:.0f} bytes a frame:")
    print(f"  bytes read / frames' own bytes: {figures['ratio']:.4f} ({figures['cold_ratio']:.4f} with opening shards)")
    print(f"  {figures['clips_per_second']:.0f} clips/s, still encoded")
  return 0


if __name__ == "__main__":
  sys.exit(main())
