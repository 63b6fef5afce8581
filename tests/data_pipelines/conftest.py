"""Small videos that tests write themselves, and boxes for them, so that no face need be found to test the road."""

import csv
import pathlib
from collections.abc import Callable, Sequence

import av
import numpy as np
import pytest


def picture(seed: int, height: int = 96, width: int = 128) -> np.ndarray:
  """A smooth random picture `[H, W, 3]` uint8, unlike that of any other seed."""
  rng = np.random.default_rng(seed)
  y, x = np.mgrid[0:height, 0:width] / max(height, width)
  waves = [np.sin(2 * np.pi * (f[0] * x + f[1] * y) + f[2]) for f in rng.uniform(-3, 3, (3, 3))]
  return np.round(127.5 + 100 * np.stack(waves, -1)).astype(np.uint8)


def encode(
  path: pathlib.Path,
  frames: Sequence[np.ndarray],
  codec: str = "libx264",
  rate: int = 25,
  times: Sequence[int] | None = None,
  rotation: int = 0,
  pixels: str = "yuv420p",
  container: str | None = None,
) -> pathlib.Path:
  """Writes frames as a video; `times` are presentation times in units of 1/rate."""
  with av.open(str(path), "w", format=container) as output:
    stream = output.add_stream(codec, rate=rate)
    stream.width, stream.height, stream.pix_fmt = frames[0].shape[1], frames[0].shape[0], pixels
    if codec == "libx264":
      stream.options = {"crf": "10", "preset": "ultrafast"}
    if rotation:
      stream.set_display_rotation(rotation)
    for n, image in enumerate(frames):
      frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
      frame.pts = n if times is None else times[n]
      output.mux(stream.encode(frame))
    output.mux(stream.encode(None))
  return path


def moving(seed: int, count: int = 20, height: int = 96, width: int = 128) -> list[np.ndarray]:
  """Frames of one picture that moves by a pixel per frame."""
  wide = picture(seed, height, width + count)
  return [wide[:, n : n + width] for n in range(count)]


@pytest.fixture
def write_video() -> Callable[..., pathlib.Path]:
  """`encode`, for tests that write a special file."""
  return encode


@pytest.fixture
def moving_frames() -> Callable[..., list[np.ndarray]]:
  """`moving`, for tests that need frames."""
  return moving


@pytest.fixture
def dataset(tmp_path) -> Callable[..., list[str]]:
  """Writes a manifest of good and of broken videos with boxes for the good ones; returns the build's arguments."""

  def make(good: int = 4, bad: Sequence[tuple[str, bytes]] = (), frames: int = 20) -> list[str]:
    folder = tmp_path / "videos"
    folder.mkdir()
    rows, boxes = [], []
    for n in range(good):
      name = f"good{n}.mp4"
      encode(folder / name, moving(n, frames))
      rows.append((name, ("real", "fake")[n % 2], ("train", "val")[n // 2 % 2], f"pair{n // 2}", "kept"))
      boxes += [(name, frame, 40 + frame / 2, 30, 80 + frame / 2, 70) for frame in range(0, frames, 5)]
    for name, content in bad:
      (folder / name).write_bytes(content)
      rows.append((name, "real", "train", "", ""))
      boxes += [(name, frame, 40, 30, 80, 70) for frame in range(0, frames, 5)]
    for file, header, lines in (
      ("list.csv", ("path", "label", "split", "pair", "note"), rows),
      ("boxes.csv", ("video", "frame", "x1", "y1", "x2", "y2"), boxes),
    ):
      with (folder / file).open("w", newline="") as opened:
        csv.writer(opened).writerows([header, *lines])
    manifest, detections = folder / "list.csv", folder / "boxes.csv"
    return [
      "--source=manifest",
      f"--manifest={manifest}",
      "--detector=precomputed",
      f"--detections={detections}",
      "--size=32",
    ]

  return make
