"""What is built again: failed videos when asked, replaced files when noticed; and the same content said twice."""

import csv
import dataclasses
import os
import pathlib
import shutil

import pytest

from data_pipelines import build
from data_pipelines.building import build as building
from data_pipelines.building import duplicates, finish, retry, verification
from data_pipelines.sources import Listing, Video
from dfdetect_jax import schema
from dfdetect_jax.errors import UserError


def contents(directory: pathlib.Path) -> dict[str, bytes]:
  return {p.name: p.read_bytes() for p in directory.iterdir() if p.is_file() and p.name != retry.STAMPS_FILE}


def failed(directory: pathlib.Path) -> set[str]:
  with (directory / schema.FAILURES_FILE).open(newline="") as file:
    return {row["path"] for row in csv.DictReader(file)}


def shards(directory: pathlib.Path) -> dict[str, int]:
  return {path.name: path.stat().st_mtime_ns for path in directory.glob("faces-*")}


def test_a_finished_dataset_takes_a_repaired_download_when_told(tmp_path, dataset, capsys):
  """Guards --retry: a repaired file is noticed and named, only its shard is built, and the bytes are a new build's."""
  arguments = [*dataset(4, [("late.mp4", b"half a download")]), "--workers=1"]
  output, videos = tmp_path / "out", tmp_path / "videos"
  assert build.main([*arguments, f"--output={output}"]) == 0
  assert failed(output) == {"late.mp4"}
  capsys.readouterr()
  assert build.main([*arguments, f"--output={output}"]) == 0
  told = capsys.readouterr()
  assert "is finished already" in told.out and "1 videos failed (list/original/none/late); --retry=failed" in told.err
  shutil.copyfile(videos / "good0.mp4", videos / "late.mp4")
  os.utime(videos / "good1.mp4", ns=(1, 1))  # touched, and the same
  before = shards(output)
  assert build.main([*arguments, f"--output={output}"]) == 0
  told = capsys.readouterr()
  assert "1 files are others by now (list/original/none/late); --retry=changed builds them again" in told.err
  assert shards(output) == before
  assert build.main([*arguments, f"--output={output}", "--retry=changed"]) == 0
  assert (
    "1 videos are built again (list/original/none/late), with the others of their 1 shards" in capsys.readouterr().err
  )
  after = shards(output)
  assert sum(after[name] != before[name] for name in before) == 1 and after.keys() == before.keys()
  assert failed(output) == set() and list(verification.problems_of(output)) == []
  assert build.main([*arguments, f"--output={tmp_path / 'new'}"]) == 0
  assert contents(output) == contents(tmp_path / "new")
  capsys.readouterr()
  assert build.main([*arguments, f"--output={output}", "--retry=all"]) == 0  # nothing to do
  assert "is finished already" in capsys.readouterr().out and shards(output) == after


def test_an_unfinished_build_notices_a_replaced_file_by_itself(tmp_path, dataset, capsys, monkeypatch):
  """Guards shards that hold what is no longer there: the unit of a changed file is built again, others are not."""
  arguments = [*dataset(4), "--workers=1"]
  output, videos = tmp_path / "out", tmp_path / "videos"
  with monkeypatch.context() as patch:  # stopped before its last step
    patch.setattr(finish, "finish", lambda directory: ([], []))
    build.main([*arguments, f"--output={output}"])
  before = shards(output)
  shutil.copyfile(videos / "good2.mp4", videos / "good0.mp4")
  assert build.main([*arguments, f"--output={output}", "--duplicates=keep"]) == 0
  assert "1 videos are built again (list/original/none/good0)" in capsys.readouterr().err
  assert sum(shards(output)[name] != before[name] for name in before) == 1
  tracks = {track.video_id: track.sha256 for track in schema.read_tracks(output)}
  assert tracks["list/original/none/good0"] == tracks["list/original/none/good2"]
  assert list(verification.problems_of(output)) == []


def test_a_kill_while_a_dataset_is_opened_again_costs_nothing(tmp_path, dataset, monkeypatch):
  """Guards the order: until the plan and the notes are there the dataset is finished, after it the build goes on."""
  arguments = [*dataset(3, [("bad.mp4", b"x")]), "--workers=1", f"--output={tmp_path / 'out'}"]
  assert build.main(arguments) == 0
  whole = contents(tmp_path / "out")
  with monkeypatch.context() as patch:

    def stop(*_):
      raise RuntimeError("killed")

    patch.setattr(retry.plan, "write_plan", stop)
    with pytest.raises(RuntimeError, match="killed"):
      build.main([*arguments, "--retry=failed"])
  assert contents(tmp_path / "out") == whole
  with monkeypatch.context() as patch:
    patch.setattr(building, "Pool", stop)
    with pytest.raises(RuntimeError, match="killed"):
      build.main([*arguments, "--retry=failed"])
  assert not (tmp_path / "out" / schema.DATASET_FILE).exists()
  assert build.main(arguments) == 0
  assert contents(tmp_path / "out") == whole


def video(path: pathlib.Path, label: int, split: str) -> Video:
  return Video(
    video_id=f"mine/{label}/{split}/{path.name}", path=str(path), label=label, split=split, dataset="mine",
    manipulation="fake" if label else "original",
  )  # fmt: skip


def test_the_same_content_twice_is_refused_or_dropped(tmp_path, caplog, monkeypatch):
  """Guards against a file that is real and fake, or in train and test, under two names: by content, and only then."""
  for name, content in (
    ("a", b"one"),
    ("b", b"one"),
    ("c", b"two"),
    ("d", b"two"),
    ("e", b"eno"),
    ("f", b""),
    ("g", b""),
  ):
    (tmp_path / name).write_bytes(content)
  listing = Listing(
    [
      video(tmp_path / "a", 0, "train"), video(tmp_path / "b", 0, "test"), video(tmp_path / "c", 0, "train"),
      video(tmp_path / "d", 1, "train"), video(tmp_path / "e", 1, "val"), video(tmp_path / "f", 0, "train"),
      video(tmp_path / "g", 1, "test"),
    ]
  )  # fmt: skip
  with pytest.raises(
    UserError,
    match=r"the same content stands .* \(2 cases\), such as a \(real, train\) and b \(real, test\).*--duplicates=drop",
  ):
    duplicates.resolve(listing, "refuse", str(tmp_path))
  assert duplicates.resolve(listing, "keep", str(tmp_path)) is listing
  left = duplicates.resolve(listing, "drop", str(tmp_path))
  assert [pathlib.Path(v.path).name for v in left.videos] == ["b", "e", "f", "g"]
  assert [(pathlib.Path(path).name, reason) for path, reason in left.missing] == [
    ("a", "left out: the same content as another file (real, test there)"),
    ("c", "left out: the same content as another file (fake, train there)"),
    ("d", "left out: the same content as another file (real, train there)"),
  ]
  assert "the same content" in caplog.text
  archive = dataclasses.replace(video(tmp_path / "a", 0, "train"), inside="1")
  twin = dataclasses.replace(video(tmp_path / "b", 1, "train"), inside="1")
  one_archive = Listing([archive, dataclasses.replace(archive, inside="2", video_id="2")])
  assert duplicates.resolve(one_archive, "refuse", str(tmp_path)) is one_archive
  with pytest.raises(UserError, match="the same content"):
    duplicates.resolve(Listing([*one_archive.videos, twin]), "refuse", str(tmp_path))
  same = Listing([video(tmp_path / "a", 0, "train"), video(tmp_path / "b", 0, "train")])
  monkeypatch.setattr(duplicates, "file_sha256", lambda path: 1 / 0)  # nothing is read where nothing contradicts
  assert duplicates.resolve(same, "refuse", str(tmp_path)) is same


def test_the_build_refuses_contradicting_copies_before_it_decodes(tmp_path, dataset, capsys):
  """Guards the default, and the switches' names."""
  arguments = dataset(2)
  shutil.copyfile(tmp_path / "videos/good0.mp4", tmp_path / "videos/good1.mp4")
  with pytest.raises(SystemExit):
    build.main([*arguments, f"--output={tmp_path / 'out'}"])
  assert "good0.mp4 (real, train) and good1.mp4 (fake, train)" in capsys.readouterr().err
  assert not (tmp_path / "out").exists()
  for wrong in ("--duplicates=dorp", "--retry=fail"):
    with pytest.raises(SystemExit):
      build.main([*arguments, f"--output={tmp_path / 'out'}", wrong])
    assert "Did you mean" in capsys.readouterr().err


def test_the_dataset_keeps_what_was_not_there_and_what_was_not_taken(tmp_path, write_video, moving_frames, capsys):
  """Guards the counts on their way to a figure: absent videos with their labels, omissions by reason, notes."""
  root, boxes = tmp_path / "mine", []
  for path in ("real/a.mp4", "fake/b.mp4"):
    (root / path).parent.mkdir(parents=True)
    write_video(root / path, moving_frames(len(boxes), 16))
    boxes += [f"{path},{frame},40,30,80,70" for frame in range(0, 16, 5)]
  (root / "real/c.zip").touch()
  (tmp_path / "boxes.csv").write_text("\n".join(["video,frame,x1,y1,x2,y2", *boxes]))
  (tmp_path / "list.csv").write_text(
    "\ufeffpath,label,split\r\nreal\\a.mp4,real,test\r\nfake\\b.mp4,fake,test\r\nfake/gone.mp4,fake,test\r\n"
  )
  common = ["--detector=precomputed", f"--detections={tmp_path / 'boxes.csv'}", "--size=32", "--workers=1"]
  arguments = ["--source=manifest", f"--manifest={tmp_path / 'list.csv'}", f"--root={root}", *common]
  assert build.main([*arguments, f"--output={tmp_path / 'one'}"]) == 0
  assert "0 without a track\n1 missing or left out by the source:" in capsys.readouterr().out
  (absent,) = schema.read_failures(tmp_path / "one", "test")
  assert (absent.absent, absent.label, absent.video_id) == (True, 1, "list/fake/none/fake/gone")
  assert build.main(["--source=folder", f"--root={root}", *common, f"--output={tmp_path / 'two'}"]) == 0
  about = schema.read_metadata(tmp_path / "two")
  assert about["omitted"] == {"left out: archives that are not unpacked": 1}
  assert "all 2 videos are test" in about["notes"][0]
  written = capsys.readouterr()
  assert "note: " in written.err and "1 missing or left out of 3 (--dry-run names them by reason)" in written.err
  told = written.out
  assert "1 that lay in the source's folders were not taken (--dry-run names them):" in told
  assert "  1 × left out: archives that are not unpacked" in told and "note: " in told
