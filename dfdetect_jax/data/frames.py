"""Reads face crops from the shards of one split."""

import functools
import pathlib
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import tensorflow_datasets as tfds
from tensorflow_datasets.core import decode
from tensorflow_datasets.proto import tf_example_pb2

from dfdetect_jax.augment.face_mask import five_points
from dfdetect_jax.data.resizing import resize
from dfdetect_jax.errors import UserError
from dfdetect_jax.folders import as_folder
from dfdetect_jax.schema import LANDMARKS, TRACKS_FILE, Track, read_metadata

_CURE = "Put back the right files, or build the shards again; 'python -m data_pipelines.verify' finds all of them."


class Unreadable(UserError):
  """A record is damaged or missing."""


class Exchanged(UserError):
  """A record is another one than the list of tracks says: nothing that is read there can be trusted."""


class FrameReader:
  """Decoded frames of one split, by record index. Opens its files on first use, so that it can be sent to a worker.

  Args:
    directory: dataset folder made by data_pipelines.build.
    split: train, val or test.
    size: frames are resized to this height and width (area when shrinking, bicubic when growing).
  """

  def __init__(self, directory: str, split: str, size: int):
    self.directory, self.split, self.size = str(directory), split, size

  @functools.cached_property
  def _source(self) -> Sequence[Any]:
    # Several reading processes and OpenCV's own threads would get in each other's way.
    cv2.setNumThreads(1)
    _check_sizes(self.directory)
    builder = tfds.builder_from_directory(self.directory)
    return builder.as_data_source(self.split, deserialize_method=decode.DeserializeMethod.RAW_BYTES)

  def __getstate__(self):
    return {"directory": self.directory, "split": self.split, "size": self.size}

  def read(self, first: int, count: int, track: Track) -> np.ndarray:
    """Reads records first … first + count - 1.

    Args:
      first: index among the records of the split.
      count: of records.
      track: that they belong to; each record says its video, track, frame and label, which are compared with it.

    Returns:
      uint8 RGB `[count, size, size, 3]`.

    Raises:
      Unreadable: a record cannot be read or decoded.
      Exchanged: a record is not of the track, or a shard is not as long as it was built.
    """
    try:
      # One by one: reading them at once starts threads for each call and costs six times as much (0.45 ms for 8 records
      # of 8 KiB against 0.08); TFDS's own parsing of all features would cost 0.4 ms more.
      records = [_features(self._source[index]) for index in range(first, first + count)]
      images = [record["image"].bytes_list.value[0] for record in records]
      found = [_identity(record) for record in records]
    except Exchanged:
      raise
    except Exception as error:  # the reader's own errors name neither folder nor split
      raise Unreadable(
        f"records {first} to {first + count - 1} of split '{self.split}' in {self.directory} cannot be read ({error}): "
        f"check the shards with 'python -m data_pipelines.verify {self.directory}'."
      ) from error
    for index, identity in enumerate(found, first):
      frame = track.first_frame + index - track.first
      if identity != (track.video_id, track.track, frame, track.label):
        video, number, frame_found, label = identity
        raise Exchanged(
          f"record {index} of split '{self.split}' in {self.directory} is frame {frame_found} of track {number} of "
          f"'{video}' (label {label}), but {TRACKS_FILE} tells of frame {frame} of track {track.track} of "
          f"'{track.video_id}' (label {track.label}): shards were exchanged, or are of another build. {_CURE}"
        )
    return np.stack([self._decode(image, first + i) for i, image in enumerate(images)])

  def read_landmarks(self, first: int, count: int, points: int) -> np.ndarray:
    """The landmarks of records first … first + count - 1, as `points` points.

    Returns:
      float32 `[count, points, 2]` in units of the crop's side.

    Raises:
      Unreadable: a record cannot be read, or has other landmarks.
    """
    try:
      records = [_features(self._source[index]) for index in range(first, first + count)]
      found = np.array([record[LANDMARKS].float_list.value for record in records], np.float32).reshape(count, -1, 2)
    except Exception as error:  # the reader's own errors name neither folder nor split
      raise Unreadable(
        f"landmarks of records {first} to {first + count - 1} of split '{self.split}' in {self.directory} cannot be "
        f"read ({error}): check the shards with 'python -m data_pipelines.verify {self.directory}'."
      ) from error
    if points == 5 and found.shape[1] == 68:
      found = np.asarray(five_points(found))
    if found.shape[1] != points or not np.isfinite(found).all():
      raise Unreadable(
        f"records {first} to {first + count - 1} of split '{self.split}' in {self.directory} have {found.shape[1]} "
        f"landmarks or not finite ones, not {points}: check the shards with 'python -m data_pipelines.verify "
        f"{self.directory}'."
      )
    return found

  def _decode(self, encoded: bytes, index: int) -> np.ndarray:
    frame = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR_RGB)
    if frame is None:
      raise Unreadable(
        f"record {index} of split '{self.split}' in {self.directory} is not an image: check the shards with "
        f"'python -m data_pipelines.verify {self.directory}'."
      )
    return resize(frame, self.size)


def _features(record: bytes):
  """The features of a serialised record, by name."""
  return tf_example_pb2.Example.FromString(record).features.feature


def _identity(features) -> tuple[str, int, int, int]:
  """Video, track, frame and label that a record says it is of."""
  numbers = (features[name].int64_list.value[0] for name in ("track", "frame_index", "label"))
  return features["video_id"].bytes_list.value[0].decode(), *numbers


def _check_sizes(directory: str) -> None:
  """Compares the shards' sizes with those noted when they were built; costs no reading.

  Raises:
    Exchanged: a shard is missing, or of another size.
  """
  folder = as_folder(directory)
  for shard in read_metadata(folder).get("shards", []):
    path = folder / shard["file"]
    if "bytes" in shard and isinstance(path, pathlib.Path):  # in a bucket each would be a request
      size = path.stat().st_size if path.is_file() else None
      if size != shard["bytes"]:
        is_now = "is missing" if size is None else f"has {size} bytes"
        raise Exchanged(f"{path} {is_now}, it was built with {shard['bytes']}. {_CURE}")
