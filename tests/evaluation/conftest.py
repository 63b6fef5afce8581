"""Runs of the toy method and renamed copies of its dataset, for tests of what may be judged by what."""

import dataclasses
import json
import pathlib
import shutil

import jax
import pytest
from array_record.python import array_record_module
from tensorflow_datasets.proto import tf_example_pb2

from data_pipelines.building import shards
from dfdetect_jax import schema
from dfdetect_jax.runs.config import override
from dfdetect_jax.training import loop

FOUR = ("Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures")


def as_faceforensics(track: schema.Track) -> schema.Track:
  """The toy's video as one of FaceForensics++ c23, its forgeries dealt to the four manipulations."""
  if track.label:
    number = int(track.video_id[-1])
    manipulation = FOUR[number % 4]
  else:
    manipulation = "original"
  name = track.video_id.rsplit("/", 1)[1]
  return dataclasses.replace(
    track, dataset="faceforensics", manipulation=manipulation, video_id=f"faceforensics/{manipulation}/c23/{name}"
  )


def rename_records(directory: pathlib.Path, before: list[schema.Track], after: list[schema.Track]) -> None:
  """Makes the records of a dataset's shards say the ids and labels of other tracks; readers compare them."""
  names = {old.video_id: new for old, new in zip(before, after, strict=True)}
  if all(old.video_id == new.video_id and old.label == new.label for old, new in zip(before, after, strict=True)):
    return
  for path in directory.glob("faces-*"):
    reader = array_record_module.ArrayRecordReader(str(path))
    records = reader.read(0, reader.num_records())
    reader.close()
    writer = shards.ShardWriter(path)
    for record in records:
      example = tf_example_pb2.Example.FromString(record)
      features = example.features.feature
      new = names[features["video_id"].bytes_list.value[0].decode()]
      features["video_id"].bytes_list.value[0] = new.video_id.encode()
      features["label"].int64_list.value[0] = new.label
      writer.write(example.SerializeToString(deterministic=True))
    writer.close()


@pytest.fixture(scope="session")
def copy_dataset():
  """Makes a copy of a dataset folder: `change` maps each track to another one."""

  def copy(source: pathlib.Path, target: pathlib.Path, change, distortion: str = "") -> pathlib.Path:
    shutil.copytree(source, target)
    before = schema.read_tracks(target)
    after = [change(track) for track in before]
    schema.write_tracks(target, after)
    rename_records(target, before, after)
    (target / schema.FAILURES_FILE).unlink(missing_ok=True)
    metadata = {"schema_version": schema.SCHEMA_VERSION, "choices": {"distortion": distortion}}
    (target / schema.DATASET_FILE).write_text(json.dumps(metadata))
    return target

  return copy


@pytest.fixture(scope="session")
def ffpp(toy_dataset, copy_dataset, tmp_path_factory) -> pathlib.Path:
  """The toy dataset under FaceForensics++'s names."""
  return copy_dataset(toy_dataset, tmp_path_factory.mktemp("ffpp") / "ffpp_c23", as_faceforensics)


@pytest.fixture(scope="session")
def toy_run(toy, ffpp, tmp_path_factory) -> pathlib.Path:
  """Workdir of five steps on `ffpp`."""
  workdir = tmp_path_factory.mktemp("run")
  config = override(toy.get_config().unlock(), {"data": str(ffpp), "total_steps": 5, "eval_every": 0})
  with jax.numpy_dtype_promotion("standard"):
    loop.train_and_evaluate(config, workdir)
  return workdir
