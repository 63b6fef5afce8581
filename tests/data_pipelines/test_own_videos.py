"""The sources for everyone's own data: manifest and plain folder."""

import pytest

from data_pipelines.sources import folder, manifest, registry
from dfdetect_jax.errors import UserError


def listing(tmp_path, text, root=None, **options):
  file = tmp_path / "mine.csv"
  file.write_bytes(text if isinstance(text, bytes) else text.encode())
  return manifest.list_videos(root, registry.SourceOptions(manifest=str(file), **options))


def test_every_column_reaches_its_field(tmp_path):
  """Guards against lost columns and against ids that merge manipulations of one name."""
  for name in ("a.mp4", "b.mp4"):
    (tmp_path / name).touch()
  found = listing(
    tmp_path,
    "path,label,split,video_id,method,compression,pair,identity,camera\n"
    "a.mp4,real,train,1,original,c23,p,anna,phone\n"
    "b.mp4,1,test,1,swap,c23,p,anna+bob,web\n",
  )
  real, fake = found.videos
  assert (real.video_id, fake.video_id) == ("mine/original/c23/1", "mine/swap/c23/1")
  assert (real.label, fake.label, real.split, fake.split) == (0, 1, "train", "test")
  assert (fake.manipulation, fake.pair, fake.identity, fake.extra) == ("swap", "p", "anna+bob", {"camera": "web"})
  assert real.path == str(tmp_path / "a.mp4") and not found.missing


def test_missing_videos_are_counted_and_compressions_chosen(tmp_path):
  """Guards partial downloads: what is absent is told, what is not wanted is neither listed nor missing."""
  (tmp_path / "a.mp4").touch()
  text = "path,label,split,compression\na.mp4,0,val,c23\nb.mp4,0,val,c23\nc.mp4,0,val,c40\n"
  assert listing(tmp_path, text).missing == [("b.mp4", "no such file"), ("c.mp4", "no such file")]
  assert listing(tmp_path, text, compression=("c23",)).missing == [("b.mp4", "no such file")]


@pytest.mark.parametrize(
  "text, words",
  [
    ("path,split\na,train\n", "no column label"),
    ("", "no column path and no column label"),
    ("path,label,split\n", "names no video"),
    ("path,label,split\na,maybe,train\n", "line 2: unknown label 'maybe'"),
    ("path,label,split\na,real,train\nb,fake,dev\n", "line 3: unknown split 'dev'"),
    ("path,label,split\na,real,train\na,fake,train\n", "line 3: path 'a' stands in line 2"),
    ("path,label,split,video_id\na,real,train,x\nb,real,val,x\n", "line 3: video_id 'x' stands in line 2"),
    ("path,label,split\n,real,train\n", "line 2: the path is empty"),
    ("path,label,split\na,real\n", "line 2: not as many fields"),
    ("path,label,split\na,real,train,x\n", "line 2: not as many fields"),
    (b"path,label,split\n\xff\xfe,real,train\n", "cannot be read as CSV"),
  ],
)
def test_mistakes_name_their_line(tmp_path, text, words):
  """Guards against tracebacks and silent guesses on a mistyped manifest."""
  with pytest.raises(UserError, match=words):
    listing(tmp_path, text)


def test_a_manifest_that_is_not_there(tmp_path):
  """Guards the commonest mistake of all."""
  with pytest.raises(UserError, match="no such file"):
    manifest.list_videos(None, registry.SourceOptions(manifest=str(tmp_path / "none.csv")))
  with pytest.raises(UserError, match="needs a CSV file"):
    manifest.list_videos(None, registry.SourceOptions())


def test_folders_with_and_without_splits(tmp_path):
  """Guards both layouts of a plain folder, and the names of manipulations below fake."""
  for path in ("train/real/a.mp4", "train/fake/swap/a.mp4", "val/fake/b.MOV", "val/real/notes.txt"):
    file = tmp_path / "one" / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch()
  videos = folder.list_videos(tmp_path / "one", registry.SourceOptions()).videos
  assert [(v.split, v.label, v.manipulation) for v in videos] == [
    ("train", 0, "original"),
    ("train", 1, "swap"),
    ("val", 1, "fake"),
  ]
  assert len({v.video_id for v in videos}) == 3
  (tmp_path / "two/real").mkdir(parents=True)
  (tmp_path / "two/real/a.mp4").touch()
  assert [v.split for v in folder.list_videos(tmp_path / "two", registry.SourceOptions()).videos] == ["test"]
  with pytest.raises(UserError, match="expected are"):
    folder.list_videos(tmp_path / "two/real", registry.SourceOptions())
  with pytest.raises(UserError, match="needs --root"):
    folder.list_videos(None, registry.SourceOptions())


def test_unknown_sources_are_refused():
  """Guards --source against a traceback from importlib."""
  with pytest.raises(UserError, match="there is no source 'nothing'"):
    registry.load("nothing")
