"""What tests of dataset sources share: a source's listing, its videos by id, and files put into a folder."""

import pathlib

from data_pipelines.sources import registry


def listing(source: str, root: pathlib.Path, **options):
  """What a source finds below `root`."""
  return registry.load(source).list_videos(root, registry.SourceOptions(**options))


def by_id(found) -> dict:
  """The videos of a listing by their ids, no two of which are alike."""
  assert len({v.video_id for v in found.videos}) == len(found.videos)
  return {v.video_id: v for v in found.videos}


def write(path: pathlib.Path, text: str) -> None:
  """Writes a file and makes the folders around it."""
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text(text)


def place(root: pathlib.Path, *names: str) -> pathlib.Path:
  """Puts empty files into a folder: listing a dataset decodes nothing. Gives the folder."""
  for name in names:
    write(root / name, "")
  return root
