"""Shards in each other's place, of other builds, or cut: refused, never scored under the wrong labels."""

import json
import shutil

import pytest

from dfdetect_jax import schema
from dfdetect_jax.data.frames import Exchanged, FrameReader
from dfdetect_jax.files import sealed


@pytest.fixture
def data(toy_dataset, tmp_path):
  """A copy of the dataset whose dataset.json knows the sizes of the shards."""
  copy = tmp_path / "data"
  shutil.copytree(toy_dataset, copy)
  shards = [{"file": path.name, "bytes": path.stat().st_size} for path in sorted(copy.glob("faces-*"))]
  meta = json.loads((copy / schema.DATASET_FILE).read_text()) | {"shards": shards}
  (copy / schema.DATASET_FILE).write_text(json.dumps(sealed(meta)))
  return copy


def read_all(data, split):
  reader = FrameReader(str(data), split, 64)
  for track in schema.read_tracks(data, split):
    reader.read(track.first, track.frames, track)


def exchange(data, a, b):
  (data / a).rename(data / "between")
  (data / b).rename(data / a)
  (data / "between").rename(data / b)


def test_whole_shards_are_read(data):
  """Guards against refusing what is right, frame by frame."""
  for split in schema.SPLITS:
    read_all(data, split)


@pytest.mark.parametrize(
  "a, b", [("test-0", "test-1"), ("test-1", "train-1"), ("val-0", "test-0")], ids=["in a split", "train", "val"]
)
@pytest.mark.parametrize("sizes", [True, False], ids=["sizes known", "no sizes"])
def test_exchanged_shards_are_refused(data, a, b, sizes):
  """Guards against scores under other videos' labels: by size where it is known, by what each record says always."""
  if not sizes:
    (data / schema.DATASET_FILE).write_text(json.dumps({"schema_version": schema.SCHEMA_VERSION}))
  names = [next(data.glob(f"faces-{x[:-2]}.array_record-0000{x[-1]}-*")).name for x in (a, b)]
  exchange(data, *names)
  with pytest.raises(Exchanged, match="Put back the right files"):
    read_all(data, "test")


def test_one_shard_in_anothers_place_is_refused(data):
  """Guards against a copy of one shard under another's name, which counts and sizes might not tell."""
  shards = sorted(data.glob("faces-test*"))
  shutil.copyfile(shards[0], shards[1])
  (data / schema.DATASET_FILE).write_text(json.dumps({"schema_version": schema.SCHEMA_VERSION}))
  with pytest.raises(Exchanged, match=r"record \d+ of split 'test' .* but tracks.jsonl tells of frame"):
    read_all(data, "test")


def test_a_missing_or_cut_shard_is_refused_before_it_is_read(data):
  """Guards the sizes: they are compared when the split is opened."""
  shard = next(data.glob("faces-train*"))
  shard.write_bytes(shard.read_bytes()[:-1])
  with pytest.raises(Exchanged, match=r"has \d+ bytes, it was built with"):
    read_all(data, "test")
  shard.unlink()
  with pytest.raises(Exchanged, match="is missing"):
    read_all(data, "train")
