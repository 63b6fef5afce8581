"""How long the bootstrap takes: `python -m benchmarks.bootstrap [--videos=N] [--resamples=R] [--identities=K]`.

Target: 2,000 resamples of 10,000 videos, all metrics, in under 10 s on one core.
"""

import argparse
import os
import time

# One core: the matrix products would use more.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from dfdetect_jax.evaluation import metrics, statistics


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--videos", type=int, default=10_000)
  parser.add_argument("--resamples", type=int, default=statistics.RESAMPLES)
  parser.add_argument("--identities", type=int, default=0, help="0: every video is a cluster of its own")
  args = parser.parse_args()
  rng = np.random.default_rng(0)
  labels = rng.integers(0, 2, args.videos)
  scores = 1 / (1 + np.exp(-(labels - 0.5) - rng.normal(size=args.videos)))
  clusters = rng.integers(0, args.identities, args.videos) if args.identities else np.arange(args.videos)
  start, cpu = time.perf_counter(), time.process_time()
  intervals = statistics.bootstrap_intervals(labels, scores, clusters, 0.5, args.resamples)
  wall, cpu = time.perf_counter() - start, time.process_time() - cpu
  print(
    f"{args.resamples} resamples x {args.videos} videos x {len(intervals)} metrics: {wall:.2f} s ({cpu:.2f} s of CPU)"
  )
  figures = metrics.binary_metrics(labels, scores, 0.5)
  for name, (low, high) in intervals.items():
    print(f"  {metrics.METRICS[name]:9s} {getattr(figures, name):.4f} [{low:.4f}, {high:.4f}]")


if __name__ == "__main__":
  main()
