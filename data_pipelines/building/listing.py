"""What a source found, narrowed to what is wanted and told in a table."""

import collections
import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from data_pipelines.building.plan import relative_path
from data_pipelines.sources import Listing, Video
from data_pipelines.sources.layout import printable
from data_pipelines.sources.lists import Wanted
from dfdetect_jax.datasets import DATASETS
from dfdetect_jax.errors import UserError
from dfdetect_jax.schema import SPLITS


def writable(listing: Listing) -> Listing:
  """The listing with every name in a form that can be written and printed; only a video's path stays the file's own."""

  def named(video: Video) -> Video:
    names: dict[str, Any] = {name: printable(getattr(video, name)) for name in _NAMES}
    return dataclasses.replace(video, **names)

  return dataclasses.replace(
    listing,
    videos=list(map(named, listing.videos)),
    missing=[(printable(path), reason) for path, reason in listing.missing],
    absent={printable(path): named(video) for path, video in listing.absent.items()},
    omitted=[(printable(path), reason) for path, reason in listing.omitted],
  )


_NAMES = ("video_id", "dataset", "manipulation", "pair", "identity", "boxes_from")


def short_of_published(listing: Listing, splits: Sequence[str] = SPLITS) -> list[str]:
  """A sentence for each part of a dataset that has fewer videos than its authors publish: no list names what is gone.

  Args:
    listing: what the source found.
    splits: those that are of interest.
  """
  sentences = []
  for name in sorted({video.dataset for video in listing.videos} & DATASETS.keys() - {"faceforensics"}):
    for part, *published in DATASETS[name].counts:
      own = [v.label for v in listing.videos if v.dataset == name and v.split in part.split("+")]
      here = [own.count(0), own.count(1)]
      if {*part.split("+")} <= {*splits} and (here[0] < published[0] or here[1] < published[1]):
        sentences.append(
          f"{part} of {DATASETS[name].title}: {here[0]} real and {here[1]} fake videos are here, {published[0]} and "
          f"{published[1]} are published"
        )
  return sentences


def restricted(listing: Listing, wanted: Callable[[Video], bool]) -> Listing:
  """The wanted videos, and of what the disk lacks what would have been wanted."""
  absent = {path: video for path, video in listing.absent.items() if wanted(video)}
  return dataclasses.replace(
    listing,
    videos=[video for video in listing.videos if wanted(video)],
    missing=[item for item in listing.missing if item[0] not in listing.absent or item[0] in absent],
    absent=absent,
  )


def only_named(listing: Listing, wanted: Wanted, root: str) -> Listing:
  """The videos that a list names; names that fit nothing are told of."""
  chosen = restricted(listing, lambda video: wanted.holds(relative_path(video.path, root)))
  unknown = [name for name in wanted.names if name not in wanted.found]
  if not chosen.videos:
    raise UserError(
      f"--only={wanted.file}: none of its {len(wanted.names)} names (such as {unknown[0] if unknown else '?'}) is that "
      "of a video that the source finds in the wanted splits. A name is a file's, with or without folders and suffix."
    )
  missing = [*chosen.missing, *((name, f"named by {wanted.file.name}, no such video") for name in unknown)]
  return dataclasses.replace(chosen, missing=missing)


def summary_of_listing(listing: Listing) -> str:
  """A table of the videos found by split, label, manipulation and compression, and of what is missing or left out."""
  groups = collections.Counter(
    (SPLITS.index(v.split), v.label, v.dataset, v.manipulation, v.compression or "-") for v in listing.videos
  )
  lines = [f"{'split':6} {'label':5} {'dataset':20} {'manipulation':24} {'compression':11} {'videos':>7}"]
  for (split, label, dataset, manipulation, compression), count in sorted(groups.items()):
    name = "fake" if label else "real"
    lines.append(f"{SPLITS[split]:6} {name:5} {dataset:20} {manipulation:24} {compression:11} {count:7}")
  absent = collections.Counter(video.split for video in listing.absent.values())
  for name in (name for name in SPLITS if absent[name]):
    there = sum(video.split == name for video in listing.videos)
    lines.append(f"{there} of {there + absent[name]} listed {name} videos are there")
  lines.append(f"{len(listing.videos)} videos found, {len(listing.lacking)} missing or left out")
  return "\n".join([*lines, *by_reason(listing.lacking), *(f"note: {note}" for note in listing.notes)])


def by_reason(lacking: list[tuple[str, str]], most_examples: int = 3) -> list[str]:
  """A line for each reason, the most frequent first: how many there are and the first few.

  Args:
    lacking: (path, reason); a source may leave out thousands of videos for the same one.
    most_examples: how many are named.
  """
  paths = collections.defaultdict(list)
  for path, reason in lacking:
    paths[reason].append(path)
  return [
    f"  {len(own)} × {reason}: {', '.join(own[:most_examples])}{', …' if own[most_examples:] else ''}"
    for reason, own in sorted(paths.items(), key=lambda item: -len(item[1]))
  ]
