"""Where videos come from: one file per dataset layout, each a function `list_videos(root, options) -> Listing`."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Video:
  """One video before any decoding.

  Attributes:
    video_id: unique over the dataset, `dataset/manipulation/compression/name`; never a bare folder or file name.
    path: file (or, for datasets that ship crops, archive or folder) on disk.
    label: 1 = fake, 0 = real.
    split: train, val or test.
    dataset, manipulation, compression: as the authors name them; manipulation is "original" for real videos.
    pair: key shared by a real video and the forgeries made of it, "" if unknown.
    identity: person shown ("a+b" for several), "" if unknown.
    boxes_from: video_id of the video whose face boxes may be used instead of detecting ("" = detect).
    extra: further columns of the source's list, carried along.
  """

  video_id: str
  path: str
  label: int
  split: str
  dataset: str
  manipulation: str = "original"
  compression: str = ""
  pair: str = ""
  identity: str = ""
  boxes_from: str = ""
  extra: dict[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Listing:
  """What a source found: the videos, and what its lists name but the disk lacks (path, reason)."""

  videos: list[Video]
  missing: list[tuple[str, str]] = dataclasses.field(default_factory=list)
