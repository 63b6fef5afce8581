"""Where videos come from: one file per dataset layout, each a function `list_videos(root, options) -> Listing`."""

import dataclasses

from dfdetect_jax.schema import VideoInfo


@dataclasses.dataclass(frozen=True, kw_only=True)
class Video(VideoInfo):
  """One video before any decoding; `path` is a file on disk (or, where a dataset ships crops, an archive or folder).

  Attributes:
    boxes_from: video_id of the video whose face boxes may be used instead of detecting ("" = detect).
    extra: further columns of the source's list, carried along.
  """

  path: str
  label: int
  split: str
  manipulation: str = "original"
  boxes_from: str = ""
  extra: dict[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Listing:
  """What a source found: the videos, and what its lists name but the disk lacks (path, reason)."""

  videos: list[Video]
  missing: list[tuple[str, str]] = dataclasses.field(default_factory=list)
