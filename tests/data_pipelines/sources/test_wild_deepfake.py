"""WildDeepfake's layout: archives of crops in folders of several spellings."""

import pathlib

import pytest

from data_pipelines.sources import registry


def listing(source: str, root: pathlib.Path, **options):
  return registry.load(source).list_videos(root, registry.SourceOptions(**options))


def by_id(found) -> dict:
  assert len({v.video_id for v in found.videos}) == len(found.videos)
  return {v.video_id: v for v in found.videos}


def place(root: pathlib.Path, *names: str) -> None:
  for name in names:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).touch()


@pytest.mark.parametrize("gap", ["_", " ", ""])
def test_wild_deepfake_in_every_spelling(tmp_path, miniature, gap):
  """Guards folders with a space, an underscore or neither; real 0 and fake 0 are two videos."""
  found = listing("wild_deepfake", miniature("wild_deepfake", tmp_path, gap=gap))
  videos = by_id(found)
  assert not found.missing and len(videos) == 2 * 63
  assert videos["wild_deepfake/original/none/test/0"].label == 0 and videos["wild_deepfake/fake/none/test/0"].label == 1
  assert {v.split for v in videos.values() if "/train/" in v.video_id} == {"train", "val"}


def test_wild_deepfake_partial_unpacked_and_dotted(tmp_path):
  """Guards a missing split, an archive beside its unpacked folder, and names that differ after a dot."""
  place(tmp_path, "real_train/1.tar.gz", "real_train/1/seq/0.png", "real_train/2/seq/0.png", "real_train/.DS_Store")
  place(tmp_path, "real_train/3.1.tar.gz", "real_train/3.2.tgz", "real_train/readme.txt")
  found = listing("wild_deepfake", tmp_path)
  names = {pathlib.Path(v.path).name: v.video_id.rsplit("/", 1)[1] for v in found.videos}
  assert names == {"1.tar.gz": "1", "2": "2", "3.1.tar.gz": "3.1", "3.2.tgz": "3.2"}
  assert dict(found.missing) == dict.fromkeys(["fake_train", "real_test", "fake_test"], "no such folder")
