"""What a build is asked for: every choice of `data_pipelines.build` as one value."""

import dataclasses
import pathlib

from data_pipelines.building import duplicates, retry
from data_pipelines.building.plan import Settings
from data_pipelines.faces import landmarks
from data_pipelines.faces.detectors import detector as detectors
from data_pipelines.faces.face_tracks import FaceOptions
from data_pipelines.sources import registry
from data_pipelines.video import encoding
from dfdetect_jax.errors import UserError, did_you_mean
from dfdetect_jax.schema import SPLITS


@dataclasses.dataclass(frozen=True, kw_only=True)
class BuildOptions:
  """What to read, how faces are found and cut, and how the work is done.

      build(BuildOptions(source="manifest", manifest="videos.csv", output="shards"))

  Attributes:
    source: layout of the videos (`registry.NAMES`), or a module of your own by its path.
    output: folder of the shards.
    root: the dataset's folder.
    manifest: the list of the `manifest` source.
    splits, compressions, manipulations: only these; empty = all (of manipulations: the source's default).
    reals: FaceForensics++'s root, for deeper_forensics.
    clean_reals: deeper_forensics: do not distort the reals of a distorted set alike.
    strict_people: keep people of several splits apart, where the authors' own split does not.
    only: text file that names the videos to take, one a line.
    draw: dfdc: so many real videos of the training parts, with all forgeries of them, as test; 0 = none.
    divide: shares of train, val and test of a folder without split folders; empty = all is test.
    seed: of `draw` and `divide`.
    detector, detector_model, detections: who finds the faces; its model; boxes for `precomputed`.
    landmarks: kept with each frame: the detector's own five, "detector", or "dlib68", by `landmarks_model`, a file.
    target_boxes: a forgery takes its target video's face boxes.
    max_tracks: people per video, 0 = all.
    min_frames: shortest track kept.
    max_frames: first frames used, 0 = all; of splits that `max_frames_by_split` names, those.
    key_frames: detect on every so many-th frame.
    size: height and width of the crops in pixels.
    margin: the crop's side in face boxes.
    align: how each track is turned and scaled, see `FaceOptions`.
    encoding: png, webp, or jpeg:95.
    workers: processes; 0 = one per core.
    part: "I/N" builds part I of N.
    timeout: seconds without progress after which a video is broken.
    retry: of what was begun before, build again what `failed`, what `changed`, or `all` of that; "" = nothing.
    duplicates: files of one content under two labels or in two splits: refuse, drop or keep.

  Raises:
    UserError: a value that cannot be, told as the flag of the same name.
  """

  source: str
  output: pathlib.Path | str | None = None
  root: pathlib.Path | None = None
  manifest: str = ""
  splits: tuple[str, ...] = SPLITS
  compressions: tuple[str, ...] = ()
  manipulations: tuple[str, ...] = ()
  reals: str = ""
  clean_reals: bool = False
  strict_people: bool = False
  only: pathlib.Path | None = None
  draw: int = 0
  divide: tuple[float, ...] = ()
  seed: int = 0
  detector: str = "mtcnn"
  detector_model: str = ""
  detections: str = ""
  landmarks: str = "detector"
  landmarks_model: str = ""
  target_boxes: bool = False
  max_tracks: int = 1
  min_frames: int = 16
  max_frames: int = 0
  max_frames_by_split: tuple[tuple[str, int], ...] = ()
  key_frames: int = 5
  size: int = 224
  margin: float = 1.3
  align: bool | str = False
  encoding: str = "png"
  workers: int = 0
  part: str = ""
  timeout: float = 300.0
  retry: str = ""
  duplicates: str = "refuse"

  @property
  def stored_root(self) -> str:
    """The folder that stored paths are relative to."""
    return str(self.root or (pathlib.Path(self.manifest).parent if self.manifest else ""))


def settings_of(options: BuildOptions) -> Settings:
  """What of the options shapes the dataset's bytes, checked.

  Raises:
    UserError: a value that cannot be.
  """
  for name, least in (("size", 16), ("margin", 1.0), ("key_frames", 1), ("min_frames", 1), ("max_tracks", 0)):
    if getattr(options, name) < least:
      raise UserError(f"--{name.replace('_', '-')}={getattr(options, name)} is too small: at least {least}.")
  for name, known in (
    ("detector", detectors.NAMES), ("retry", retry.POLICIES), ("duplicates", duplicates.POLICIES),
    ("landmarks", ("detector", "dlib68")),
  ):  # fmt: skip
    if (given := getattr(options, name)) not in known:
      raise UserError(f"--{name}={given}: it is one of {', '.join(filter(None, known))}.{did_you_mean(given, known)}")
  if options.detections and options.detector != "precomputed":
    raise UserError("--detections goes with --detector=precomputed.")
  cropped = getattr(registry.load(options.source), "CROPPED", False)
  if (options.landmarks == "dlib68") != bool(options.landmarks_model):
    raise UserError("--landmarks=dlib68 and --landmarks-model=FILE (dlib's 68-point predictor) go with each other.")
  if options.landmarks_model:
    if cropped:
      raise UserError(f"--landmarks=dlib68: the source '{options.source}' has ready crops, which get no landmarks.")
    if not pathlib.Path(options.landmarks_model).is_file():
      raise UserError(f"--landmarks-model={options.landmarks_model} does not exist: name dlib's 68-point predictor.")
    landmarks.dlib68(options.landmarks_model)  # refused now rather than by every video
  return Settings(
    source=options.source,
    detector=options.detector,
    detector_model=options.detections or options.detector_model,
    faces=FaceOptions(
      align=options.align,
      size=options.size,
      margin=options.margin,
      every=options.key_frames,
      max_frames=options.max_frames,
      max_tracks=options.max_tracks,
      min_frames=options.min_frames,
    ),
    encoding=encoding.parse(options.encoding),
    max_frames=dict(options.max_frames_by_split),
    target_boxes=options.target_boxes,
    cropped=cropped,
    landmarks_model=options.landmarks_model,
  )
