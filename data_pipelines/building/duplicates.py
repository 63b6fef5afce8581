"""The same content twice under two labels or in two splits: found before anything is built of it.

Only files of one size can be the same: the checksums of those alone are computed.
"""

import collections
import dataclasses
import functools
import logging
import os

from data_pipelines.building.plan import relative_path
from data_pipelines.sources import Listing, Video
from dfdetect_jax.errors import UserError
from dfdetect_jax.files import file_sha256

_LOG = logging.getLogger(__name__)

POLICIES = ("refuse", "drop", "keep")
# What stays of two splits: test videos are what figures are comparable by.
_STAYS = ("test", "val", "train")


def resolve(listing: Listing, policy: str, root: str) -> Listing:
  """Looks for files that are the same and do not say the same, and does with them what the policy says.

  Args:
    listing: the videos that are to be built.
    policy: "refuse" them; "drop" all of them whose labels differ, and of one label what is not in test (else val); or
      "keep" them.
    root: of the source, which paths are told relative to.

  Returns:
    The listing; what was dropped is missing, with what it is the same as.

  Raises:
    UserError: there are some, and the policy is to refuse.
  """
  groups = _groups(listing.videos)
  if not groups:
    return listing
  first = groups[0]
  two = " and ".join(f"{relative_path(v.path, root)} ({_said(v)})" for v in _differing(first))
  text = (
    f"the same content stands in the list more than once, under other labels or in other splits ({len(groups)} cases), "
    f"such as {two}"
  )
  if policy == "refuse":
    raise UserError(
      f"{text}. A detector cannot learn from what is real and fake at once, nor be judged by what it was trained on. "
      "Correct the list; --duplicates=drop leaves out those of two labels, and of two splits those that are not test; "
      "--duplicates=keep builds them all."
    )
  _LOG.warning(f"{text} (--duplicates={policy}).")
  if policy == "keep":
    return listing
  missing, dropped = list(listing.missing), set()
  for group in groups:
    stays = _STAYS[min(_STAYS.index(video.split) for video in group)]
    labels = {video.label for video in group}
    for video in group:
      if len(labels) > 1 or video.split != stays:
        other = next(v for v in group if (v.label, v.split) != (video.label, video.split))
        missing.append((video.path, f"left out: the same content as another file ({_said(other)} there)"))
        dropped.add(video.video_id)
  left = [video for video in listing.videos if video.video_id not in dropped]
  return dataclasses.replace(listing, videos=left, missing=missing)


def _said(video: Video) -> str:
  return f"{'fake' if video.label else 'real'}, {video.split}"


def _differing(group: list[Video]) -> tuple[Video, Video]:
  """Two videos of a group that do not say the same."""
  first = group[0]
  return first, next(v for v in group if (v.label, v.split) != (first.label, first.split))


def _groups(videos: list[Video]) -> list[list[Video]]:
  """Groups of videos whose files are the same, of several labels or splits."""
  by_size = collections.defaultdict(list)
  for video in videos:
    if os.path.isfile(video.path) and (size := os.path.getsize(video.path)):
      by_size[size].append(video)
  groups = []
  for same in by_size.values():
    if _contradict(same):
      by_content = collections.defaultdict(list)
      for video in same:
        status = os.stat(video.path)
        by_content[_sha256(os.path.realpath(video.path), status.st_size, status.st_mtime_ns)].append(video)
      groups += [group for group in by_content.values() if _contradict(group)]
  return groups


def _contradict(group: list[Video]) -> bool:
  return len({(video.label, video.split) for video in group}) > 1


@functools.lru_cache(maxsize=1 << 16)
def _sha256(path: str, size: int, time: int) -> str:
  """The checksum, once for all builds of a program (data_pipelines.perturb makes 35)."""
  return file_sha256(path)
