"""Celeb-DF-v1: the same folders, names and inverted test list as version 2, fewer videos (408 real, 795 fake)."""

import pathlib

from data_pipelines.sources import Listing, celeb_df_v2
from data_pipelines.sources.registry import SourceOptions

LISTED = 100  # 38 real, 62 fake


def list_videos(root: pathlib.Path | None, options: SourceOptions) -> Listing:
  """See `celeb_df_v2.list_videos`."""
  return celeb_df_v2.list_videos(root, options, dataset="celeb_df_v1", listed_videos=LISTED)
