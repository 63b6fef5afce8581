"""Where videos come from: one file per dataset layout, each a function `list_videos(root, options) -> Listing`."""

import dataclasses

from dfdetect_jax.schema import VideoInfo


@dataclasses.dataclass(frozen=True, kw_only=True)
class Video(VideoInfo):
  """One video before any decoding; `path` is a file on disk (or, where a dataset ships crops, an archive or folder).

  Attributes:
    boxes_from: video_id of the video whose face boxes may be used instead of detecting ("" = detect).
    inside: folder of an archive's (or a folder's) crops that is this video, where one file holds several; "" = all.
    distortion: what its full frames go through before they are cropped, in order: "blur-3+contrast-1" ("" = nothing).
    extra: further columns of the source's list, carried along.
  """

  path: str
  label: int
  split: str
  manipulation: str = "original"
  boxes_from: str = ""
  inside: str = ""
  distortion: str = ""
  extra: dict[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Listing:
  """What a source found.

  Attributes:
    videos: the videos.
    missing: what its lists name and is not among them, as (path, reason): the disk lacks it, or it was left out.
    absent: of those of `missing` that the disk lacks, by path, what the lists tell of them; they are counted wherever
      a figure on the others is printed.
    omitted: what lies in its folders and was not taken, as (path, reason).
    notes: what else the user should know, a sentence each.
  """

  videos: list[Video] = dataclasses.field(default_factory=list)
  missing: list[tuple[str, str]] = dataclasses.field(default_factory=list)
  absent: dict[str, Video] = dataclasses.field(default_factory=dict)
  omitted: list[tuple[str, str]] = dataclasses.field(default_factory=list)
  notes: list[str] = dataclasses.field(default_factory=list)

  @property
  def lacking(self) -> list[tuple[str, str]]:
    """All that somebody might look for among the videos, as (path, reason)."""
    return [*self.missing, *self.omitted]

  def miss(self, path: str, reason: str, video: Video | None = None) -> None:
    """Notes what a list names; `video` is what it tells of one that the disk lacks."""
    self.missing.append((path, reason))
    if video is not None:
      self.absent[path] = video
