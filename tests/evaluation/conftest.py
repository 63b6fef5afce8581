"""Runs of the toy method and renamed copies of its dataset, for tests of what may be judged by what."""

import dataclasses
import json
import pathlib
import shutil

import jax
import pytest

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


@pytest.fixture(scope="session")
def copy_dataset():
  """Makes a copy of a dataset folder: `change` maps each track to another one."""

  def copy(source: pathlib.Path, target: pathlib.Path, change, distortion: str = "") -> pathlib.Path:
    shutil.copytree(source, target)
    schema.write_tracks(target, [change(track) for track in schema.read_tracks(target)])
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
