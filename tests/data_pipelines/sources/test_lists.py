"""Lists that went through other editors, machines and hands; a user's own list, and a user's own source."""

import pathlib

import pytest

from data_pipelines import build
from data_pipelines.sources import lists, registry
from dfdetect_jax.errors import UserError


def write(path: pathlib.Path, data: str | bytes) -> pathlib.Path:
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_bytes(data.encode() if isinstance(data, str) else data)
  return path


def celeb(root: pathlib.Path, text: str | bytes) -> dict[str, str]:
  for name in ("Celeb-real/id0_0000.mp4", "Celeb-real/id1_0000.mp4", "Celeb-synthesis/id0_id1_0000.mp4"):
    write(root / name, "")
  write(root / "List_of_testing_videos.txt", text)
  found = registry.load("celeb_df_v2").list_videos(root, registry.SourceOptions())
  return {pathlib.Path(v.path).name: v.split for v in found.videos}


@pytest.mark.parametrize(
  "text",
  [
    "1 Celeb-real/id0_0000.mp4\n0 Celeb-synthesis/id0_id1_0000.mp4",
    "\ufeff1 Celeb-real/id0_0000.mp4\r\n\r\n0 Celeb-synthesis/id0_id1_0000.mp4\r\n\r\n",
    "1 Celeb-real\\id0_0000.mp4\r\n0 .\\Celeb-synthesis\\id0_id1_0000.mp4\r\n",
    "1 C:\\data\\Celeb-DF-v2\\Celeb-real\\id0_0000.mp4\n0 /data/Celeb-DF-v2/Celeb-synthesis/id0_id1_0000.MP4\n",
  ],
)
def test_line_ends_byte_order_marks_and_other_machines_paths_do_not_matter(tmp_path, text):
  """Guards against test videos in train because their list was edited on Windows."""
  tested = {name for name, split in celeb(tmp_path, text).items() if split == "test"}
  assert tested == {"id0_0000.mp4", "id0_id1_0000.mp4"}


def test_names_that_stand_twice_are_refused_with_both_lines(tmp_path):
  """Guards lists that were put together wrongly, in every format: the file, the lines, and what to do."""
  with pytest.raises(UserError, match=r"List_of_testing_videos.txt, line 3: .* stands in line 1 already. Remove"):
    celeb(tmp_path / "celeb", "1 Celeb-real/id0_0000.mp4\n\n1 Celeb-real\\id0_0000.mp4\n")
  write(tmp_path / "dfdc/test/labels.csv", "filename,label\r\na.mp4,1\r\na.mp4,1\r\n")
  with pytest.raises(UserError, match=r"labels.csv, line 3: 'a.mp4' stands in line 2 already"):
    registry.load("dfdc").list_videos(tmp_path / "dfdc", registry.SourceOptions())
  write(tmp_path / "part/metadata.json", '{"a.mp4": {"label": "REAL"}, "a.mp4": {"label": "FAKE"}}')
  with pytest.raises(UserError, match=r"metadata.json names 'a.mp4' twice"):
    registry.load("dfdc").list_videos(tmp_path / "part", registry.SourceOptions())


def test_two_folders_for_one_split_of_dfdc_are_refused(tmp_path):
  """Guards against two test sets in one figure."""
  for folder in ("test", "test_2"):
    write(tmp_path / folder / "labels.csv", "filename,label\na.mp4,1\n")
  with pytest.raises(UserError, match="2 folders of test videos with labels: .*test and .*test_2.*give a --root"):
    registry.load("dfdc").list_videos(tmp_path, registry.SourceOptions())


def test_only_takes_names_in_any_form(tmp_path, capsys):
  """Guards --only: with or without folders, suffix, labels and other machines' roots; unknown names are told."""
  wanted = lists.Wanted(
    write(tmp_path / "list.txt", "aaa\r\nb.mp4,1\r\nC:\\dfdc\\test\\c.mp4 0\r\nother/d.mp4\r\n\r\naaa\r\ngone\r\n")
  )
  holds = {name: wanted.holds(name) for name in ("test/aaa.mp4", "b.mp4", "test/c.mp4", "test/d.mp4", "x/aa.mp4")}
  assert holds == {"test/aaa.mp4": True, "b.mp4": True, "test/c.mp4": True, "test/d.mp4": False, "x/aa.mp4": False}
  root = tmp_path / "mine"
  for name in ("real/aaa.mp4", "real/b.mp4", "fake/z.mp4"):
    write(root / name, "")
  argv = ["--source=folder", f"--root={root}", "--dry-run"]
  assert build.main([*argv, f"--only={tmp_path / 'list.txt'}"]) == 0
  text = capsys.readouterr().out
  assert "2 videos found, 3 missing or left out" in text and "3 × named by list.txt, no such video: " in text
  with pytest.raises(SystemExit):
    build.main([*argv, f"--only={write(tmp_path / 'none.txt', 'nothing')}"])
  assert "none of its 1 names (such as nothing)" in capsys.readouterr().err
  with pytest.raises(SystemExit):
    build.main([*argv, f"--only={write(tmp_path / 'empty.txt', '')}"])
  assert "empty.txt is empty" in capsys.readouterr().err


def test_a_source_of_ones_own_is_named_by_its_module(tmp_path, monkeypatch, capsys, register):
  """Guards --source=my_lab.layout and a registered name, and what is said of a module that is not there or lists
  nothing."""
  write(
    tmp_path / "my_lab/layout.py",
    "from data_pipelines.sources import Listing, Video\n"
    "def list_videos(root, options):\n"
    "  video = Video(video_id='lab/original/none/a', path=str(root / 'a.mp4'), label=0, split='test', dataset='lab')\n"
    "  return Listing([video], [('b.mp4', 'no such file')])\n",
  )
  write(tmp_path / "my_lab/empty.py", "")
  monkeypatch.syspath_prepend(tmp_path)
  register("data_pipelines.sources", "my_layout", "my_lab.layout")
  argv = [f"--root={tmp_path}", "--dry-run"]
  for name in ("my_lab.layout", "my_layout"):
    assert build.main([f"--source={name}", *argv]) == 0
    assert "1 videos found, 1 missing or left out" in capsys.readouterr().out
  for name, words in (
    ("my_lab.nothing", "cannot be imported"),
    ("my_lab.empty", "has no function list_videos"),
    ("celeb_df_v3", "Did you mean 'celeb_df_v"),
  ):
    with pytest.raises(SystemExit):
      build.main([f"--source={name}", *argv])
    assert words in capsys.readouterr().err
