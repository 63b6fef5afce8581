"""Face crops to a TFDS dataset in ArrayRecord, one record per frame, without TensorFlow.

Bytes depend on the crops alone: records are uncompressed (pictures already are) and serialised in a fixed order. A
shard appears under its name when it is complete, never before.
"""

import contextlib
import os
import pathlib
from collections.abc import Iterator

import numpy as np
from array_record.python import array_record_module
from tensorflow_datasets.proto import tf_example_pb2

from dfdetect_jax.errors import unwritable
from dfdetect_jax.files import file_sha256
from dfdetect_jax.schema import FRAME_FEATURES, LANDMARKS

DATASET_NAME = "faces"
# group_size:1 lets a reader fetch one frame without its neighbours.
WRITER_OPTIONS = "group_size:1,uncompressed"


def shard_name(split: str, index: int, count: int) -> str:
  """File name of shard `index` of `count` of a split, as TFDS expects it."""
  return f"{DATASET_NAME}-{split}.array_record-{index:05d}-of-{count:05d}"


def frame_record(
  image: bytes, video_id: str, track: int, frame_index: int, label: int, landmarks: np.ndarray | None = None
) -> bytes:
  """One serialised record with `FRAME_FEATURES`, and `LANDMARKS` `[P, 2]` (none: an empty list)."""
  example = tf_example_pb2.Example()
  features = example.features.feature
  for name, value in zip(FRAME_FEATURES, (image, video_id, track, frame_index, label), strict=True):
    if isinstance(value, int):
      features[name].int64_list.value.append(value)
    else:
      features[name].bytes_list.value.append(value.encode() if isinstance(value, str) else value)
  features[LANDMARKS].float_list.SetInParent()  # an empty list is a value too: TFDS asks for every feature
  if landmarks is not None:
    features[LANDMARKS].float_list.value.extend(landmarks.ravel().tolist())
  return example.SerializeToString(deterministic=True)


@contextlib.contextmanager
def writing(where: pathlib.Path) -> Iterator[None]:
  """A block that writes: what goes wrong is told in a sentence with the file, or with `where`.

  Raises:
    UserError: something cannot be written, because the disk is full or a folder lies in its place.
  """
  try:
    yield
  except OSError as error:
    cure = "make room for it, or remove what lies there"
    raise unwritable(error.filename2 or error.filename or where, error, cure) from error


class ShardWriter:
  """Writes one shard; under its own name only after `close`.

  Attributes:
    records: number of records written.
  """

  def __init__(self, path: pathlib.Path):
    self.records = 0
    self._path = path
    # The process id keeps a worker that outlived its parent from writing into its successor's file.
    self._partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    self._writer = array_record_module.ArrayRecordWriter(str(self._partial), WRITER_OPTIONS)

  def write(self, record: bytes) -> None:
    """Appends a record."""
    try:
      self._writer.write(record)
    except Exception as error:
      raise unwritable(self._partial, error, "is the disk full? Make room for it") from error
    self.records += 1

  def close(self) -> str:
    """Finishes the shard and gives it its name; returns its SHA-256."""
    try:
      self._writer.close()
    except Exception as error:
      raise unwritable(self._partial, error, "is the disk full? Make room for it") from error
    checksum = file_sha256(self._partial)
    with writing(self._path):
      self._partial.replace(self._path)
    return checksum

  def discard(self) -> None:
    """Removes what has been written."""
    if self._writer.is_open():
      self._writer.close()
    self._partial.unlink(missing_ok=True)


def write_tfds_metadata(directory: pathlib.Path, size: int, records: dict[str, list[int]]) -> None:
  """Writes `features.json` and `dataset_info.json`, which `tfds.builder_from_directory` reads.

  Args:
    directory: the dataset folder.
    size: height and width of the crops in pixels.
    records: number of records of each shard of each split.
  """
  import tensorflow_datasets as tfds  # two seconds: only the last step of a build needs it

  features = tfds.features.FeaturesDict(
    {
      "image": tfds.features.Image(shape=(size, size, 3)),
      "video_id": tfds.features.Text(),
      "track": np.int64,
      "frame_index": np.int64,
      "label": np.int64,
      LANDMARKS: tfds.features.Tensor(shape=(None, 2), dtype=np.float32),
    }
  )
  template = "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"
  splits = [
    tfds.core.SplitInfo(
      name=split,
      shard_lengths=lengths,
      num_bytes=sum((directory / shard_name(split, i, len(lengths))).stat().st_size for i in range(len(lengths))),
      filename_template=tfds.core.ShardedFileTemplate(
        data_dir=directory, dataset_name=DATASET_NAME, split=split, filetype_suffix="array_record", template=template
      ),
    )
    for split, lengths in records.items()
  ]
  tfds.folder_dataset.write_metadata(
    data_dir=directory,
    features=features,
    split_infos=splits,
    version="1.0.0",
    filename_template=template,
    check_data=False,  # that check would need TensorFlow
  )
