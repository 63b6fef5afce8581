"""Who is trained on what and judged on what: the protocols of the papers as data, and the checks that keep them honest.

A protocol names sets of videos; `select` finds their tracks. The validation split selects, the test split reports, and
nothing here lets one stand in for the other.
"""

import dataclasses
from collections.abc import Collection, Iterable, Mapping, Sequence

from dfdetect_jax.errors import UserError, did_you_mean
from dfdetect_jax.evaluation.scores import VideoScore
from dfdetect_jax.schema import Failure, Track

# Names of datasets as data_pipelines writes them into the tracks.
FFPP = "faceforensics"
CROSS_DATASETS = {
  "Celeb-DF-v2": "celeb_df_v2",
  "DFDC": "dfdc",
  "DFDC-Preview": "dfdc_preview",
  "DeeperForensics-1.0": "deeper_forensics",
  "WildDeepfake": "wild_deepfake",
}
FOUR = ("Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures")
# The distortions of DeeperForensics-1.0 in the order of DIP Fig. 6; data_pipelines.perturb makes them.
DISTORTIONS = ("saturation", "contrast", "block_wise", "gaussian_noise", "blur", "pixelation", "compression")
LEVELS = (1, 2, 3, 4, 5)
# Video-level metrics that a run may select its best step by: more is better.
SELECTABLE = ("auc", "acc", "ap")
# The authors' own splits of these share people between train and test; only their videos are kept apart.
PEOPLE_SHARED = ("celeb_df_v1", "celeb_df_v2", "dfdc", "dfdc_preview")
# Datasets whose real videos are another's: their pairs and targets are named as there. DeeperForensics-1.0 forges the
# real videos of FaceForensics++, and divides them otherwise into train and test.
FOOTAGE_OF = {"deeper_forensics": FFPP}


@dataclasses.dataclass(frozen=True)
class VideoSet:
  """Videos by what is known about them.

  Attributes:
    name: row of the table that they give.
    dataset: its name, "" = any.
    manipulations: forgeries wanted, empty = all; the real videos are always in.
    compressions: wanted, empty = all.
    distortion: name of `DISTORTIONS` or "frame_dropping"; "" = clean.
    level: 1-5, 0 for clean videos.
  """

  name: str
  dataset: str
  manipulations: tuple[str, ...] = ()
  compressions: tuple[str, ...] = ()
  distortion: str = ""
  level: int = 0

  @property
  def folder(self) -> str:
    """Folder below the output of data_pipelines.perturb that holds these shards, "" for clean ones."""
    return f"{self.distortion}-{self.level}" if self.distortion else ""

  def described(self) -> str:
    """The set in words for a message."""
    parts = (self.dataset or "any dataset", ",".join(self.manipulations) or "*", ",".join(self.compressions) or "*")
    return f"'{self.name}' ({'/'.join(parts)}" + (f" distorted by {self.folder})" if self.folder else ")")

  def holds(self, video: Track | Failure | VideoScore) -> bool:
    """Whether a video is of this set, whatever its split and distortion; real videos are of every manipulation."""
    return (
      self.dataset in ("", video.dataset)
      and (not self.compressions or video.compression in self.compressions)
      and (not self.manipulations or int(video.label) == 0 or video.manipulation in self.manipulations)
    )


@dataclasses.dataclass(frozen=True)
class Protocol:
  """What is trained on and what is tested on.

  Attributes:
    name: of the protocol.
    train: videos whose train split is trained on, and whose val split selects.
    test: sets whose test split is reported, each a row (or cell) of the table.
    reference: tables of the papers that use it.
  """

  name: str
  train: VideoSet
  test: tuple[VideoSet, ...]
  reference: str

  def on(self, datasets: Mapping[str, str]) -> "Protocol":
    """The same protocol on other datasets of the same layout, old name -> new name (a demo's stand-in)."""

    def renamed(videos: VideoSet) -> VideoSet:
      return dataclasses.replace(videos, dataset=datasets.get(videos.dataset, videos.dataset))

    return dataclasses.replace(self, train=renamed(self.train), test=tuple(renamed(v) for v in self.test))


def _protocols() -> dict[str, Protocol]:
  protocols = []
  for quality in ("c23", "c40"):
    four = VideoSet(f"FF++ {quality}", FFPP, FOUR, (quality,))
    cross = tuple(VideoSet(name, dataset) for name, dataset in CROSS_DATASETS.items())
    each = tuple(VideoSet(m, FFPP, (m,), (quality,)) for m in FOUR)
    intra = "ST-ILIF Table 5, DIP Table I, DIL Tables 1-2"
    protocols.append(Protocol(f"intra-dataset-{quality}", four, (four, *each), intra))
    across = "ST-ILIF Tables 10-11, SDR Table II, DIP Table II, DIL Table 3"
    protocols.append(Protocol(f"cross-dataset-{quality}", four, cross, across))
    for left_out in each:
      others = tuple(m for m in FOUR if m != left_out.name)
      train = VideoSet(f"FF++ {quality} without {left_out.name}", FFPP, others, (quality,))
      across = "SDR Table I, DIP Table III"
      protocols.append(Protocol(f"leave-out-{left_out.name}-{quality}", train, (left_out,), across))
  clean = VideoSet("FF++ c23", FFPP, FOUR, ("c23",))

  def distorted(name: str, distortion: str, level: int) -> VideoSet:
    return dataclasses.replace(clean, name=name, distortion=distortion, level=level)

  cells = tuple(distorted(f"{d}-{level}", d, level) for d in DISTORTIONS for level in LEVELS)
  protocols.append(Protocol("robustness", clean, (clean, *cells), "DIP Fig. 6"))
  # Table VIII names the kinds and not their strengths; decision: the middle level of each.
  four_kinds = {"FFhf": "blur", "FFnoise": "gaussian_noise", "FFcolor": "saturation", "FFta": "frame_dropping"}
  kinds = tuple(distorted(name, distortion, 3) for name, distortion in four_kinds.items())
  protocols.append(Protocol("augmentation-robustness", clean, (clean, *kinds), "DIP Table VIII"))
  return {p.name: p for p in protocols}


PROTOCOLS = _protocols()


def get_protocol(name: str) -> Protocol:
  """The protocol of that name.

  Raises:
    UserError: there is none.
  """
  if name not in PROTOCOLS:
    raise UserError(f"there is no protocol '{name}'.{did_you_mean(name, PROTOCOLS)} There are: {', '.join(PROTOCOLS)}.")
  return PROTOCOLS[name]


def told_protocols() -> str:
  """All protocols, a few lines each."""
  lines = []
  for protocol in PROTOCOLS.values():
    names = [videos.name for videos in protocol.test]
    told = ", ".join(names[:6]) + (f", … ({len(names)} sets)" if names[6:] else "")
    lines += [
      f"{protocol.name}",
      f"  train: {protocol.train.name}",
      f"  test:  {told}",
      f"  from:  {protocol.reference}",
    ]
  return "\n".join(lines)


def select(tracks: Iterable[Track], videos: VideoSet, split: str) -> list[Track]:
  """The tracks of a set in one split: its real videos, and of the fakes those of its manipulations.

  Distortions are a matter of the folder that the tracks were read from (`VideoSet.folder`), not of the tracks.

  Raises:
    UserError: no track is left, or one of the manipulations has none.
  """
  tracks = list(tracks)
  chosen = [t for t in tracks if t.split == split and videos.holds(t)]
  absent = sorted(set(videos.manipulations) - {t.manipulation for t in chosen})
  if not chosen or absent:
    have = sorted({"/".join((t.dataset, t.manipulation, t.compression, t.split)) for t in tracks})
    what = f" of {', '.join(absent)}" if absent else ""
    raise UserError(
      f"the set '{videos.name}' (dataset {videos.dataset or 'any'}, compression "
      f"{' or '.join(videos.compressions) or 'any'}) has no video{what} in split '{split}'. The shards hold "
      f"(dataset/manipulation/compression/split): {', '.join(have[:30]) or 'nothing'}{', …' if len(have) > 30 else ''}."
    )
  return chosen


def require_selection_on_val(split: str) -> None:
  """Refuses to select a model (checkpoint, threshold, hyper-parameter) on anything but the validation split.

  Raises:
    UserError: `split` is not "val".
  """
  if split != "val":
    raise UserError(
      f"models are selected on the split 'val', not on '{split}': a figure on videos that chose the model says nothing "
      "about others. Cut a validation split from the training videos (by identity) if the dataset has none."
    )


def selection_metric(name: str) -> str:
  """The validation metric that a run selects its best step by.

  Args:
    name: `config.select_metric`, a video-level metric of which more is better, or "val/" and such a one.

  Returns:
    Its name without the split.

  Raises:
    UserError: it is of another split, or no such metric.
  """
  split, _, metric = name.rpartition("/")
  require_selection_on_val(split or "val")
  if metric not in SELECTABLE:
    raise UserError(
      f"config.select_metric is '{name}': a run's best step is the one of highest {' or '.join(SELECTABLE)} on its "
      "validation videos."
    )
  return metric


@dataclasses.dataclass(frozen=True)
class Leak:
  """Something that two splits share.

  Attributes:
    kind: `video`, `file` (same bytes), `pair` (a forgery of the same video) or `identity` (the same person).
    shared: what is shared.
    first, second: a video of each split that has it.
  """

  kind: str
  shared: str
  first: str
  second: str


def _keys(track: Track) -> dict[tuple[str, str], str]:
  """What no other split may share with a track, with the words to tell it in."""
  found = {("video", track.video_id): track.video_id}
  if track.sha256:
    found["file", track.sha256] = track.sha256
  if track.dataset not in PEOPLE_SHARED:
    footage = FOOTAGE_OF.get(track.dataset, track.dataset)
    if track.pair:
      found["pair", f"{footage}\n{track.pair}"] = track.pair
    found |= {("identity", f"{footage}\n{who}"): who for who in track.identity.split("+") if who}
  return found


def find_leaks(first: Sequence[Track], second: Sequence[Track]) -> list[Leak]:
  """Everything that two splits share and must not: videos, file contents, footage and people.

  Pairs and people are told apart within a dataset, or the datasets that share their footage (`FOOTAGE_OF`), and are not
  looked at in datasets whose authors' splits share them (`PEOPLE_SHARED`); files are compared across all datasets,
  since some hold videos of others.

  Args:
    first, second: of each split, its tracks or whatever names its videos with the same fields.
  """
  seen: dict[tuple[str, str], str] = {}
  for track in first:
    for key in _keys(track):
      seen.setdefault(key, track.video_id)
  leaks: dict[tuple[str, str], Leak] = {}
  for track in second:
    for key, shared in _keys(track).items():
      if key in seen:
        leaks.setdefault(key, Leak(key[0], shared, seen[key], track.video_id))
  return list(leaks.values())


def leaking_videos(first: Sequence[Track], second: Sequence[Track]) -> set[str]:
  """Ids of the videos of `second` that share a video, a file or footage with `first` (see `find_leaks`)."""
  seen = {key for track in first for key in _keys(track) if key[0] != "identity"}
  return {track.video_id for track in second if not seen.isdisjoint(_keys(track))}


def check_no_leak(first: Sequence[Track], second: Sequence[Track], names: tuple[str, str] = ("train", "test")) -> None:
  """Refuses two splits that share a video, a file, footage or a person (see `find_leaks`).

  Raises:
    UserError: they do; the message counts each kind and names an example.
  """
  leaks = find_leaks(first, second)
  if leaks:
    raise UserError(_told(leaks, names))


def check_splits(tracks: Sequence[Track]) -> list[str]:
  """Checks a dataset before anything is trained on it.

  Args:
    tracks: all tracks of the dataset.

  Returns:
    Warnings: splits that share a person (in other videos), which makes the figures on them too good.

  Raises:
    UserError: a video id stands for two videos, or two splits share a video, a file or the forgeries of one video.
  """
  check_ids(tracks)
  warnings = []
  for names in (("train", "val"), ("train", "test"), ("val", "test")):
    leaks = find_leaks(*([t for t in tracks if t.split == name] for name in names))
    if any(leak.kind != "identity" for leak in leaks):
      raise UserError(_told(leaks, names))
    if leaks:
      warnings.append(_told(leaks, names))
  return warnings


def _told(leaks: Sequence[Leak], names: tuple[str, str]) -> str:
  told = []
  for kind in dict.fromkeys(leak.kind for leak in leaks):
    of_kind = [leak for leak in leaks if leak.kind == kind]
    one = of_kind[0]
    told.append(f"{len(of_kind)} of kind '{kind}' (such as {one.shared}: '{one.first}' and '{one.second}')")
  return (
    f"{names[0]} and {names[1]} share what they must not: {'; '.join(told)}. A figure on such a split is worthless: "
    "correct the split column of the manifest (or the split files) and build the shards again."
  )


def check_ids(tracks: Collection[Track]) -> None:
  """Refuses video ids that stand for more than one video.

  Raises:
    UserError: two tracks of one id are of different files, labels, manipulations, compressions or splits, or have the
      same number.
  """
  first: dict[str, Track] = {}
  numbers: set[tuple[str, int]] = set()
  for track in tracks:
    known = first.setdefault(track.video_id, track)
    for name in ("dataset", "manipulation", "compression", "label", "split", "path", "sha256"):
      if getattr(track, name) != getattr(known, name):
        raise UserError(
          f"video id '{track.video_id}' stands for two videos, which differ in {name} ('{getattr(known, name)}' and "
          f"'{getattr(track, name)}'). A video's id is dataset/manipulation/compression/name: with less, the forgeries "
          "of one pair become one video."
        )
    if (track.video_id, track.track) in numbers:
      raise UserError(f"track {track.track} of video '{track.video_id}' is listed twice; build the shards again.")
    numbers.add((track.video_id, track.track))
