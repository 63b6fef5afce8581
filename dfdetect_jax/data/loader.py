"""Batches of clips, each a pure function of its global index: any number of hosts or workers gives the same ones."""

import atexit
import dataclasses
import functools
import gc
import logging
import os
import signal
from collections.abc import Callable, Generator, Iterator, Sequence

import grain
import jax
import numpy as np
from absl import flags

from dfdetect_jax import signals
from dfdetect_jax.augment.forged_batch import LANDMARKS_OF
from dfdetect_jax.data.forgeries import FORGED, GIVEN, Forgeries
from dfdetect_jax.data.frames import FrameReader, Unreadable
from dfdetect_jax.data.sampling import test_starts, train_starts
from dfdetect_jax.errors import UserError
from dfdetect_jax.methods.method import ClipSpec
from dfdetect_jax.schema import Track

_LOG = logging.getLogger(__name__)

# Decoding leaves Python's lock, what is around it does not: more threads than this would wait for each other.
_MOST_THREADS = 16


@dataclasses.dataclass(frozen=True)
class Clip:
  """A clip to be read.

  Attributes:
    track: its track.
    starts: first frame of each of its snippets (one, where there are none).
    forge: whether the device makes a forgery of it.
  """

  track: Track
  starts: tuple[int, ...]
  forge: bool = False


def long_enough(tracks: Sequence[Track], frames: int) -> tuple[list[Track], list[Track]]:
  """Splits tracks into those of at least so many frames, T or `ClipSpec.least`, and the shorter ones."""
  return [t for t in tracks if t.frames >= frames], [t for t in tracks if t.frames < frames]


def examples(
  tracks: Sequence[Track], spec: ClipSpec, unpaired: str, forgeries: Forgeries = GIVEN
) -> list[tuple[Track, tuple[Track, ...]]]:
  """The examples of one epoch before any random draw: (track, its forgeries), `spec.train_clips` of each.

  For `clip` examples every track is one and has no forgeries beside it. For the others every real track is one,
  beside it the tracks of the forgeries made of it (same `pair`, and same compression where they know it). Where
  forgeries are made, the examples of either kind are the real tracks: beside them are given forgeries or, where all
  are to be made, none.

  Args:
    tracks: training tracks, all long enough, as `forgeries.choose` leaves them.
    spec: the method's clips.
    unpaired: a real track without forgeries of its own is taken with `random` ones (all forged tracks), or `drop`ped.
    forgeries: where they come from.

  Raises:
    UserError: there is nothing to train on.
  """
  needed = {0} if forgeries.source == "self_made" else {0, 1}
  made: list[tuple[Track, tuple[Track, ...]]]
  if forgeries.source == "self_made":
    made = [(t, ()) for t in tracks]
  elif spec.example == "clip" and not forgeries.makes():
    made = [(t, ()) for t in tracks]
  else:
    fakes = [t for t in tracks if t.label == 1]
    by_pair: dict[tuple[str, str, str], list[Track]] = {}
    for t in fakes:
      if t.pair:
        by_pair.setdefault((t.dataset, t.compression, t.pair), []).append(t)
    made = []
    for t in tracks:
      if t.label == 0:
        own = by_pair.get((t.dataset, t.compression, t.pair), [])
        if own or (unpaired == "random" and fakes):
          made.append((t, tuple(own or fakes)))
        elif forgeries.makes():
          made.append((t, ()))
  labels = {t.label for t in tracks}
  if not made or labels != needed:
    kinds = " and ".join(sorted("fake" if label else "real" for label in labels)) or "no"
    raise UserError(
      f"nothing to train on: the training split holds {len(tracks)} face tracks of at least {spec.frames} frames, "
      f"{kinds} videos only; this method needs real and fake ones"
      + (" that share a 'pair'" if spec.example != "clip" else "")
      + ". With real videos alone, config.forgeries=self_made makes the forgeries."
    )
  return [e for e in made for _ in range(spec.train_clips)]


@dataclasses.dataclass(frozen=True)
class _Draw:
  """Turns an index into an epoch's examples into the clips of that example, given randomness."""

  made: Sequence[tuple[Track, tuple[Track, ...]]]
  spec: ClipSpec
  forgeries: Forgeries = GIVEN

  def __call__(self, index: int, rng: np.random.Generator) -> dict[str, Clip]:
    track, forgeries = self.made[index]
    source = self.forgeries.source
    forge = source == "self_made" or (source == "both" and (not forgeries or bool(rng.integers(2))))
    draw = lambda t: Clip(t, tuple(train_starts(self.spec, t.frames, rng).tolist()), forge)  # noqa: E731
    clip = draw(track)
    if source == "self_made" and self.spec.example != "triplet" or source == "given" and self.spec.example == "clip":
      return {"clip": clip}
    forged = track if forge else forgeries[int(rng.integers(len(forgeries)))]
    if self.spec.example != "triplet":
      return {"clip": clip, "given": clip if forge else draw(forged)}
    return {"anchor": clip, "positive": draw(track), "negative": draw(forged), "forged": draw(forged)}


@dataclasses.dataclass(frozen=True)
class _Read:
  """Reads this process's rows of a batch of planned examples.

  A row with a damaged record is replaced by the next readable row of the batch, which is the same one however many
  processes share it. What was damaged is told beside the arrays, one message a line.
  """

  reader: FrameReader
  spec: ClipSpec
  rows: np.ndarray
  replace: bool = False
  forgeries: Forgeries = GIVEN

  def clip(self, clip: Clip) -> np.ndarray:
    snippets = []
    for start in clip.starts:
      places = self.spec.places(start, clip.track.frames)
      read = self.reader.read(clip.track.first + start, min(self.spec.frames, clip.track.frames), clip.track)
      snippets.append(read[places - start])
    return np.stack(snippets) if self.spec.snippets else snippets[0]

  def landmarks(self, clip: Clip) -> np.ndarray:
    points, frames = self.forgeries.landmarks, min(self.spec.frames, clip.track.frames)
    if not clip.track.landmarks:  # a given forgery's, which nobody will use
      return np.zeros((*self.spec.shape(train=True)[:-3], points, 2), np.float32)
    snippets = [
      self.reader.read_landmarks(clip.track.first + start, frames, points)[
        self.spec.places(start, clip.track.frames) - start
      ]
      for start in clip.starts
    ]
    return np.stack(snippets) if self.spec.snippets else snippets[0]

  def example(self, planned: dict[str, Clip]) -> dict[str, np.ndarray | np.generic]:
    read = {id(clip): self.clip(clip) for clip in {id(clip): clip for clip in planned.values()}.values()}
    arrays: dict[str, np.ndarray | np.generic] = {}
    arrays |= {name: read[id(clip)] for name, clip in planned.items()}  # one clip may have two names
    if self.forgeries.makes():
      forged = FORGED[self.spec.example]
      arrays |= {LANDMARKS_OF + name: self.landmarks(planned[name]) for name in forged}
      if self.forgeries.source == "both":
        arrays["forge"] = np.bool_(planned[forged[0]].forge)
    elif len(planned) == 1:
      label = planned["clip"].track.label
      assert label is not None, "nothing unlabelled is trained on"
      arrays["label"] = np.int32(label)
    return arrays

  def __call__(self, batch: list[dict[str, Clip]]) -> tuple[dict[str, np.ndarray], str]:
    rows, damage = [], []
    for row in self.rows:
      for shift in range(len(batch)):
        try:
          rows.append(self.example(batch[(row + shift) % len(batch)]))
          break
        except Unreadable as error:
          if not self.replace:
            raise
          damage.append(str(error))
      else:
        raise Unreadable(f"not one example of a batch of {len(batch)} can be read: {damage[-1]}")
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}, "\n".join(damage)


def local_rows(sharding: jax.sharding.Sharding, batch_size: int) -> np.ndarray:
  """The rows of a global batch that this process's devices hold, in order."""
  slices = sharding.addressable_devices_indices_map((batch_size,)).values()
  return np.unique(np.concatenate([np.arange(batch_size)[index] for index in slices]))


def to_device(arrays: dict[str, np.ndarray], sharding: jax.sharding.Sharding, batch_size: int) -> dict[str, jax.Array]:
  """This process's rows as global arrays, sharded along the batch."""
  return {
    name: jax.make_array_from_process_local_data(sharding, array, (batch_size, *array.shape[1:]))
    for name, array in arrays.items()
  }


def _begin_worker(parent: int, *_: int) -> None:
  """What a reading process does first."""
  signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
  signals.watch_parent(parent)
  signals.name_shared_memory(parent)


def _iterate(dataset: grain.MapDataset, workers: int, prefetch: int) -> Iterator:
  """Reads ahead in order, in threads (no workers; one for each core that this process may use) or in worker processes.

  Threads each read a batch of their own, so that at least as many batches as threads are read ahead.
  """
  if not len(dataset):  # of a run that has come to its end; grain cannot close workers that it never started
    return
  if workers:
    if not flags.FLAGS.is_parsed():
      flags.FLAGS.mark_as_parsed()  # grain reads a flag of its own, also in programs that parse none
    options = grain.ReadOptions(num_threads=1, prefetch_buffer_size=1)
    buffer = max(1, prefetch // workers)
    if swept := signals.sweep_shared_memory():
      _LOG.warning(f"{swept} pieces of shared memory that a killed run had left were removed.")
    atexit.unregister(signals.drop_shared_memory)
    atexit.register(signals.drop_shared_memory)
    begin = functools.partial(_begin_worker, os.getpid())
    dataset = dataset.to_iter_dataset(options).mp_prefetch(grain.MultiprocessingOptions(workers, buffer), begin)
  else:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = min(_MOST_THREADS, cores)
    dataset = dataset.to_iter_dataset(grain.ReadOptions(threads, prefetch_buffer_size=max(threads, prefetch)))
  iterator = iter(dataset)
  try:
    yield from iterator
  finally:
    iterator.close()  # ends the worker processes
    del iterator
    gc.collect()  # grain's iterator is in a cycle with its last element, which lies in shared memory


def _order(made: Sequence[tuple[Track, tuple[Track, ...]]], seed: int, balanced: bool) -> grain.MapDataset:
  """Numbers of the examples in the order in which they come, without end: passes over all of them (over each class)."""

  if not balanced:
    return grain.MapDataset.range(len(made)).seed(seed).shuffle().repeat()
  classes = [[i for i, (track, _) in enumerate(made) if track.label == label] for label in (0, 1)]
  passes = [grain.MapDataset.source(numbers).seed(seed).shuffle().repeat() for numbers in classes]
  return grain.MapDataset.mix(passes).seed(seed)


def train_batches(
  directory: str,
  tracks: Sequence[Track],
  spec: ClipSpec,
  *,
  batch_size: int,
  seed: int,
  steps: range,
  sharding: jax.sharding.Sharding,
  unpaired: str = "random",
  forgeries: Forgeries = GIVEN,
  balanced: bool = False,
  workers: int = 0,
  prefetch: int = 4,
  on_unreadable: Callable[[str], None] | None = None,
) -> Generator[dict[str, jax.Array], None, None]:
  """The training batches of the given steps; batch s is the same however the run came to s.

  Args:
    directory: dataset folder.
    tracks: training tracks, all long enough.
    spec: the method's clips.
    batch_size: examples per global batch.
    seed: order and draws follow from it.
    steps: the batches to give, a range with step 1.
    sharding: of a global batch along its leading axis.
    unpaired, forgeries: see `examples`.
    balanced: real and fake clips take turns, so that half of every batch is of either class; the rarer one comes round
      sooner. Triplets, and examples whose forgeries are made, are so by themselves.
    workers, prefetch: reading processes and batches read ahead.
    on_unreadable: told of each damaged clip, which another one of the batch replaces; without it, damage raises.

  Yields:
    `clip` uint8 `[B, (U,) T, H, W, 3]` and `label` int32 `[B]`, or the four clips of a triplet; where forgeries are to
    be made, what `augment.forged_batch` makes them of.
  """
  made = examples(tracks, spec, unpaired, forgeries)
  reader = FrameReader(directory, "train", spec.size)
  dataset = (
    _order(made, seed, balanced and spec.example == "clip" and not forgeries.makes())
    .random_map(_Draw(made, spec, forgeries))
    .batch(batch_size, batch_fn=list)
    .map(_Read(reader, spec, local_rows(sharding, batch_size), on_unreadable is not None, forgeries))
  )
  # Slicing by step, not a saved iterator state: right for any number of hosts and workers.
  for arrays, damage in _iterate(dataset[steps.start : steps.stop], workers, prefetch):
    for message in damage.splitlines():
      assert on_unreadable is not None, "without it damage raises"
      on_unreadable(message)
    yield to_device(arrays, sharding, batch_size)


def test_batches(
  directory: str,
  tracks: Sequence[Track],
  split: str,
  spec: ClipSpec,
  *,
  batch_size: int,
  sharding: jax.sharding.Sharding,
  prefetch: int = 4,
  forgeries: Forgeries = GIVEN,
) -> Iterator[tuple[jax.Array | np.ndarray, ...]]:
  """All test clips of the tracks, each exactly once, in batches of one size.

  Yields:
    Clips uint8 `[B, (U,) T, H, W, 3]`, and the number of the track that each belongs to `[B]`, -1 for padding of the
    last batch; then the clips' landmarks `[B, (U,) T, P, 2]`, where forgeries are to be made of them.
  """
  spec = dataclasses.replace(spec, snippets=spec.test_snippets or spec.snippets, example="clip")
  plan = [(i, Clip(t, tuple(s))) for i, t in enumerate(tracks) for s in test_starts(spec, t.frames).tolist()]
  owner = np.array([i for i, _ in plan] + [-1] * (-len(plan) % batch_size))
  clips = [{"clip": clip} for _, clip in plan]
  clips += clips[-1:] * (len(owner) - len(clips))
  reader = FrameReader(directory, split, spec.size)
  dataset = (
    grain.MapDataset.source(clips)
    .batch(batch_size, batch_fn=list)
    .map(_Read(reader, spec, local_rows(sharding, batch_size), forgeries=forgeries))
  )
  # In threads, whatever training does: worker processes take seconds to start, and copy every batch.
  for step, (arrays, _) in enumerate(_iterate(dataset, 0, prefetch)):
    arrays = {name: array for name, array in arrays.items() if name not in ("label", "forge")}
    batch, *landmarks = to_device(arrays, sharding, batch_size).values()
    yield batch, owner[step * batch_size : (step + 1) * batch_size], *landmarks
