"""Which frames of a face track make a clip. Pure NumPy on lengths; no frame is read here."""

import numpy as np

from dfdetect_jax.methods.method import ClipSpec


def train_starts(spec: ClipSpec, frames: int, rng: np.random.Generator) -> np.ndarray:
  """Draws the first frames of one training clip.

  Without snippets the clip starts anywhere. With U snippets the track is cut into U equal parts and each snippet starts
  anywhere in its own part (DIL's sampling).

  Args:
    spec: the method's clips.
    frames: length of the track, at least `spec.frames`.
    rng: NumPy generator.

  Returns:
    int64 `[max(U, 1)]`, each in [0, frames - T].
  """
  parts = max(spec.snippets, 1)
  edges = np.linspace(0, frames - spec.frames + 1, parts + 1)
  return np.minimum(np.floor(rng.uniform(edges[:-1], edges[1:])), frames - spec.frames).astype(np.int64)


def test_starts(spec: ClipSpec, frames: int) -> np.ndarray:
  """First frames of all test clips of a track: the same ones at every evaluation.

  `spec.test_clips` clips are spread evenly over the track, ends included; with 0, windows start every `test_stride`
  frames. Where there are snippets, all clips' snippets together are spread evenly, and clip c takes every n-th.

  Args:
    spec: the method's clips.
    frames: length of the track, at least `spec.least`.

  Returns:
    int64 `[clips, max(U, 1)]`, each in [0, frames - T]; 0 in a track that is shorter than a clip.
  """
  last = frames - spec.frames
  if last < 0:
    return np.zeros((1, 1), np.int64)
  snippets = max(spec.test_snippets or spec.snippets, 1)
  if spec.test_clips == 0:
    return np.repeat(np.arange(0, last + 1, spec.test_stride)[:, None], snippets, axis=1)
  spread = np.round(np.linspace(0, last, spec.test_clips * snippets)).astype(np.int64)
  if len(spread) == 1:
    spread = np.array([last // 2])
  return spread.reshape(snippets, spec.test_clips).T
