"""Archives and folders of face crops: order, gaps, several sequences, and archives that are broken or hostile."""

import io
import tarfile
import tracemalloc

import numpy as np
import pytest

from data_pipelines.faces import cropped
from data_pipelines.video import encoding
from data_pipelines.video.decode import BrokenVideo


def pictures(count, start=0, size=24):
  return [np.full((size, size, 3), start + k, np.uint8) for k in range(count)]


def archive(path, members):
  with tarfile.open(path, "w:gz") as file:
    for name, data in members:
      info = tarfile.TarInfo(name)
      info.size = len(data)
      file.addfile(info, io.BytesIO(data))
  return path


def encoded(images):
  return [encoding.Encoding("png").encode(image) for image in images]


def values(sequence):
  return [int(image[0, 0, 0]) for image in sequence.crops(24)]


def test_sequences_come_in_the_order_of_their_numbers_and_end_at_gaps(tmp_path):
  """Guards against the archive's own order, against 10 before 9, and against splicing over missing pictures."""
  data = encoded(pictures(20))
  order = np.random.default_rng(0).permutation([n for n in range(20) if n != 12])
  members = [(f"./real/5/{n}.png", data[n]) for n in order] + [("real/6/100.png", data[0]), ("real/notes.txt", b"x")]
  path = archive(tmp_path / "1.tar.gz", members)
  long, short = cropped.crop_sequences(path, 0, 0, 3)
  assert (long.first, values(long)) == (0, list(range(12)))
  assert (short.first, values(short)) == (13, list(range(13, 20)))
  (only,) = cropped.crop_sequences(path, 8, 1, 3)
  assert values(only) == list(range(8))


def test_an_even_stride_is_no_gap(tmp_path):
  """Guards against cutting a sequence that its authors sampled every fifth frame into single pictures."""
  data = encoded(pictures(10))
  path = archive(tmp_path / "1.tar.gz", [(f"a/{5 * n:05d}.png", data[n]) for n in range(10)])
  (only,) = cropped.crop_sequences(path, 0, 0, 2)
  assert values(only) == list(range(10))


def test_folders_are_read_like_archives(tmp_path):
  """Guards unpacked copies of the same dataset."""
  folder = tmp_path / "3" / "seq"
  folder.mkdir(parents=True)
  for n, data in enumerate(encoded(pictures(4))):
    (folder / f"{n}.png").write_bytes(data)
  (only,) = cropped.crop_sequences(tmp_path / "3", 0, 0, 2)
  assert values(only) == [0, 1, 2, 3]
  assert next(only.crops(48)).shape == (48, 48, 3)


@pytest.mark.parametrize("name", ["../evil.png", "/etc/evil.png", "a/../../evil.png"])
def test_members_that_point_outside_are_refused(tmp_path, name):
  """Guards against path traversal, even though nothing is ever unpacked to disk."""
  path = archive(tmp_path / "1.tar.gz", [("a/0.png", encoded(pictures(1))[0]), (name, b"x")])
  with pytest.raises(BrokenVideo, match="unsafe archive"):
    cropped.crop_sequences(path, 0, 0, 1)


def test_broken_archives_say_so(tmp_path):
  """Guards against tracebacks on truncated, empty and mis-named archives and damaged pictures."""
  good = archive(tmp_path / "good.tar.gz", [(f"a/{n}.png", d) for n, d in enumerate(encoded(pictures(30)))])
  for name, content, words in (
    ("cut.tar.gz", good.read_bytes()[: good.stat().st_size // 2], "damaged archive"),
    ("zero.tar.gz", b"", "damaged archive"),
    ("text.tar.gz", b"hello" * 100, "damaged archive"),
  ):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BrokenVideo, match=words):
      cropped.crop_sequences(tmp_path / name, 0, 0, 1)
  for name, members, words in (
    ("none.tar.gz", [("a/readme.txt", b"x")], "no picture"),
    ("few.tar.gz", [("a/0.png", b"x")], "no sequence of at least 2"),
    ("words.tar.gz", [("a/first.png", b"x")], "has no number"),
  ):
    with pytest.raises(BrokenVideo, match=words):
      cropped.crop_sequences(archive(tmp_path / name, members), 0, 0, 2)
  broken = cropped.crop_sequences(archive(tmp_path / "b.tar.gz", [("a/0.png", b"x"), ("a/1.png", b"y")]), 0, 0, 2)
  with pytest.raises(BrokenVideo, match="picture 0 is damaged"):
    list(broken[0].crops(24))
  with pytest.raises(BrokenVideo, match="no such file"):
    cropped.crop_sequences(tmp_path / "missing.tar.gz", 0, 0, 1)


@pytest.mark.parametrize("suffix", ["tar", "tar.gz", "tar.bz2", "tar.xz"])
@pytest.mark.parametrize("where", ["pax", "name", "data", "hole"])
def test_headers_count_towards_an_archives_bytes(tmp_path, monkeypatch, suffix, where):
  """Guards memory: a header, a name or a hole that inflates is refused before it is read, whatever packs it."""
  monkeypatch.setattr(cropped, "MOST_BYTES", 1 << 20)
  path, much = tmp_path / f"1.{suffix}", 3 << 20
  member = tarfile.TarInfo("a/0.png" if where != "name" else "a/" + "b" * much + "/0.png")
  kind = tarfile.PAX_FORMAT if where == "pax" else tarfile.GNU_FORMAT
  with tarfile.open(path, f"w:{suffix[4:]}", format=kind) as tar:
    if where == "pax":
      member.pax_headers = {"comment": "c" * much}
    if where == "hole":  # GNU sparse: no data, and a size that reading would fill with zeros
      member.size = much
      header = bytearray(member.tobuf(tarfile.GNU_FORMAT))
      header[124:136], header[156:157], header[483:495] = b"%011o\0" % 0, tarfile.GNUTYPE_SPARSE, b"%011o\0" % much
      header[148:156] = b" " * 8
      header[148:156] = b"%06o\0 " % sum(header)
      tar.fileobj.write(header)
    else:
      member.size = much if where == "data" else 1
      tar.addfile(member, io.BytesIO(bytes(member.size)))
  tracemalloc.start()
  try:
    with pytest.raises(BrokenVideo, match="absurd archive: more than 1 MiB in it"):
      cropped.crop_sequences(path, 0, 0, 1)
    dictionary = 9 << 20 if suffix == "tar.xz" else 0  # of its decoder
    assert tracemalloc.get_traced_memory()[1] < (1 << 20) + dictionary
  finally:
    tracemalloc.stop()
