"""Four hundred files that somebody broke: each ends as a line of failures or as a sound track, never as anything else.

Every mutation is drawn from a seed. Sound videos stand between the broken ones, and their records must stay, byte for
byte, what they are in a build of sound videos alone.
"""

import csv
import gzip
import io
import json
import os
import pathlib
import random
import re
import signal
import struct
import tarfile
import zlib

import av
import cv2
import numpy as np
import pytest
from array_record.python import array_record_module
from tensorflow_datasets.proto import tf_example_pb2

from data_pipelines import build
from data_pipelines.building import plan, verification
from data_pipelines.building.plan import Settings, Unit
from data_pipelines.building.unit import Job, UnitNote, build_unit, shard_path
from data_pipelines.faces.detectors.detector import Face
from data_pipelines.faces.face_tracks import FaceOptions
from data_pipelines.sources import Video, registry
from data_pipelines.video import encoding
from dfdetect_jax import schema
from dfdetect_jax.errors import UserError

FRAMES, SIZE = 18, 32
BASES = ("v.mp4", "v.mkv", "v.264", "v.avi", "v.ts")


class Hang(BaseException):
  """Not an Exception: nothing may take it for a failure of the file."""


@pytest.fixture(autouse=True)
def no_hang():
  """Ends a test that hangs; the build's own watch over its workers is not running here."""

  def stop(*_):
    raise Hang("no end after 50 s")

  before = signal.signal(signal.SIGALRM, stop)
  signal.alarm(50)
  yield
  signal.alarm(0)
  signal.signal(signal.SIGALRM, before)


class KnownBoxes:
  """Stands for the precomputed detector: the same box in every video."""

  version = "test"

  def faces_of(self, *names):
    return {n: [Face(np.array([12.0, 8, 44, 40]), 1.0)] for n in range(0, FRAMES, 3)}


# --- broken videos


@pytest.fixture(scope="module")
def originals(tmp_path_factory) -> dict[str, bytes]:
  """Sound videos by file name."""
  folder = tmp_path_factory.mktemp("originals")
  y, x = np.mgrid[0:48, 0:64]
  frames = [np.stack([x * 3 + n, y * 4 + 2 * n, x + y + n], -1).astype(np.uint8) for n in range(FRAMES)]
  kinds = [("v.mp4", "libx264"), ("v.mkv", "libx264"), ("v.264", "libx264"), ("v.avi", "mpeg4"), ("v.ts", "libx264")]
  made = {}
  for name, codec in kinds:
    with av.open(str(folder / name), "w") as output:
      stream = output.add_stream(codec, rate=25)
      stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
      if codec == "libx264":
        stream.options = {"preset": "ultrafast", "g": "6"}
      for image in frames:
        output.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
      output.mux(stream.encode(None))
    made[name] = (folder / name).read_bytes()
  for name, count, side in (("one.mp4", 1, 64), ("small.264", FRAMES, 32), ("tiny.mp4", FRAMES, 8)):
    with av.open(str(folder / name), "w") as output:
      stream = output.add_stream("libx264", rate=25)
      stream.width, stream.height, stream.pix_fmt = side, side * 3 // 4 // 2 * 2, "yuv420p"
      for image in frames[:count]:
        image = cv2.resize(image, (stream.width, stream.height))
        output.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
      output.mux(stream.encode(None))
    made[name] = (folder / name).read_bytes()
  with av.open(str(folder / "sound.mp4"), "w") as output:
    stream = output.add_stream("aac", rate=8000)
    silence = av.AudioFrame.from_ndarray(np.zeros((1, 4000), np.float32), format="fltp", layout="mono")
    silence.sample_rate = 8000
    output.mux(stream.encode(silence))
    output.mux(stream.encode(None))
  made["sound.mp4"] = (folder / "sound.mp4").read_bytes()
  return made


def flipped(data: bytes, rng: random.Random, most: int = 30) -> bytes:
  changed = bytearray(data)
  for _ in range(rng.randint(1, most)):
    changed[rng.randrange(len(changed))] = rng.randrange(256)
  return bytes(changed)


def truncated(data: bytes, rng: random.Random) -> bytes:
  return data[: rng.randrange(1, len(data))]


def absurd(data: bytes, rng: random.Random) -> bytes:
  """An MP4 whose header fields say 0, 1 or the most that fits: sizes, counts, rates, durations, offsets."""
  boxes = [m.start() for m in re.finditer(rb"mvhd|tkhd|mdhd|stts|ctts|stsz|stsc|stco|stss|avc1|avcC|elst|hdlr", data)]
  changed = bytearray(data)
  for _ in range(rng.randint(1, 3)):
    at = rng.choice(boxes) + 4 + 4 * rng.randrange(10)
    changed[at : at + 4] = struct.pack(">I", rng.choice([0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFF0000]))
  return bytes(changed)


def broken_videos(originals: dict[str, bytes]) -> list[tuple[str, bytes]]:
  """File names and contents."""
  rng = random.Random(0)
  made = [(name, mutate(originals[name], rng)) for name in BASES for mutate in (truncated, flipped) for _ in range(10)]
  made += [("v.mp4", absurd(originals["v.mp4"], rng)) for _ in range(30)]
  mp4 = originals["v.mp4"]
  moov = mp4.index(b"moov")
  wide = bytearray(mp4)
  at = mp4.index(b"avc1", moov) + 4 + 24
  wide[at : at + 4] = struct.pack(">HH", 65535, 65535)
  lists = {
    "hls.mp4": b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
    "concat.mp4": b"ffconcat version 1.0\nfile /etc/passwd\n",
    "sdp.mp4": b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n",
    "text.mp4": b"There is no video in here.\n" * 400,
    "page.mp4": b"<!DOCTYPE html><html><body>404 Not Found</body></html>",
    "zeros.mp4": bytes(5000),
    "noise.mp4": random.Random(1).randbytes(5000),
    "picture.mp4": cv2.imencode(".png", np.zeros((64, 64, 3), np.uint8))[1].tobytes(),
    "picture.gif": cv2.imencode(".jpg", np.zeros((64, 64, 3), np.uint8))[1].tobytes(),
    "zip.mp4": b"PK\x03\x04" + random.Random(2).randbytes(300),
    "gzip.mp4": gzip.compress(mp4, mtime=0),
    "empty.mp4": b"",
    "byte.mp4": b"\0",
    "header.mp4": mp4[:40],
    "no_index.mp4": mp4[: mp4.index(b"moov") - 4],
    "wide.mp4": bytes(wide),
    "one.mp4": originals["one.mp4"],
    "tiny.mp4": originals["tiny.mp4"],
    "sound.mp4": originals["sound.mp4"],
    "other_name.avi": mp4,
    "other_name.mpg": originals["v.mkv"],
    "no_suffix": mp4,
    "%03d.mp4": mp4,
    "-i.mp4": mp4,
    "a:b.mp4": mp4,
    "new\nline.mp4": mp4,
    "ünï ©ode 日本.mp4": mp4,
    "twice.mp4": mp4 + mp4,
    "tail.mp4": mp4 + random.Random(3).randbytes(999),
    "grows.264": originals["small.264"] + originals["v.264"],
    "shrinks.264": originals["v.264"] + originals["small.264"],
  }
  return made + list(lists.items())


def sort_of(reason: str) -> str:
  return reason.split(":")[0].split("(")[0].strip()


def records(path: pathlib.Path) -> list[bytes]:
  reader = array_record_module.ArrayRecordReader(str(path))
  count = reader.num_records()
  read = list(reader.read(0, count)) if count else []
  reader.close()
  return read


def check_unit(job: Job, unit: Unit, note: UnitNote) -> dict[str, list[bytes]]:
  """Every video is a track or a failure, and the shard holds what the tracks say; returns the records by video."""
  stored = records(shard_path(job.directory, unit))
  assert note.records == len(stored) == sum(track.frames for track in note.tracks)
  assert sorted([t.video_id for t in note.tracks] + [f.video_id for f in note.failures]) == sorted(
    v.video_id for v in unit.videos
  )
  found: dict[str, list[bytes]] = {}
  position = 0
  for track in note.tracks:
    assert track.first == position and track.frames >= job.settings.faces.min_frames
    found[track.video_id] = stored[position : position + track.frames]
    for k, record in enumerate(found[track.video_id]):
      features = tf_example_pb2.Example.FromString(record).features.feature
      assert features["video_id"].bytes_list.value[0].decode() == track.video_id
      assert features["frame_index"].int64_list.value[0] == track.first_frame + k
      assert features["label"].int64_list.value[0] == track.label
      assert encoding.decode(features["image"].bytes_list.value[0]).shape == (SIZE, SIZE, 3)
    position += track.frames
  for failure in note.failures:
    assert failure.reason and "\n" not in failure.reason
    assert not failure.reason.startswith("unexpected"), failure  # a mistake of ours, not of the file
  return found


def run_units(directory: pathlib.Path, settings: Settings, paths: list[pathlib.Path], per_unit: int) -> tuple:
  """Builds paths in this process, the way workers do; returns the records and the reasons of failure by path."""
  (directory / plan.WORK_FOLDER).mkdir(parents=True)
  videos = [
    Video(video_id=f"d/m/none/{n}", path=str(path), label=n % 2, split="train", dataset="d")
    for n, path in enumerate(paths)
  ]
  job = Job(str(directory), settings, str(paths[0].parent), {})
  parts = [tuple(videos[n : n + per_unit]) for n in range(0, len(videos), per_unit)]
  stored, reasons = {}, {}
  for number, part in enumerate(parts):
    unit = Unit("train", number, len(parts), part)
    note = build_unit(job, unit, KnownBoxes())
    path_of = {v.video_id: pathlib.Path(v.path) for v in part}
    stored |= {path_of[name]: found for name, found in check_unit(job, unit, note).items()}
    reasons |= {path_of[failure.video_id]: failure.reason for failure in note.failures}
  assert not list(directory.rglob("*.partial"))
  return stored, reasons


def pictures_of(found: list[bytes]) -> list[bytes]:
  return [tf_example_pb2.Example.FromString(r).features.feature["image"].bytes_list.value[0] for r in found]


@pytest.mark.slow
def test_broken_videos_are_failures_or_sound_tracks(tmp_path, originals):
  """Guards the whole road from decoding to shards against what 160 broken files do, beside sound ones."""
  folder = tmp_path / "videos"
  folder.mkdir()
  paths = []
  for n, (name, content) in enumerate(broken_videos(originals)):
    path = folder / f"{n:03d}" / name
    path.parent.mkdir()
    path.write_bytes(content)
    paths.append(path)
    if n % 5 == 0:
      paths.append(folder / f"sound{n}.mp4")
      paths[-1].write_bytes(originals["v.mp4"])
  (folder / "folder.mp4").mkdir()
  (folder / "nowhere.mp4").symlink_to(folder / "gone.mp4")
  (folder / "circle.mp4").symlink_to(folder / "circle.mp4")
  os.mkfifo(folder / "pipe.mp4")
  for name in BASES:
    paths.append(folder / f"sound_{name}")
    paths[-1].write_bytes(originals[name])
  paths += [folder / name for name in ("folder.mp4", "nowhere.mp4", "circle.mp4", "pipe.mp4", "absent.mp4")]
  settings = Settings("manifest", "precomputed", faces=FaceOptions(size=SIZE, min_frames=8))
  stored, reasons = run_units(tmp_path / "out", settings, paths, per_unit=6)
  pictures = {path: pictures_of(found) for path, found in stored.items()}
  whole = {name: pictures.pop(folder / f"sound_{name}") for name in BASES}
  assert all(len(images) == 16 for images in whole.values())
  for path in paths:
    number = int(path.parent.name) if path.parent != folder else -1
    if path.name.startswith("sound") and number < 0 and path in pictures:
      assert pictures[path] == whole["v.mp4"]
    elif path in pictures and path.name in BASES and number % 20 < 10 and number < 100:  # truncated
      assert pictures[path] == whole[path.name][: len(pictures[path])]
  fate = {path.name: sort_of(reasons.get(path, "a track")) for path in paths if path.name not in BASES}
  undecodable = [name for name, reason in fate.items() if reason == "cannot be decoded"]
  assert {*undecodable} == {
    "hls.mp4", "concat.mp4", "sdp.mp4", "text.mp4", "page.mp4", "zeros.mp4", "noise.mp4", "zip.mp4", "gzip.mp4",
    "byte.mp4", "header.mp4", "no_index.mp4",
  }  # fmt: skip
  assert {
    name: reason for name, reason in fate.items() if name not in undecodable and not re.match(r"sound\d|sound_", name)
  } == {
    "picture.mp4": "not a video",
    "picture.gif": "not a video",
    "empty.mp4": "empty file",
    "one.mp4": "too short",
    "tiny.mp4": "frames of 8x6 pixels are too small",
    "sound.mp4": "no video stream",
    "folder.mp4": "not a file",
    "pipe.mp4": "not a file",
    **dict.fromkeys(["nowhere.mp4", "circle.mp4", "absent.mp4"], "no such file"),
    **dict.fromkeys(["wide.mp4", "other_name.avi", "other_name.mpg", "no_suffix", "%03d.mp4", "-i.mp4"], "a track"),
    **dict.fromkeys(["a:b.mp4", "new\nline.mp4", "ünï ©ode 日本.mp4", "twice.mp4", "tail.mp4"], "a track"),
    **dict.fromkeys(["grows.264", "shrinks.264"], "a track"),
  }


# --- broken archives of crops


def archive_of(members: list[tuple[str, bytes | str]], mode: str = "w:gz") -> bytes:
  """A tar of files (bytes) and of links (text, "hard:" before a hard one's target)."""
  buffer = io.BytesIO()
  with tarfile.open(fileobj=buffer, mode=mode) as archive:
    for name, content in members:
      member = tarfile.TarInfo(name)
      if isinstance(content, bytes):
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
      else:
        member.type = tarfile.LNKTYPE if content.startswith("hard:") else tarfile.SYMTYPE
        member.linkname = content.removeprefix("hard:")
        archive.addfile(member)
  return buffer.getvalue()


def png(n: int) -> bytes:
  image = np.full((SIZE, SIZE, 3), (n * 9, 255 - n * 9, 40), np.uint8)
  return cv2.imencode(".png", image)[1].tobytes()


def giant_png(side: int) -> bytes:
  """A small file that is a large picture, by its header."""
  data = bytearray(png(0))
  data[16:24] = struct.pack(">II", side, side)
  data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
  return bytes(data)


def test_broken_archives_are_failures_or_sound_tracks(tmp_path):
  """Guards WildDeepfake's archives: nothing leaves the archive, nothing is linked to, damage is a line of failures."""
  rng = random.Random(0)
  good = [(f"7/real/0/{n}.png", png(n)) for n in range(12)]
  sound = archive_of(good)
  plain = archive_of(good, "w")
  secret = tmp_path / "secret.png"
  secret.write_bytes(png(1))
  unsafe = {
    "climbs": archive_of([*good, ("7/../../secret.png", png(3))]),
    "absolute": archive_of([*good, (str(secret), png(3))]),
    "link": archive_of([*good, ("7/real/0/12.png", str(secret))]),
    "hard": archive_of([*good, ("7/real/0/12.png", "hard:../../secret.png")]),
    "linked_folder": archive_of([("7/real/1", str(tmp_path)), *good]),
  }
  files = {
    **unsafe,
    "nothing": archive_of([]),
    "no_pictures": archive_of([("7/readme.txt", b"hello")]),
    "no_number": archive_of([*good, ("7/real/0/face.png", png(3))]),
    "damaged": archive_of([*good[:6], ("7/real/0/6.png", png(6)[:40]), *good[7:]]),
    "text": archive_of([*good[:6], ("7/real/0/6.png", b"no picture"), *good[7:]]),
    "giant": archive_of([*good[:6], ("7/real/0/6.png", giant_png(5_000)), *good[7:]]),
    "bomb": archive_of([*good[:6], ("7/real/0/6.png", giant_png(30_000)), *good[7:]]),
    "short": archive_of(good[:5]),
    "gaps": archive_of([member for n, member in enumerate(good) if n != 6]),
    "empty": b"",
    "zip": b"PK\x03\x04" + bytes(100),
    "gzip_of_text": gzip.compress(b"text" * 500, mtime=0),
    "pipe_name": plain,
    **{f"cut{n}": truncated(sound, rng) for n in range(6)},
    **{f"cut_plain{n}": truncated(plain, rng) for n in range(6)},
    **{f"flipped{n}": flipped(sound, rng, 3) for n in range(8)},
    **{f"flipped_plain{n}": flipped(plain, rng, 40) for n in range(8)},
  }
  paths = []
  for name, content in files.items():
    paths += [tmp_path / "in" / f"{name}.tar.gz", tmp_path / "in" / f"sound_{name}.tar.gz"]
    paths[-1].parent.mkdir(exist_ok=True)
    paths[-2].write_bytes(content)
    paths[-1].write_bytes(sound)
  settings = Settings("wild_deepfake", cropped=True, faces=FaceOptions(size=SIZE, min_frames=8))
  stored, reasons = run_units(tmp_path / "out", settings, paths, per_unit=8)
  sounds = [pictures_of(stored[path]) for path in paths if path.name.startswith("sound_")]
  assert all(pictures == sounds[0] for pictures in sounds)
  for n, data in enumerate(sounds[0]):
    np.testing.assert_array_equal(encoding.decode(data), encoding.decode(png(n)))
  fate = {name: sort_of(reasons.get(tmp_path / "in" / f"{name}.tar.gz", "a track")) for name in files}
  assert {fate[name] for name in unsafe} == {"unsafe archive"}
  assert fate["nothing"] == fate["no_pictures"] == "no picture in it"
  assert fate["short"] == fate["gaps"] == "no sequence of at least 8 consecutive pictures"
  assert fate["damaged"] == fate["text"] == "picture 6 is damaged"
  assert fate["giant"] == fate["bomb"] == "absurd picture 6"
  assert fate["no_number"] == "picture 'face' has no number to order it by"
  assert {fate[name] for name in files if name.startswith(("cut", "empty", "zip", "gzip"))} <= {
    "damaged archive", "no picture in it", "no sequence of at least 8 consecutive pictures", "a track",
  }  # fmt: skip
  assert not (tmp_path / "in" / "7").exists() and secret.read_bytes() == png(1)


# --- broken lists


def sound_lists(miniature, root: pathlib.Path) -> dict[str, list[pathlib.Path]]:
  """Every source that reads lists, laid out below root/<source>, and its lists."""
  lists = {}
  for source in ("faceforensics", "celeb_df_v2", "dfdc", "dfdc_preview", "deeper_forensics"):
    base = miniature(source, root / source)
    if source == "faceforensics":
      (base / "splits").mkdir()
      for split, pair in (("train", ["071", "054"]), ("val", ["720", "672"]), ("test", ["953", "974"])):
        (base / f"splits/{split}.json").write_text(json.dumps([pair]))
    lists[source] = sorted(p for p in base.rglob("*") if p.suffix in (".txt", ".json", ".csv"))
  return lists


def mutated_list(data: bytes, rng: random.Random) -> bytes:
  """A list cut, with bytes changed, with a piece twice, of another type, or of wild nesting."""
  start, stop = sorted(rng.randrange(len(data) + 1) for _ in "ab")
  return rng.choice(
    [
      data[:start],
      flipped(data, rng, 5),
      data[:stop] + data[start:],
      data[:start] + data[stop:],
      data.replace(b'"', b"", 3),
      data.decode().encode("utf-16"),
      re.sub(rb'"[^"]*"', rng.choice([b"null", b"7", b"[]", b"{}", b"true", b"1e999", b'"../../x"']), data, count=stop),
      b"[" * rng.randrange(1, 50_000),
      b"9" * 5_000,
      data.replace(b"\n", b"\r\n"),
    ]
  )


def test_broken_lists_are_a_users_error_or_a_listing(tmp_path, miniature):
  """Guards the sources' lists (JSON, CSV, text): 150 broken ones end in a sentence or in a listing without a leak."""
  rng = random.Random(0)
  errors = 0
  for source, lists in sound_lists(miniature, tmp_path).items():
    module = registry.load(source)
    for n in range(30):
      path = lists[n % len(lists)]
      sound = path.read_bytes()
      path.write_bytes(mutated_list(sound, rng))
      try:
        found = module.list_videos(tmp_path / source, registry.SourceOptions())
      except UserError as error:
        assert str(tmp_path / source) in str(error)
        errors += 1
      else:
        for video in found.videos:
          assert pathlib.Path(video.path).resolve().is_relative_to(tmp_path / source)
          assert video.label in (0, 1) and video.split in schema.SPLITS
      finally:
        path.write_bytes(sound)
  assert 50 < errors < 150


def test_broken_manifests_and_box_files_are_a_users_error_or_read(tmp_path):
  """Guards the two files that users write themselves."""
  from data_pipelines.faces.detectors import precomputed

  rng = random.Random(0)
  (tmp_path / "a.mp4").touch()
  (tmp_path / "b.mp4").touch()
  manifest = b"path,label,split,pair\na.mp4,real,train,p\nb.mp4,1,test,q\n"
  boxes = {
    "boxes.csv": b"video,frame,x1,y1,x2,y2,score\na.mp4,0,1,2,30,40,0.9\na.mp4,5,1,2,30,40,0.9\n",
    "boxes.json": b'{"a.mp4": {"0": [[1, 2, 30, 40]], "5": [[1, 2, 30, 40, 0.9]]}, "b.mp4": {"0": []}}',
  }
  errors = 0
  for _ in range(60):
    file = tmp_path / "list.csv"
    file.write_bytes(mutated_list(manifest, rng))
    try:
      found = registry.load("manifest").list_videos(None, registry.SourceOptions(manifest=str(file)))
      assert {pathlib.Path(v.path).name for v in found.videos} <= {"a.mp4", "b.mp4"}
    except UserError:
      errors += 1
    for name, sound in boxes.items():
      (tmp_path / name).write_bytes(mutated_list(sound, rng))
      try:
        for faces in (precomputed.create(str(tmp_path / name)).faces_of("a.mp4") or {}).values():
          assert all(np.isfinite(face.box).all() and (face.box[2:] > face.box[:2]).all() for face in faces)
      except UserError:
        errors += 1
  assert 60 < errors < 180


# --- the program itself


def test_a_build_of_forty_broken_files_ends_well(tmp_path, originals, capsys):
  """Guards workers, failures file and finish: every file is a verified track or a line of failures."""
  broken = broken_videos(originals)[::8]
  rows = [("path", "label", "split")]
  for n, (_, content) in enumerate(broken):
    for name, data in ((f"broken{n}.mp4", content), (f"sound{n}.mp4", originals["v.mp4"])):
      (tmp_path / name).write_bytes(data)
      rows.append((name, n % 2, ("train", "val", "test")[n % 3]))
  with (tmp_path / "list.csv").open("w", newline="") as file:
    csv.writer(file).writerows(rows)
  boxes = {name: {n: [[12, 8, 44, 40]] for n in range(0, FRAMES, 3)} for name, _, _ in rows[1:]}
  (tmp_path / "boxes.json").write_text(json.dumps(boxes))
  output = tmp_path / "out"
  status = build.main(
    [
      "--source=manifest", f"--manifest={tmp_path / 'list.csv'}", f"--output={output}", f"--size={SIZE}",
      "--detector=precomputed", f"--detections={tmp_path / 'boxes.json'}", "--min-frames=8", "--workers=2",
      "--duplicates=keep",  # the sound files are one
    ]
  )  # fmt: skip
  assert status == 0
  assert list(verification.problems_of(output)) == []
  tracked = [track.path for track in schema.read_tracks(output)]
  with (output / schema.FAILURES_FILE).open(newline="") as file:
    failed = [row["path"] for row in csv.DictReader(file)]
  assert sorted(tracked + failed) == sorted(name for name, _, _ in rows[1:])
  assert {f"sound{n}.mp4" for n in range(len(broken))} <= {*tracked}
  assert len(failed) > 8
