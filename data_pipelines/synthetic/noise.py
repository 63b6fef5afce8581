"""Random fields that everything in the synthetic videos is made of: smooth in space, or smooth in time."""

import cv2
import numpy as np

FPS = 25.0


def generator(seed: int, *stream: int | str) -> np.random.Generator:
  """Random numbers of one purpose, the same whichever worker asks for them.

  Args:
    seed: the dataset's seed.
    *stream: what they are for (identity number, names); streams that differ anywhere are independent.
  """
  words = [seed]
  for item in stream:
    words.extend([item] if isinstance(item, int) else [len(item), *item.encode()])
  return np.random.default_rng(words)


def field(rng: np.random.Generator, height: int, width: int, rows: float, columns: float | None = None) -> np.ndarray:
  """Smooth noise `[height, width]` float32 of `rows` x `columns` blobs, unit variance at their grid points."""
  columns = rows * width / height if columns is None else columns
  grid = rng.standard_normal((max(2, round(rows)) + 1, max(2, round(columns)) + 1)).astype(np.float32)
  return cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)


def fractal(rng: np.random.Generator, height: int, width: int, rows: float, octaves: int = 4) -> np.ndarray:
  """Sum of `octaves` smooth fields, each twice as fine and 0.6 times as strong as the one before."""
  total = np.zeros((height, width), np.float32)
  for octave in range(octaves):
    total += 0.6**octave * field(rng, height, width, rows * 2**octave)
  return total


def track(rng: np.random.Generator, frames: int, cutoff: float) -> np.ndarray:
  """Smooth noise in time `[frames]`, unit variance, with little above `cutoff` Hz at 25 frames per second."""
  sigma = FPS / (2 * np.pi * cutoff)
  radius = int(np.ceil(4 * sigma))
  kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
  kernel /= np.sqrt(np.sum(kernel**2))
  return np.convolve(rng.standard_normal(frames + 2 * radius), kernel, mode="valid")


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
  """A positive number whose logarithm is uniform: disturbances that differ by orders of magnitude between videos."""
  return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def smoothstep(x: np.ndarray | np.floating, low: float, high: float) -> np.ndarray:
  """0 below `low`, 1 above `high` (or the reverse when high < low), cubic between."""
  s = np.minimum(np.maximum((x - low) / (high - low), 0.0), 1.0)
  return s * s * (3.0 - 2.0 * s)
