"""Celeb-DF's layout: the inverted test list, and everything that would leak from it."""

import pathlib
import re

import pytest
from helpers.listings import listing, place, write

from dfdetect_jax.errors import UserError


@pytest.mark.parametrize("source", ["celeb_df_v1", "celeb_df_v2"])
@pytest.mark.parametrize("seed", range(3))
def test_celeb_df_split_by_an_independent_reading(tmp_path, miniature, source, seed):
  """Guards --strict-people: inverted flags, the last line without an end, test videos, their originals or pairs."""
  root = miniature(source, tmp_path, seed=seed)
  lines = (root / "List_of_testing_videos.txt").read_bytes()
  assert not lines.endswith(b"\n")
  tested = {line.split(" ")[1]: 1 - int(line.split(" ")[0]) for line in lines.decode().split("\n")}
  found = listing(source, root, strict_people=True)
  where = {pathlib.Path(v.path).relative_to(root).as_posix(): v for v in found.videos}
  assert {path: v.label for path, v in where.items() if v.split == "test"} == tested
  assert all(v.label == path.startswith("Celeb-synthesis") for path, v in where.items())

  def parts(path):
    ids = re.findall(r"id\d+", path)
    return (ids[0], path[-8:-4]) if ids else path, {*ids}

  fates = dict(found.missing)
  for path in {p.relative_to(root).as_posix() for p in root.rglob("*.mp4")} - {*tested}:
    original, people = parts(path)
    leaks = any(parts(t)[0] == original or (len(people) == 2 and parts(t)[1] == people) for t in tested)
    assert leaks == (path in fates and "shares" in fates[path]), path
    if path in where:
      assert where[path].split in ("train", "val") and where[path].identity == "+".join(re.findall(r"id\d+", path))
    else:
      assert "left out" in fates[path]
  assert len([v for v in found.videos if v.split == "train"]) > 100
  count = {"celeb_df_v1": 100, "celeb_df_v2": 518}[source]
  assert fates["List_of_testing_videos.txt"] == f"names {len(tested)} videos, the authors' {count}"


def test_celeb_df_reports_what_is_absent_and_skips_hidden_files(tmp_path):
  """Guards partial downloads: a listed video that is not there, a folder that is not there, macOS's `._` files."""
  place(tmp_path, "Celeb-real/id0_0000.mp4", "Celeb-real/._id0_0000.mp4", "Celeb-synthesis/id0_id1_0000.mp4")
  write(tmp_path / "List_of_testing_videos.txt", "1 Celeb-real/id0_0000.mp4\n0 Celeb-synthesis/id5_id6_0001.mp4")
  found = listing("celeb_df_v2", tmp_path, strict_people=True)
  assert [v.video_id for v in found.videos] == ["celeb_df_v2/original/none/Celeb-real/id0_0000"]
  missing = dict(found.missing)
  assert missing["YouTube-real"] == "no such folder"
  assert missing["Celeb-synthesis/id5_id6_0001.mp4"] == "listed for the test, no such file"
  assert missing["Celeb-synthesis/id0_id1_0000.mp4"].startswith("left out: shares its original")


@pytest.mark.parametrize(
  "text, message",
  [
    ("0 Celeb-real/id0_0000.mp4", "1 means real"),
    ("1 Celeb-synthesis/id0_id1_0000.mp4", "1 means real"),
    ("Celeb-real/id0_0000.mp4", "line 1"),
    ("1 Celeb-real/../../id0_0000.mp4", "line 1"),
    ("1 Elsewhere/id0_0000.mp4", "line 1"),
    ("\n\n", "is empty"),
    (None, "is missing"),
  ],
)
def test_celeb_df_list_that_contradicts_the_folders_is_refused(tmp_path, text, message):
  """Guards against flipped labels and against a test set in train because its list was unreadable."""
  place(tmp_path, "Celeb-real/id0_0000.mp4")
  if text is not None:
    write(tmp_path / "List_of_testing_videos.txt", text)
  with pytest.raises(UserError, match=message):
    listing("celeb_df_v2", tmp_path)


def test_shared_originals_are_no_problem_of_a_built_celeb_df(tmp_path):
  """Guards data_pipelines.verify, and the check before training, from calling the authors' own split a leak."""
  from data_pipelines.building import verification
  from dfdetect_jax.data.videos import check_splits
  from dfdetect_jax.schema import Track

  def track(dataset: str, split: str, label: int) -> Track:
    return Track(
      video_id=f"{dataset}/{split}", label=label, split=split, dataset=dataset, manipulation="x" if label else "",
      pair="id0_0000", identity="id0", path=split, track=0, first=0, frames=1, first_frame=0, fps=25.0, size=32,
    )  # fmt: skip

  shared = [track("celeb_df_v2", "test", 0), track("celeb_df_v2", "train", 1)]
  assert list(verification._leaks(shared)) == [] and check_splits(shared) == []
  mine = [track("mine", "test", 0), track("mine", "train", 1)]
  assert list(verification._leaks(mine)) == ["pair 'id0_0000' is in several splits: test, train"]
