"""What lies in a dataset's folders and is not taken: counted and named, in every source, by one mechanism."""

import os
import pathlib

import pytest
from helpers.listings import place

from data_pipelines import build
from data_pipelines.sources import registry, tree
from data_pipelines.sources.tree import UNNAMED, Tree

# A folder of each layout whose videos are taken by name.
FOLDERS = {
  "faceforensics": "original_sequences/youtube/c23/videos",
  "celeb_df_v1": "Celeb-real",
  "celeb_df_v2": "Celeb-real",
  "dfdc": "dfdc_train_part_9",
  "dfdc_preview": "original_videos/200",
  "deeper_forensics": "manipulated_videos/end_to_end",
  "wild_deepfake": "real_train",
}


@pytest.mark.parametrize("source", FOLDERS)
def test_every_source_names_what_it_did_not_take(tmp_path, miniature, capsys, source, monkeypatch):
  """Guards against "0 left out" beside an omission: hidden twins, archives, partial downloads, folders nobody reads."""
  root = miniature(source, tmp_path / "data")
  base = FOLDERS[source]
  before = registry.load(source).list_videos(root, registry.SourceOptions())
  strange = {
    f"{base}/._x.mp4": "left out: hidden",
    f"{base}/x.mp4.part": "left out: a partial download",
    "extra/deep/y.zip": "left out: archives that are not unpacked",
    "extra/y.mp5": "left out: files of an unknown kind (.mp5)",
    "closed": "cannot be read: Permission denied",
  }
  place(root, *list(strange)[:-1], "extra/readme.md", "LICENSE", ".DS_Store", "extra/z.mp4", "closed/a.mp4")
  scandir = os.scandir

  def closed(path):
    if str(path).endswith("/closed"):  # the superuser of a test may read everything
      raise PermissionError(13, "Permission denied")
    return scandir(path)

  monkeypatch.setattr(tree.os, "scandir", closed)
  found = registry.load(source).list_videos(root, registry.SourceOptions())
  assert [v.video_id for v in found.videos] == [v.video_id for v in before.videos]
  new = dict(found.omitted).items() - dict(before.omitted).items()
  extra = {"extra/z.mp4"} & {path for path, _ in new}
  assert extra == {"extra/z.mp4"}
  assert {path: reason for path, reason in new if path not in extra} == strange
  assert build.main([f"--source={source}", f"--root={root}", "--dry-run"]) == 0
  text = capsys.readouterr().out
  assert f"{len(found.lacking)} missing or left out" in text and len(found.lacking) >= 6
  assert all(reason in text for reason in strange.values())


@pytest.mark.parametrize("source", [name for name in FOLDERS if name != "wild_deepfake"])
def test_suffixes_are_compared_without_case_and_linked_folders_followed(tmp_path, miniature, source):
  """Guards `054.MP4`, which is no missing file, and a dataset whose folders are links to another disk."""
  root = miniature(source, tmp_path / "data")
  before = registry.load(source).list_videos(root, registry.SourceOptions())
  names = sorted((root / FOLDERS[source]).glob("*.mp4"))
  names[0].rename(names[0].with_suffix(".MP4"))
  top = FOLDERS[source].split("/")[0]
  (root / top).rename(tmp_path / "elsewhere")
  (root / top).symlink_to(tmp_path / "elsewhere")
  again = "zz_again" if source == "dfdc" else "again"  # DFDC's parts are found by what lies in them, not by name
  (root / again).symlink_to(root / top)
  found = registry.load(source).list_videos(root, registry.SourceOptions())
  assert [v.video_id for v in found.videos] == [v.video_id for v in before.videos]
  assert any(v.path.endswith(".MP4") for v in found.videos)
  assert found.missing == before.missing
  # The dataset's own name counts, though it comes after the other link's.
  told = set(found.omitted) - set(before.omitted)
  assert not [path for path, _ in told if again not in path], told


def test_links_that_lead_in_circles_or_nowhere(tmp_path):
  """Guards against a walk without end, and a broken link that nobody is told of."""
  place(tmp_path, "a/x.mp4")
  (tmp_path / "a/up").symlink_to(tmp_path)
  (tmp_path / "a/gone.mp4").symlink_to(tmp_path / "nowhere.mp4")
  (tmp_path / "a/self.mp4").symlink_to(tmp_path / "a/self.mp4")
  found = Tree(tmp_path)
  assert found.files == {"a/x.mp4": "a/x.mp4"}
  told = dict(found.omitted())
  assert told.pop("a/self.mp4").startswith(("cannot be read", "left out: a link"))
  assert told == {
    "a/up": "left out: links to the root, which is read already", "a/gone.mp4": "left out: a link to nothing",
    "a/x.mp4": UNNAMED,
  }  # fmt: skip


def test_a_partial_download_and_a_closed_folder_are_not_called_absent(tmp_path, miniature, monkeypatch):
  """Guards the reason: "no such file" sends people to download again what lies in a folder that they may not read."""
  root = miniature("faceforensics", tmp_path)
  folder = root / "original_sequences/youtube/c23/videos"
  (folder / "071.mp4").rename(folder / "071.mp4.part")
  missing = dict(registry.load("faceforensics").list_videos(root, registry.SourceOptions()).missing)
  path = "original_sequences/youtube/c23/videos/071.mp4"
  assert missing[path] == "no such file: a partial download of it lies there"
  scandir = os.scandir

  def closed(where):
    if pathlib.Path(where) == folder:
      raise PermissionError(13, "Permission denied")
    return scandir(where)

  monkeypatch.setattr(tree.os, "scandir", closed)
  found = registry.load("faceforensics").list_videos(root, registry.SourceOptions())
  assert dict(found.missing)[path] == "its folder cannot be read: Permission denied"
  assert found.absent[path].split == "train"


def test_a_folder_of_other_names_is_told_and_can_be_divided(tmp_path, capsys):
  """Guards `--source=folder`: validation/ and Real/ are named, all-in-test is said, --divide keeps names together."""
  root = place(tmp_path / "mine", "train/real/a.mp4", "train/fake/a.MOV", "validation/real/b.mp4", "train/Real/c.mp4")
  assert build.main(["--source=folder", f"--root={root}", "--dry-run"]) == 0
  text = capsys.readouterr().out
  assert "2 videos found, 2 missing or left out" in text
  assert "2 × left out: not in a folder called train, val or test, and in it real or fake" in text
  with pytest.raises(SystemExit):
    build.main(["--source=folder", f"--root={root}", "--dry-run", "--divide=0.8,0.1,0.1"])
  assert "has folders train already" in capsys.readouterr().err
  flat = place(tmp_path / "flat", *(f"{label}/{n:02d}.mp4" for label in ("real", "fake/swap") for n in range(20)))
  assert build.main(["--source=folder", f"--root={flat}", "--dry-run"]) == 0
  assert "has no folders train, val and test: all 40 videos are test. --divide=0.8,0.1,0.1" in capsys.readouterr().out
  options = registry.SourceOptions(divide=(0.5, 0.25, 0.25))
  found = registry.load("folder").list_videos(flat, options)
  splits = {}
  for video in found.videos:
    assert splits.setdefault(pathlib.Path(video.path).stem, video.split) == video.split
  assert [list(splits.values()).count(split) for split in ("train", "val", "test")] == [10, 5, 5]
  again = registry.load("folder").list_videos(flat, registry.SourceOptions(divide=(0.5, 0.25, 0.25), seed=1))
  assert [v.split for v in again.videos] != [v.split for v in found.videos]
