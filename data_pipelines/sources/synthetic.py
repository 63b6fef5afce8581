"""The dataset that ships with the project, made by data_pipelines.synthetic: FaceForensics++'s layout, own splits."""

import pathlib

from data_pipelines.sources import Listing, faceforensics
from data_pipelines.sources.layout import require_root
from data_pipelines.sources.registry import SourceOptions


def list_videos(root: pathlib.Path | None, options: SourceOptions) -> Listing:
  """Lists a generated dataset; its own split files must be there.

  Raises:
    UserError: another layout.
  """
  root = require_root(root, "synthetic", "what data_pipelines.synthetic wrote (splits/train.json …)", "splits")
  return faceforensics.list_videos(root, options, dataset="synthetic")
