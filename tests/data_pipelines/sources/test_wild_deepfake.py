"""WildDeepfake's layout: archives of crops in folders of several spellings."""

import io
import pathlib
import tarfile

import pytest
from helpers.listings import by_id, listing, place

from data_pipelines.faces import cropped


def archive(path: pathlib.Path, *members: str) -> None:
  path.parent.mkdir(parents=True, exist_ok=True)
  with tarfile.open(path, "w:gz") as file:
    for name in members:
      file.addfile(tarfile.TarInfo(name), io.BytesIO())


@pytest.mark.parametrize("gap", ["_", " ", ""])
def test_wild_deepfake_in_every_spelling(tmp_path, miniature, gap):
  """Guards folders with a space, an underscore or neither; a video is a sequence; real 0 and fake 0 are two videos."""
  found = listing("wild_deepfake", miniature("wild_deepfake", tmp_path, gap=gap))
  videos = by_id(found)
  assert not found.lacking and len(videos) == 2 * 63 * 2
  real, fake = videos["wild_deepfake/original/none/test/0/3"], videos["wild_deepfake/fake/none/test/0/3"]
  assert (real.label, real.inside, fake.label, fake.inside) == (0, "0/real/3", 1, "0/fake/3")
  assert {v.split for v in videos.values() if "/train/" in v.video_id} == {"train", "val"}
  by_archive = {}
  for video in videos.values():
    assert by_archive.setdefault(video.path, video.split) == video.split  # held out by archive


def test_wild_deepfake_partial_unpacked_and_dotted(tmp_path):
  """Guards a missing split, an archive beside its unpacked folder, and names that differ after a dot."""
  place(tmp_path, "real_train/1/1/real/7/0.png", "real_train/2/2/real/7/0.png", "real_train/.DS_Store")
  place(
    tmp_path, "real_train/readme.txt", "real_train/2/real/8/0.png", "real_train/2/0.png", "real_train/5.tar.gz.part"
  )
  for name in ("1.tar.gz", "3.1.tar.gz", "3.2.tgz"):
    archive(tmp_path / "real_train" / name, "1/real/7/0.png")
  (tmp_path / "real_train/4.tar.gz").write_bytes(b"cut")
  archive(tmp_path / "real_train/6.tar.gz", "6/fake/0/1.png", "6/real/0/1.png")
  found = listing("wild_deepfake", tmp_path)
  names = {v.video_id.split("/train/")[1]: pathlib.Path(v.path).name for v in found.videos}
  assert names == {
    "1/7": "1.tar.gz", "2/7": "2", "2/8": "2", "2/all": "2", "3.1/1/real/7": "3.1.tar.gz", "3.2/1/real/7": "3.2.tgz",
    "6/0": "6.tar.gz",
  }  # fmt: skip
  missing = dict(found.missing)
  assert missing.pop("real_train/4.tar.gz").startswith("damaged archive")
  assert missing.pop("real_train/6.tar.gz/6/fake/0") == "left out: fake faces in a folder of real ones"
  assert missing == dict.fromkeys(["fake_train", "real_test", "fake_test"], "no such folder")
  assert dict(found.omitted) == {
    "real_train/1/1/real/7/0.png": "left out: unpacked from an archive that is read itself",
    "real_train/5.tar.gz.part": "left out: a partial download",
  }


def test_an_archive_is_unpacked_once(tmp_path, monkeypatch):
  """Guards minutes at every listing; and against a list of what an archive held before it was replaced."""
  monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
  read = []
  sequences_in = cropped.sequences_in
  monkeypatch.setattr(cropped, "sequences_in", lambda path: read.append(path.name) or sequences_in(path))
  for name in ("1", "2"):
    archive(tmp_path / "set/real_train" / f"{name}.tar.gz", f"{name}/real/0/1.png")
  ids = [sorted(by_id(listing("wild_deepfake", tmp_path / "set"))) for _ in range(2)]
  assert ids[0] == ids[1] and sorted(read) == ["1.tar.gz", "2.tar.gz"]
  archive(tmp_path / "set/real_train/2.tar.gz", "2/real/0/1.png", "2/real/5/1.png")
  (tmp_path / "set/real_train/1.tar.gz").unlink()
  assert [name.split("/train/")[1] for name in by_id(listing("wild_deepfake", tmp_path / "set"))] == ["2/0", "2/5"]
  assert read[2:] == ["2.tar.gz"]
  for damage in (b"[]", b"", b"{", b'{"a": 1}'):
    (tmp_path / "cache/dfdetect_jax/archives.json").write_bytes(damage)
    assert len(by_id(listing("wild_deepfake", tmp_path / "set"))) == 2
  (tmp_path / "set/real_train/2.tar.gz").write_bytes(b"cut")
  for _ in range(2):  # what is damaged is looked at each time: it may be mended
    assert "damaged archive" in dict(listing("wild_deepfake", tmp_path / "set").missing)["real_train/2.tar.gz"]
