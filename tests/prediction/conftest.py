"""A judge that compiles in no time: the toy method with random weights, and a detector that finds coloured squares."""

import av
import numpy as np
import pytest

from data_pipelines.faces.detectors.detector import Face
from data_pipelines.faces.face_tracks import FaceOptions

HEIGHT, WIDTH = 96, 160


class Squares:
  """Finds the red, green and blue squares that `scene` draws."""

  version = "squares"

  def detect(self, images):
    found = []
    for image in images.astype(int):
      faces = []
      for channel in range(3):
        others = [c for c in range(3) if c != channel]
        rows, columns = np.nonzero((image[..., channel] > 150) & (image[..., others].max(axis=-1) < 110))
        if len(rows) > 200:
          box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
          faces.append(Face(np.array(box, np.float64), 1.0))
      found.append(faces)
    return found


def scene(frames, faces, seed=0):
  """Frames of a grey noisy room; `faces` are (channel, first, end, x): a textured square on frames first … end - 1."""
  rng = np.random.default_rng(seed)
  images = []
  for n in range(frames):
    image = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
    for channel, first, end, x in faces:
      if first <= n < end:
        square = rng.integers(0, 60, (4, 4, 3)).astype(np.uint8)
        square[..., channel] = rng.integers(200, 255, (4, 4))
        image[30:70, x : x + 40] = np.kron(square, np.ones((10, 10, 1), np.uint8))
    images.append(image)
  return images


def write(path, images, rate=25, times=None, sound=0.0):
  """Writes frames as a video, `times` in units of 1/rate, with so many seconds of a tone beside it."""
  with av.open(str(path), "w", format="mp4") as output:
    stream = output.add_stream("libx264", rate=rate, options={"crf": "4", "preset": "ultrafast"})
    stream.width, stream.height, stream.pix_fmt = images[0].shape[1], images[0].shape[0], "yuv444p"
    stream.codec_context.thread_count = 1
    audio = output.add_stream("aac", rate=16000, layout="mono") if sound else None
    for n, image in enumerate(images):
      frame = av.VideoFrame.from_ndarray(image, format="rgb24")
      frame.pts = n if times is None else times[n]
      output.mux(stream.encode(frame))
    output.mux(stream.encode(None))
    if sound:
      for start in range(0, int(sound * 16000), 1024):
        tone = np.sin(np.arange(start, start + 1024) * 0.1).astype(np.float32)[None]
        frame = av.AudioFrame.from_ndarray(tone, format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 16000, start
        output.mux(audio.encode(frame))
      output.mux(audio.encode(None))
  return path


@pytest.fixture
def write_film():
  """`write`, for tests that have frames of their own."""
  return write


@pytest.fixture
def film(tmp_path):
  """`film(name, frames, faces, …)` writes a video of `scene` and returns its path."""
  return lambda name, frames, faces, **options: write(tmp_path / name, scene(frames, faces), **options)


@pytest.fixture(scope="session")
def toy_judge(toy, randomised):
  """`toy_judge(**changes)` gives a `Judge` of the toy method with random weights and the detector of squares."""
  import dataclasses

  import jax
  import ml_collections

  from dfdetect_jax import methods
  from dfdetect_jax.devices.mesh import make_mesh
  from dfdetect_jax.evaluation.calibration import Decision, Reliability
  from dfdetect_jax.prediction import judge
  from dfdetect_jax.prediction.clips import Dense
  from dfdetect_jax.runs.restore import Run

  config = toy.get_config()
  method = methods.build(config)
  mesh = make_mesh(ml_collections.ConfigDict({"data": 1, "fsdp": 1}), jax.devices()[:1])
  variables = randomised(method)
  made = judge.Judge(
    workdir="runs/toy",
    run=Run(config, method, mesh, variables, 20, "teacher", ""),
    scorer=judge.make_scorer(method, mesh),
    detector=Squares(),
    faces=FaceOptions(size=32, min_frames=4, max_tracks=0),
    decision=Decision(threshold=0.5, lower=0.45, upper=0.55, temperature=2.0, origin="for a test"),
    reliability=Reliability(),
    over_tracks="max",
    dense=Dense(),
    batch_size=3,
  )
  return lambda **changes: dataclasses.replace(made, **changes)
