"""Shards: records that read back, files that appear whole, and clips that cost what their frames cost."""

import json
import pathlib

import numpy as np
import pytest
import tensorflow_datasets as tfds
from array_record.python import array_record_module

from data_pipelines.building import shards, verification
from dfdetect_jax import schema
from dfdetect_jax.errors import UserError
from dfdetect_jax.files import file_sha256


def record(rng, k):
  return shards.frame_record(rng.bytes(60_000), "set/original/c23/name", 0, k, 1)


def test_a_record_reads_back_and_its_bytes_are_fixed():
  """Guards the record layout and its determinism (a protobuf map has no order of its own)."""
  data = shards.frame_record(b"picture", "a/b/c/d", 2, 7, 0)
  assert verification._features(data) == {
    "image": b"picture",
    "video_id": b"a/b/c/d",
    "track": 2,
    "frame_index": 7,
    "label": 0,
  }
  assert data == shards.frame_record(b"picture", "a/b/c/d", 2, 7, 0)


def test_a_shard_appears_when_it_is_whole(tmp_path):
  """Guards readers and resumed builds against half-written shards under a finished name."""
  path = tmp_path / shards.shard_name("train", 0, 1)
  writer = shards.ShardWriter(path)
  writer.write(record(np.random.default_rng(0), 0))
  assert not path.exists()
  assert writer.close() == file_sha256(path)
  assert [p.name for p in tmp_path.iterdir()] == ["faces-train.array_record-00000-of-00001"]
  other = shards.ShardWriter(tmp_path / "other")
  other.discard()
  assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.skipif(not pathlib.Path("/proc/self/io").exists(), reason="counts bytes with /proc/self/io")
def test_a_clip_costs_its_frames(tmp_path):
  """Guards group_size:1: T frames out of the middle must not read their whole group, block or shard."""
  path = tmp_path / "shard"
  writer = shards.ShardWriter(path)
  rng = np.random.default_rng(0)
  for k in range(100):
    writer.write(record(rng, k))
  writer.close()
  reader = array_record_module.ArrayRecordReader(str(path), "readahead_buffer_size:0")

  def bytes_read():
    return int(pathlib.Path("/proc/self/io").read_text().split("rchar: ")[1].split()[0])

  reader.read([90])  # opens what is opened once
  before = bytes_read()
  frames = reader.read(list(range(40, 56)))
  read = bytes_read() - before
  reader.close()
  assert 1.0 <= read / sum(map(len, frames)) < 1.02


def test_landmarks_read_back_with_the_record(tmp_path):
  """Guards schema version 2: points of any number, and none, through TFDS's own reader as float32 `[P, 2]`."""
  points = np.random.default_rng(1).normal(0.5, 1, (5, 2)).astype(np.float32)
  writer = shards.ShardWriter(tmp_path / shards.shard_name("train", 0, 1))
  for k, landmarks in enumerate((points, None, np.tile(points, (13, 1)))):
    writer.write(shards.frame_record(b"", "a/b/c/d", 0, k, 1, landmarks))
  writer.close()
  shards.write_tfds_metadata(tmp_path, 8, {"train": [3]})
  skip = {"image": tfds.decode.SkipDecoding()}
  read = [r["landmarks"] for r in tfds.builder_from_directory(str(tmp_path)).as_data_source("train", decoders=skip)]
  np.testing.assert_array_equal(read[0], points)
  assert [r.shape for r in read] == [(5, 2), (0, 2), (65, 2)] and read[0].dtype == np.float32


def test_version_1_is_still_read(toy_dataset, tmp_path):
  """Guards shards built before landmarks: their tracks have none; a version from the future is refused by number."""
  lines = [json.loads(line) for line in (toy_dataset / schema.TRACKS_FILE).read_text().splitlines()]
  text = "".join(json.dumps({k: v for k, v in line.items() if k != "landmarks"}) + "\n" for line in lines)
  (tmp_path / schema.TRACKS_FILE).write_text(text)
  (tmp_path / schema.DATASET_FILE).write_text(json.dumps({"schema_version": 1}))
  assert [t.landmarks for t in schema.read_tracks(tmp_path)] == [0] * len(lines)
  (tmp_path / schema.DATASET_FILE).write_text(json.dumps({"schema_version": 3}))
  with pytest.raises(UserError, match="schema version 3, this program reads versions 1 and 2"):
    schema.read_tracks(tmp_path)
