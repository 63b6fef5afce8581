"""What a figure is drawn of: face crops of a real video and of forgeries of it, from shards or from video files."""

import dataclasses
import pathlib
from collections.abc import Sequence

import numpy as np

from data_pipelines.faces.detectors import detector as detectors
from data_pipelines.faces.face_tracks import FaceOptions, face_tracks
from dfdetect_jax.data.frames import FrameReader
from dfdetect_jax.data.resizing import resize
from dfdetect_jax.errors import UserError
from dfdetect_jax.schema import Track, read_tracks

MOST_FRAMES = 128  # of a video that are read: figures show a second or two


@dataclasses.dataclass(frozen=True, eq=False)
class Sample:
  """Consecutive face crops of one video.

  Attributes:
    name: id or file of the video.
    kind: what a column is called: "real", a manipulation, or the file's name.
    label: 1 = fake, 0 = real, None = unknown.
    frames: `[n, S, S, 3]` uint8 RGB.
    forged: bool `[n]`, the frames known to be forged.
  """

  name: str
  kind: str
  label: int | None
  frames: np.ndarray
  forged: np.ndarray


def from_shards(folder: str | pathlib.Path, size: int, split: str = "test") -> list[Sample]:
  """A real video and the forgeries made of it: of the pair with the most forgeries, the first one.

  Args:
    folder: dataset folder.
    size: of the crops in pixels.
    split: train, val or test.

  Returns:
    The real video first, then the fakes by manipulation, all with as many frames as the shortest has (at most
    `MOST_FRAMES`).

  Raises:
    UserError: there is no real video, or no fake, in the split.
  """
  tracks = [t for t in read_tracks(folder, split) if t.track == 0]
  reals = [t for t in tracks if t.label == 0]
  fakes: dict[str, dict[str, Track]] = {}
  for track in tracks:
    if track.label == 1:
      fakes.setdefault(track.pair, {}).setdefault(track.manipulation, track)
  if not reals or not fakes:
    raise UserError(f"{folder} has no {'real' if fakes else 'forged'} video in '{split}': a figure compares both.")
  # Without pairs the forgeries are of somebody else.
  real = max(reals, key=lambda t: len(fakes.get(t.pair, {})) if t.pair else -1)
  own = fakes.get(real.pair) or max(fakes.values(), key=len)
  chosen = [real, *(own[name] for name in sorted(own))]
  length = min(MOST_FRAMES, *(t.frames for t in chosen))
  reader = FrameReader(str(folder), split, size)
  return [
    Sample(
      name=t.video_id,
      kind=t.manipulation if t.label else "real",
      label=t.label,
      frames=reader.read(t.first, length, t),
      forged=np.full(length, bool(t.label)),
    )
    for t in chosen
  ]


def from_videos(paths: Sequence[str | pathlib.Path], size: int) -> list[Sample]:
  """The largest face track of each file; what is forged in it nobody knows.

  Raises:
    UserError: a file cannot be used, or shows no face.
  """
  detector = detectors.create("mtcnn", "")
  samples = []
  for path in paths:
    options = FaceOptions(size=size, max_tracks=1, min_frames=2, max_frames=4 * MOST_FRAMES)
    try:
      [track] = face_tracks(path, options, detector)
      crops = [resize(crop, size) for _, crop in zip(range(MOST_FRAMES), track.crops())]
    except UserError as error:
      raise UserError(f"{path}: {error}") from error
    samples.append(Sample(str(path), pathlib.Path(path).stem, None, np.stack(crops), np.zeros(len(crops), bool)))
  return samples


def spliced(real: Sample, fake: Sample, first: int, last: int) -> Sample:
  """The real video with the frames `first` … `last` − 1 of the forgery of it: partly forged, and known where."""
  frames, forged = real.frames.copy(), real.forged.copy()
  frames[first:last], forged[first:last] = fake.frames[first:last], True
  return Sample(f"{real.name} with frames {first} to {last - 1} of {fake.name}", f"part {fake.kind}", 1, frames, forged)
