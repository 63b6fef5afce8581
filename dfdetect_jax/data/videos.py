"""Which videos a set holds, and what two splits must not share."""

import dataclasses
from collections.abc import Collection, Iterable, Sequence

from dfdetect_jax.datasets import footage_of, shares_people
from dfdetect_jax.errors import UserError
from dfdetect_jax.schema import Track, VideoInfo


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

  def holds(self, video: VideoInfo) -> bool:
    """Whether a video is of this set, whatever its split and distortion; real videos are of every manipulation."""
    return (
      self.dataset in ("", video.dataset)
      and (not self.compressions or video.compression in self.compressions)
      and (not self.manipulations or video.label == 0 or video.manipulation in self.manipulations)
    )


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


def _keys(track: VideoInfo) -> dict[tuple[str, str], str]:
  """What no other split may share with a track, with the words to tell it in."""
  found = {("video", track.video_id): track.video_id}
  if track.sha256:
    found["file", track.sha256] = track.sha256
  if not shares_people(track.dataset):
    footage = footage_of(track.dataset)
    if track.pair:
      found["pair", f"{footage}\n{track.pair}"] = track.pair
    found |= {("identity", f"{footage}\n{who}"): who for who in track.identity.split("+") if who}
  return found


def find_leaks(first: Sequence[VideoInfo], second: Sequence[VideoInfo]) -> list[Leak]:
  """Everything that two splits share and must not: videos, file contents, footage and people.

  Pairs and people are told apart within a dataset, or the datasets that share their footage (`datasets.footage_of`),
  and are not looked at in datasets whose authors' splits share them (`datasets.shares_people`); files are compared
  across all datasets, since some hold videos of others.

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


def leaking_videos(first: Sequence[VideoInfo], second: Sequence[VideoInfo]) -> set[str]:
  """Ids of the videos of `second` that share a video, a file or footage with `first` (see `find_leaks`)."""
  seen = {key for track in first for key in _keys(track) if key[0] != "identity"}
  return {track.video_id for track in second if not seen.isdisjoint(_keys(track))}


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
      raise UserError(_describe(leaks, names))
    if leaks:
      warnings.append(_describe(leaks, names))
  return warnings


def check_validation(tracks: Sequence[Track], frames: int) -> None:
  """Refuses a validation split of one class: AUC is undefined on it, and accuracy selects whatever says always so.

  No validation split at all is a choice, which training says.

  Args:
    tracks: all tracks of the dataset.
    frames: of a clip; shorter tracks cannot be scored.

  Raises:
    UserError: the tracks of split val that can be scored are all real or all fake.
  """
  labels = {t.label for t in tracks if t.split == "val" and t.frames >= frames}
  if len(labels) == 1:
    has, lacks = ("fake", "real") if labels == {1} else ("real", "fake")
    raise UserError(
      f"the validation split has {has} videos only (as far as they are {frames} frames long): no step can be selected "
      f"on it. Put {lacks} videos into split val and build the shards again (a manifest says it best, by identity), "
      "or choose other forgeries with config.videos; without any video in val a run keeps its last step."
    )


def _describe(leaks: Sequence[Leak], names: tuple[str, str]) -> str:
  kinds = []
  for kind in dict.fromkeys(leak.kind for leak in leaks):
    of_kind = [leak for leak in leaks if leak.kind == kind]
    one = of_kind[0]
    kinds.append(f"{len(of_kind)} of kind '{kind}' (such as {one.shared}: '{one.first}' and '{one.second}')")
  return (
    f"{names[0]} and {names[1]} share what they must not: {'; '.join(kinds)}. A figure on such a split is worthless: "
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
