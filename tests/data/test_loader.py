"""Batches: the same for any number of workers, processes and starting points, and made of the right tracks."""

import collections
import dataclasses

import cv2
import jax
import numpy as np
import pytest
import tensorflow_datasets as tfds
from jax.sharding import NamedSharding, PartitionSpec

from dfdetect_jax.augment.forged_batch import side_by_side
from dfdetect_jax.data import loader
from dfdetect_jax.data.forgeries import Forgeries
from dfdetect_jax.errors import UserError
from dfdetect_jax.methods.method import ClipSpec
from dfdetect_jax.schema import read_tracks

CLIP = ClipSpec(frames=4, size=64)
TRIPLET = ClipSpec(frames=4, size=64, example="triplet", train_clips=2)


@pytest.fixture(scope="module")
def rows():
  return NamedSharding(jax.make_mesh((8,), ("data",)), PartitionSpec("data"))


@pytest.fixture(scope="module")
def frames(toy_dataset):
  """All frames of a split in the order of the records, read without the loader."""

  def read(split):
    source = tfds.builder_from_directory(str(toy_dataset)).as_data_source(
      split, decoders={"image": tfds.decode.SkipDecoding()}
    )
    return np.stack([cv2.imdecode(np.frombuffer(r["image"], np.uint8), cv2.IMREAD_COLOR)[..., ::-1] for r in source])

  return {split: read(split) for split in ("train", "test")}


def tracks_of(toy_dataset, split, spec=CLIP):
  return loader.long_enough(read_tracks(toy_dataset, split), spec.frames)[0]


def batches(toy_dataset, rows, spec, steps, **options):
  stream = loader.train_batches(
    str(toy_dataset), tracks_of(toy_dataset, "train", spec), spec, batch_size=8, seed=3, steps=steps, sharding=rows,
    **options,
  )  # fmt: skip
  return [{name: np.asarray(array) for name, array in batch.items()} for batch in stream]


def where(clip, frames):
  """Record index of the first frame of a clip, found by its pixels; all its frames must be consecutive records."""
  flat = clip.reshape(len(clip), -1)
  [start] = [
    i for i in range(len(frames) - len(clip) + 1) if np.array_equal(flat, frames[i : i + len(clip)].reshape(flat.shape))
  ]
  return start


def owner(record, tracks):
  [track] = [t for t in tracks if t.first <= record and record + 4 <= t.first + t.frames]
  return track


@pytest.mark.parametrize("spec", [CLIP, TRIPLET], ids=["clip", "triplet"])
def test_a_batch_is_a_function_of_its_step(toy_dataset, rows, spec):
  """Guards exact resume: starting at step 5, or with more prefetching, gives the batches that step 0 would have led to.

  Ten batches of 8 cross the end of an epoch (19 or 36 examples) more than once.
  """
  whole = batches(toy_dataset, rows, spec, range(10))
  late = batches(toy_dataset, rows, spec, range(5, 10), prefetch=1)
  assert len(whole) == 10 and len(late) == 5
  for a, b in zip(whole[5:], late, strict=True):
    jax.tree.map(np.testing.assert_array_equal, a, b)
  assert not np.array_equal(*(next(iter(batch.values())) for batch in whole[:2]))


@pytest.mark.slow  # starts worker processes that import the library
def test_workers_do_not_change_batches(toy_dataset, rows):
  """Guards against batches that depend on how many processes read them."""
  expected = batches(toy_dataset, rows, TRIPLET, range(2, 6))
  for workers in (1, 3):
    found = batches(toy_dataset, rows, TRIPLET, range(2, 6), workers=workers)
    for a, b in zip(expected, found, strict=True):
      jax.tree.map(np.testing.assert_array_equal, a, b)


def test_processes_read_disjoint_rows_of_the_same_batch(toy_dataset):
  """Guards multi-host reading: what two processes would read, put together, is the batch that one process reads."""
  tracks = tracks_of(toy_dataset, "train", TRIPLET)
  made = loader.examples(tracks, TRIPLET, "random")
  draw = loader._Draw(made, TRIPLET)
  planned = [draw(i, np.random.default_rng(i)) for i in range(6)]
  reader = loader.FrameReader(str(toy_dataset), "train", 64)
  read = lambda rows: loader._Read(reader, TRIPLET, np.array(rows))(planned)[0]  # noqa: E731
  whole, first, second = read([0, 1, 2, 3, 4, 5]), read([0, 1, 2]), read([3, 4, 5])
  for name in whole:
    np.testing.assert_array_equal(whole[name], np.concatenate([first[name], second[name]]))


def test_triplets_are_of_one_pair(toy_dataset, rows, frames):
  """Guards DIP's triplets: anchor and positive of one real track, negative and forged of one forgery of it.

  Clips are found in the shards by their pixels, so that a shifted record index shows.
  """
  tracks = tracks_of(toy_dataset, "train", TRIPLET)
  seen = set()
  for batch in batches(toy_dataset, rows, TRIPLET, range(6)):
    for row in range(8):
      clips = {name: owner(where(array[row], frames["train"]), tracks) for name, array in batch.items()}
      assert clips["anchor"] == clips["positive"] and clips["anchor"].label == 0
      assert clips["negative"] == clips["forged"] and clips["negative"].label == 1
      assert clips["anchor"].pair == clips["negative"].pair
      seen.add((clips["anchor"].video_id, clips["anchor"].track))
  assert seen == {(t.video_id, t.track) for t in tracks if t.label == 0}


def test_an_epoch_holds_every_example_as_often_as_asked(toy_dataset, rows, frames):
  """Guards against examples lost or repeated by shuffling: one epoch is each track exactly `train_clips` times."""
  spec = ClipSpec(frames=4, size=64, train_clips=4)
  tracks = tracks_of(toy_dataset, "train", spec)
  assert len(tracks) * 4 % 8 == 0
  counts = collections.Counter()
  for batch in batches(toy_dataset, rows, spec, range(len(tracks) * 4 // 8)):
    for clip, label in zip(batch["clip"], batch["label"], strict=True):
      track = owner(where(clip, frames["train"]), tracks)
      assert track.label == label
      counts[track.first] += 1
  assert counts == {t.first: 4 for t in tracks}


def test_classes_may_be_balanced(toy_dataset, rows):
  """Guards `balanced`: half of every batch is of either class, each passes through all its own before any comes again,
  and batches stay functions of their step."""
  tracks = [t for i, t in enumerate(tracks_of(toy_dataset, "train")) if t.label or i < 8]
  assert [sum(t.label == label for t in tracks) for label in (0, 1)] == [4, 9]
  made = loader.examples(tracks, CLIP, "random")
  order = loader._order(made, 3, True)
  drawn = [order[i] for i in range(4 * len(tracks))]
  assert [tracks[i].label for i in drawn] == [0, 1] * (2 * len(tracks))
  for label in (0, 1):
    own = drawn[label::2]
    members = {i for i, t in enumerate(tracks) if t.label == label}
    passes = [own[k : k + len(members)] for k in range(0, len(own) - len(members), len(members))]
    assert all(set(one) == members for one in passes) and len(passes) > 1
    assert passes[0] != passes[1] or len(members) < 3
  first, second = batches(toy_dataset, rows, CLIP, range(2), balanced=True)
  assert first["label"].tolist() == second["label"].tolist() == [0, 1] * 4
  [again] = batches(toy_dataset, rows, CLIP, range(1, 2), balanced=True)
  np.testing.assert_array_equal(again["clip"], second["clip"])


def test_snippets_come_stacked(toy_dataset, rows, frames):
  """Guards the U axis: U snippets of T frames of one track, in the order of time."""
  spec = ClipSpec(frames=4, size=64, snippets=3)
  tracks = tracks_of(toy_dataset, "train", spec)
  [batch] = batches(toy_dataset, rows, spec, range(1))
  assert batch["clip"].shape == (8, 3, 4, 64, 64, 3)
  for example in batch["clip"]:
    starts = [where(snippet, frames["train"]) for snippet in example]
    assert len({owner(s, tracks).first for s in starts}) == 1 and starts == sorted(starts)


def test_unpaired_real_videos(toy_dataset):
  """Guards `unpaired`: a real track without its own forgery gets any, or is dropped."""
  tracks = [t for t in tracks_of(toy_dataset, "train") if not (t.label == 1 and t.pair == "train0")]
  fakes = tuple(t for t in tracks if t.label == 1)
  orphaned = [forgeries for t, forgeries in loader.examples(tracks, TRIPLET, "random") if t.pair == "train0"]
  assert orphaned == [fakes] * 4  # two tracks, two clips of each
  dropped = {t.pair for t, _ in loader.examples(tracks, TRIPLET, "drop")}
  assert dropped == {f"train{i}" for i in range(1, 8)}


def test_one_class_alone_cannot_be_trained_on(toy_dataset):
  """Guards the message for a dataset of real videos only."""
  real = [t for t in tracks_of(toy_dataset, "train") if t.label == 0]
  with pytest.raises(UserError, match="holds 9 face tracks of at least 4 frames, real videos only"):
    loader.examples(real, CLIP, "random")


def test_short_tracks_are_left_out(toy_dataset):
  """Guards against clips that run over a short track's end: tracks below T frames are set apart, others kept."""
  whole, short = loader.long_enough(read_tracks(toy_dataset, "train"), CLIP.frames)
  assert [t.frames for t in short] == [3] and min(t.frames for t in whole) >= 4
  assert len(whole) == 18


@pytest.mark.parametrize("batch_size", [8, 16, 24])
def test_each_test_clip_comes_exactly_once(toy_dataset, rows, frames, batch_size):
  """Guards evaluation: all planned windows once, owned by their track, padding marked, at any batch size."""
  spec = ClipSpec(frames=4, size=64, test_clips=0, test_stride=5)
  tracks = tracks_of(toy_dataset, "test", spec)
  expected = collections.Counter((i, t.first + s) for i, t in enumerate(tracks) for s in range(0, t.frames - 3, 5))
  found = collections.Counter()
  for clips, owners in loader.test_batches(
    str(toy_dataset), tracks, "test", spec, batch_size=batch_size, sharding=rows
  ):
    assert clips.shape == (batch_size, 4, 64, 64, 3) and owners.shape == (batch_size,)
    for clip, i in zip(np.asarray(clips), owners, strict=True):
      if i >= 0:
        found[int(i), where(clip, frames["test"])] += 1
  assert found == expected


def test_frames_are_resized_on_request(toy_dataset, frames):
  """Guards the size of clips: area averaging when shrinking (a 2x2 mean here), and RGB order."""
  reader = loader.FrameReader(str(toy_dataset), "train", 32)
  small = reader.read(5, 2, read_tracks(toy_dataset, "train")[0])
  mean = frames["train"][5:7].reshape(2, 32, 2, 32, 2, 3).mean(axis=(2, 4))
  assert small.dtype == np.uint8
  assert np.abs(small - mean).max() <= 0.5


def test_rows_of_a_process_follow_its_devices():
  """Guards the split of a batch: all rows on one process, each once, also when the mesh has two axes."""
  mesh = jax.make_mesh((4, 2), ("data", "fsdp"))
  sharding = NamedSharding(mesh, PartitionSpec(("data", "fsdp")))
  assert loader.local_rows(sharding, 16).tolist() == list(range(16))


def forging(toy_dataset, rows, spec, source, tracks=None, steps=range(3)):
  """Batches of which forgeries are made, and the tracks that they are drawn from."""
  forgeries = Forgeries(source)
  tracks, _ = forgeries.choose(tracks or tracks_of(toy_dataset, "train", spec))
  stream = loader.train_batches(
    str(toy_dataset), tracks, spec, batch_size=8, seed=3, steps=steps, sharding=rows, forgeries=forgeries
  )
  return [{name: np.asarray(array) for name, array in batch.items()} for batch in stream], tracks


@pytest.mark.parametrize("source", ["self_made", "both"])
@pytest.mark.parametrize("spec", [CLIP, TRIPLET], ids=["clip", "triplet"])
def test_what_forgeries_are_made_of(toy_dataset, rows, frames, spec, source):
  """Guards self-made forgeries: real clips of the anchor's own track with the landmarks of those very frames; where
  a forgery is given, one of the same pair, half the time. Shapes are those that the step is compiled for."""
  found, tracks = forging(toy_dataset, rows, spec, source)
  shapes = Forgeries(source).batch_shapes(spec, 8)
  made = 0
  for batch in found:
    assert {n: (a.shape, a.dtype) for n, a in batch.items()} == {n: (s.shape, s.dtype) for n, s in shapes.items()}
    for row in range(8):
      starts = {n: where(a[row], frames["train"]) for n, a in batch.items() if a.ndim == 5}
      owners = {name: owner(start, tracks) for name, start in starts.items()}
      real = owners["clip" if spec is CLIP else "anchor"]
      forge = source == "self_made" or batch["forge"][row]
      made += forge
      assert real.label == 0
      for name in ("given",) if spec is CLIP else ("negative", "forged"):
        if name in owners:
          assert (owners[name] == real) if forge else (owners[name].label == 1 and owners[name].pair == real.pair)
      for name in ("clip",) if spec is CLIP else ("negative", "forged"):
        if forge:
          k = starts[name] - owners[name].first + np.arange(4)
          five = np.array([[0.35, 0.4], [0.65, 0.4], [0.5, 0.55], [0.4, 0.7], [0.6, 0.7]])
          wanted = five + 0.002 * k[:, None, None] + 0.01 * int(real.pair.removeprefix("train"))
          np.testing.assert_allclose(batch[f"landmarks of {name}"][row], wanted, atol=1e-6)
  assert made == 24 if source == "self_made" else 4 < made < 20
  late = forging(toy_dataset, rows, spec, source, steps=range(2, 3))[0]
  jax.tree.map(np.testing.assert_array_equal, found[2], late[0])


def test_self_made_forgeries_need_reals_with_landmarks(toy_dataset):
  """Guards a paragraph for each want: no real video, none with landmarks, other landmarks; and what is left out."""
  tracks = tracks_of(toy_dataset, "train")
  bare = [dataclasses.replace(t, landmarks=0) if t.pair != "train0" else t for t in tracks]
  used, left_out = Forgeries("self_made").choose(bare)
  assert {t.pair for t in used} == {"train0"} and {t.label for t in used} == {0} and len(left_out) == 7
  with pytest.raises(UserError, match="makes forgeries of real videos, and the training split has none"):
    Forgeries("self_made").choose([t for t in tracks if t.label])
  with pytest.raises(UserError, match="needs 68 landmarks with each frame; the 9 real tracks .* have 5"):
    Forgeries("both", landmarks=68).choose(tracks)
  with pytest.raises(UserError, match="config.forgeries=self_made makes the forgeries"):
    loader.examples([t for t in tracks if not t.label], CLIP, "random")


def test_pairs_of_given_forgeries(toy_dataset, rows, frames):
  """Guards `pair` examples: a real clip and a clip of a forgery of the same pair, as the step is compiled for."""
  spec = ClipSpec(frames=4, size=64, example="pair")
  tracks = tracks_of(toy_dataset, "train")
  [batch] = batches(toy_dataset, rows, spec, range(1))
  assert {n: a.shape for n, a in batch.items()} == {n: s.shape for n, s in Forgeries().batch_shapes(spec, 8).items()}
  for real, fake in zip(batch["clip"], batch["given"], strict=True):
    real, fake = (owner(where(clip, frames["train"]), tracks) for clip in (real, fake))
    assert (real.label, fake.label) == (0, 1) and real.pair == fake.pair
  turned = side_by_side(jax.device_put(batch))
  np.testing.assert_array_equal(turned["clip"][1::2], batch["given"])
  assert turned["label"].tolist() == [0, 1] * 8


def test_nothing_to_read_starts_no_workers(monkeypatch):
  """Guards a finished run that is started again: grain ends in a traceback where it closes workers that never began."""
  monkeypatch.setattr(loader.signals, "sweep_shared_memory", lambda: pytest.fail("workers are about to be started"))
  assert list(loader._iterate(loader.grain.MapDataset.range(5)[5:5], 1, 4)) == []
