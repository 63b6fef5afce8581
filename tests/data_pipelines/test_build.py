"""The build as a program: good and bad videos, stops and resumption, parts, and what a reader finds."""

import contextlib
import csv
import hashlib
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest
from array_record.python import array_record_module
from helpers.folders import contents

from data_pipelines import build, merge, verify
from data_pipelines.building import finish, plan, verification
from data_pipelines.building.build import listing_of, summary_of_build
from data_pipelines.building.options import settings_of
from data_pipelines.building.pool import Pool
from data_pipelines.building.unit import Job, UnitNote
from data_pipelines.video import decode, encoding
from dfdetect_jax import schema
from dfdetect_jax.errors import UserError

PROGRAM = [sys.executable, "-m", "data_pipelines.build"]
ROOT = pathlib.Path(__file__).parents[2]


def run(arguments, program=PROGRAM):
  return subprocess.run([*program, *map(str, arguments)], cwd=ROOT, capture_output=True, text=True, timeout=300)


def failures(directory):
  with (directory / schema.FAILURES_FILE).open(newline="") as file:
    return {row["path"]: row["reason"] for row in csv.DictReader(file)}


def test_a_build_of_good_and_bad_videos_is_whole_and_readable(tmp_path, dataset):
  """Guards the program end to end: every video is a track or a line of failures, and TFDS reads what is written."""
  import tensorflow_datasets as tfds

  bad = [("empty.mp4", b""), ("text.mp4", b"no video" * 100)]
  arguments = dataset(4, bad)
  with (tmp_path / "videos/list.csv").open("a") as manifest:
    manifest.write("gone.mp4,fake,val,,\n")
  output = tmp_path / "out"
  result = run([*arguments, f"--output={output}", "--workers=2"])
  assert result.returncode == 0, result.stderr
  assert "Traceback" not in result.stderr
  assert failures(output) == {
    "gone.mp4": "no such file",
    "empty.mp4": "empty file (0 bytes)",
    "text.mp4": "cannot be decoded: Invalid data found when processing input",
  }
  tracks = schema.read_tracks(output)
  assert [(t.video_id, t.split, t.label, t.first, t.frames) for t in tracks] == [
    ("list/original/none/good0", "train", 0, 0, 16),
    ("list/fake/none/good1", "train", 1, 16, 16),
    ("list/original/none/good2", "val", 0, 0, 16),
    ("list/fake/none/good3", "val", 1, 16, 16),
  ]
  first = tracks[0]
  assert (first.pair, first.extra, first.path, first.size) == ("pair0", {"note": "kept"}, "good0.mp4", 32)
  assert first.sha256 == hashlib.sha256((tmp_path / "videos/good0.mp4").read_bytes()).hexdigest()
  assert first.fps == pytest.approx(25, rel=0.01)
  source = tfds.builder_from_directory(output).as_data_source("val")
  assert len(source) == 32
  record = source[20]
  assert record["image"].shape == (32, 32, 3) and record["video_id"] == b"list/fake/none/good3"
  assert [int(record[name]) for name in ("track", "frame_index", "label")] == [0, 4, 1]
  assert "tensorflow" not in sys.modules
  assert list(verification.problems_of(output)) == []
  assert run([*arguments, f"--output={output}"]).stdout.startswith(f"{output} is finished already")
  other = run([*arguments, f"--output={output}", "--size=48", "--encoding=webp"])
  assert other.returncode == 2 and "Traceback" not in other.stderr
  assert "--size was 32, is 48" in other.stderr and "--encoding was 'png', is 'webp'" in other.stderr


def test_stored_pictures_are_the_crops_of_the_video(tmp_path, dataset):
  """Guards against frames shifted in time or in place between the video and the shards."""
  output = tmp_path / "out"
  assert build.main([*dataset(1), f"--output={output}", "--workers=1", "--margin=1.0"]) == 0
  images = [f.image for f in decode.read_frames(tmp_path / "videos/good0.mp4")]
  (shard,) = output.glob("faces-train*")
  reader = array_record_module.ArrayRecordReader(str(shard))
  for k, record in enumerate(reader.read_all()):
    features = verification._features(record)
    assert features["frame_index"] == k
    if k % 2:
      continue  # the box lies on half a pixel
    # The box's left edge is at 40 + k/2, its side is 40, the crop's 32: 24 pixels in the crop's middle are 30 of these.
    left = 40 + k // 2
    expected = images[k][35:65, left + 5 : left + 35].mean(axis=(0, 1))
    stored = encoding.decode(features["image"])[4:28, 4:28].mean(axis=(0, 1))
    np.testing.assert_allclose(stored, expected, atol=0.6)  # one pixel to the side changes it by three
  reader.close()


@pytest.mark.slow
def test_kills_and_workers_leave_no_mark_on_the_bytes(tmp_path, dataset):
  """Guards the promise of the same bytes: one worker, three workers, and a build killed at random times and resumed."""
  arguments = dataset(24, [("empty.mp4", b"")])
  assert run([*arguments, f"--output={tmp_path / 'one'}", "--workers=1"]).returncode == 0
  assert run([*arguments, f"--output={tmp_path / 'three'}", "--workers=3"]).returncode == 0
  expected = contents(tmp_path / "one")
  assert contents(tmp_path / "three") == expected
  output, killed = tmp_path / "killed", 0
  rng = np.random.default_rng(0)
  for _ in range(20):
    process = subprocess.Popen(
      [*PROGRAM, *arguments, f"--output={output}", "--workers=1"],
      cwd=ROOT,
      stdout=subprocess.DEVNULL,
      stderr=subprocess.DEVNULL,
      start_new_session=True,
    )
    before = len(list(output.glob("build/*-0*.json")))
    until = time.monotonic() + 60
    # Killed a little after it has finished one more unit, somewhere in the next one.
    while process.poll() is None and len(list(output.glob("build/*-0*.json"))) == before and time.monotonic() < until:
      time.sleep(0.002)
    time.sleep(rng.uniform(0, 0.05))
    if process.poll() is not None:
      break
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    killed += 1
  assert killed >= 3
  assert run([*arguments, f"--output={output}", "--workers=2"]).returncode == 0
  assert contents(output) == expected


def test_a_build_from_python_is_the_programs(tmp_path, dataset):
  """Guards `build(BuildOptions(…))`: the same bytes as the command line's, tracks and failures as values."""
  arguments = dataset(3, [("broken.mp4", b"no video")])
  assert build.main([*arguments, f"--output={tmp_path / 'program'}", "--workers=1"]) == 0
  videos = tmp_path / "videos"
  options = build.BuildOptions(
    source="manifest", manifest=str(videos / "list.csv"), detector="precomputed", detections=str(videos / "boxes.csv"),
    size=32, output=tmp_path / "python", workers=1,
  )  # fmt: skip
  built = build.build(options)
  assert [t.path for t in built.tracks] == ["good0.mp4", "good1.mp4", "good2.mp4"] and built.status == 0
  assert [f.path for f in built.failures] == ["broken.mp4"]
  assert contents(tmp_path / "python") == contents(tmp_path / "program")
  assert build.build(options).tracks == built.tracks  # finished already


def test_a_kill_in_the_very_last_step_leaves_no_mark_either(tmp_path, dataset, monkeypatch):
  """Guards a stop between the finished dataset and the removal of the build's notes."""
  arguments = [*dataset(2), f"--output={tmp_path / 'out'}", "--workers=1"]
  with monkeypatch.context() as patch:
    patch.setattr(finish, "clear_work", lambda directory: None)
    assert build.main(arguments) == 0
  assert (tmp_path / "out" / plan.WORK_FOLDER).exists()
  assert build.main(arguments) == 0
  assert not (tmp_path / "out" / plan.WORK_FOLDER).exists()


@pytest.mark.slow
def test_a_killed_worker_is_replaced_and_its_unit_done_again(tmp_path, dataset):
  """Guards against losing a video because the system killed a worker once."""
  arguments = dataset(6)
  assert run([*arguments, f"--output={tmp_path / 'whole'}", "--workers=1"]).returncode == 0
  output = tmp_path / "out"
  process = subprocess.Popen(
    [*PROGRAM, *arguments, f"--output={output}", "--workers=1"], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=-3
  )
  until = time.monotonic() + 60
  while not list(output.glob("*.partial")) and not list(output.glob("build/*-0*.json")) and time.monotonic() < until:
    time.sleep(0.002)
  for child in psutil.Process(process.pid).children():
    with contextlib.suppress(psutil.NoSuchProcess):  # it has ended by itself
      if "spawn_main" in " ".join(child.cmdline()):
        child.kill()
  assert process.wait(timeout=120) == 0
  assert contents(output) == contents(tmp_path / "whole")


FAULTY = """
import os, signal, time
from data_pipelines.building.unit import build_unit

def work(job, unit, detector, skip, starts, tick):
  for index, video in enumerate(unit.videos):
    starts(index)
    if index in skip:
      continue
    if "good0" in video.path:
      os.kill(os.getpid(), signal.SIGSEGV)
    if "good1" in video.path:
      time.sleep(1000)
  return build_unit(job, unit, detector, skip, starts, tick)
"""


@pytest.mark.slow
def test_a_crash_or_a_hang_in_a_decoder_costs_one_video(tmp_path, dataset, monkeypatch):
  """Guards against a dead or endless build: the videos that crash or hang are told of, the others are built."""
  (tmp_path / "faulty_work.py").write_text(FAULTY)
  monkeypatch.syspath_prepend(tmp_path)
  import faulty_work

  output = tmp_path / "out"
  options = build.options_of(build.parser().parse_args([*dataset(4), f"--output={output}"]))
  settings = settings_of(options)
  videos = listing_of(options, settings).videos
  (output / plan.WORK_FOLDER).mkdir(parents=True)
  job = Job(str(output), settings, str(tmp_path / "videos"), {})
  units = [plan.Unit("train", 0, 2, tuple(videos[:3])), plan.Unit("train", 1, 2, (videos[3],))]
  news = list(Pool(job, 2, timeout=20, work=faulty_work.work).run(units))
  notes = {item.unit.shard: item.note for item in news if item.note}
  assert {failure.path: failure.reason for failure in notes[0].failures} == {
    "good0.mp4": "crashes the decoder (SIGSEGV)",
    "good1.mp4": "hangs: no progress for 20 s",
  }
  assert [track.path for track in notes[0].tracks] == ["good2.mp4"]
  assert notes[1].failures == [] and isinstance(notes[1], UnitNote)


@pytest.mark.slow
def test_parts_join_to_the_whole(tmp_path, dataset, capsys):
  """Guards the work of several machines: parts in folders of their own join to the very bytes of one build."""
  arguments = dataset(5)
  build.main([*arguments, f"--output={tmp_path / 'whole'}", "--workers=1"])
  for part in (1, 2):
    build.main([*arguments, f"--output={tmp_path / f'part{part}'}", f"--part={part}/2", "--workers=1"])
  joined = tmp_path / "joined"
  capsys.readouterr()
  with pytest.raises(SystemExit) as error:
    merge.main([str(joined), str(tmp_path / "part1")])
  assert error.value.code == 2 and "lacks" in capsys.readouterr().err
  assert not (joined / schema.DATASET_FILE).exists()
  assert merge.main([str(joined), str(tmp_path / "part2")]) == 0
  assert contents(joined) == contents(tmp_path / "whole")
  other = tmp_path / "other"
  build.main([*arguments, f"--output={other}", "--part=1/2", "--size=16", "--workers=1"])
  with pytest.raises(SystemExit):
    merge.main([str(tmp_path / "fresh"), str(tmp_path / "part1"), str(other)])
  assert "--size was 32, is 16" in capsys.readouterr().err


def test_verify_finds_what_was_changed(tmp_path, dataset):
  """Guards against a verification that reads nothing: damaged bytes, lost shards and altered tracks must be told."""
  output = tmp_path / "out"
  build.main([*dataset(3), f"--output={output}", "--workers=1"])
  shard = sorted(output.glob("faces-train*"))[0]
  good = shard.read_bytes()
  damaged = bytearray(good)
  damaged[20000] ^= 255
  shard.write_bytes(damaged)
  assert any("checksum differs" in problem for problem in verification.problems_of(output))
  shard.write_bytes(good)
  tracks = (output / schema.TRACKS_FILE).read_text()
  for old, new, words in (
    ('"label": 1', '"label": 0', "the record says"),
    ('"first_frame": 0', '"first_frame": 3', "the record says"),
    ('"frames": 16, "identity"', '"frames": 15, "identity"', "the shards hold"),
    ('"pair": "pair1"', '"pair": "pair0"', "pair 'pair0' is in several splits"),
  ):
    assert old in tracks
    (output / schema.TRACKS_FILE).write_text(tracks.replace(old, new, 1))
    assert any(words in problem for problem in verification.problems_of(output)), words
  (output / schema.TRACKS_FILE).write_text(tracks)
  assert [path.name for path in verification.contact_sheets(output, tmp_path / "sheets")] == [
    "train-real.png",
    "train-fake.png",
    "val-real.png",
  ]
  shard.unlink()
  assert any("is missing" in problem for problem in verification.problems_of(output))


def test_verify_survives_what_it_checks(tmp_path, dataset):
  """Guards the verification of damaged datasets: a line for each damage, whatever it is, and the rest is checked."""
  output = tmp_path / "out"
  build.main([*dataset(4), f"--output={output}", "--workers=1"])
  assert list(verification.problems_of(output)) == []
  files = {path: path.read_bytes() for path in output.iterdir() if path.is_file()}
  shards = sorted(output.glob("faces-*"))
  tracks, about = output / schema.TRACKS_FILE, output / schema.DATASET_FILE

  def problems(changed):
    for path, content in {**files, **changed}.items():
      path.write_bytes(content)
    return list(verification.problems_of(output))

  lines = files[tracks].splitlines(keepends=True)
  one_wrong = files[tracks].replace(b'"first_frame": 0', b'"first_frame": 3', 1)
  for changed, words in (
    ({shards[0]: b""}, [f"{shards[0].name} is damaged", f"{shards[0].name} cannot be read, so that its frames"]),
    ({shards[0]: files[shards[0]][:5000]}, [f"{shards[0].name} is damaged"]),
    ({shards[0]: bytes(len(files[shards[0]]))}, [f"{shards[0].name} is damaged"]),
    ({tracks: lines[0][:40] + b"\n" + b"".join(lines[1:])}, ["jsonl, line 1 cannot be read", "no track tells of"]),
    ({tracks: b"\xff\n" + b"".join(lines[1:])}, ["line 1 cannot be read (not UTF-8", "no track tells of"]),
    ({tracks: b""}, ["the shards hold", "no track tells of"]),
    ({about: b"{"}, ["dataset.json cannot be read"]),
    ({about: b"[]"}, ["dataset.json cannot be read"]),
    # What else is wrong is found beside each of them.
    ({about: b"{", tracks: one_wrong}, ["dataset.json cannot be read", "the record says"]),
    ({shards[0]: b"", tracks: one_wrong.replace(b'"label": 1', b'"label": 0')}, [shards[0].name, "the record says"]),
    ({tracks: files[tracks].replace(b'"frames": 16', b'"frames": 99999999999', 1)}, ["lie beyond the"]),
  ):
    found = problems(changed)
    for text in words:
      assert any(text in problem for problem in found), (changed.keys(), text, found)
    assert all("\n" not in problem for problem in found)
  # One record of many: its neighbours are still compared.
  content = bytearray(files[shards[0]])
  content[20000:20010] = bytes(255 - b for b in content[20000:20010])
  found = problems({shards[0]: bytes(content)})
  assert 2 <= len(found) <= 3 and all(shards[0].name in p or "frame" in p for p in found)
  problems({shards[0]: b""})
  assert verify.main([str(output), f"--sheets={tmp_path / 'sheets'}"]) == 1
  assert len(list((tmp_path / "sheets").iterdir())) == 4
  shutil.rmtree(output)
  with pytest.raises(UserError, match="not a finished face-track dataset"):
    list(verification.problems_of(output))


def test_first_frames_splits_and_encodings(tmp_path, dataset):
  """Guards options that must reach every worker: first frames by split, JPEG, several splits left out."""
  output = tmp_path / "out"
  arguments = dataset(4)
  options = ["--max-frames=train=8,val=12", "--min-frames=4", "--encoding=jpeg:97", "--workers=1"]
  assert build.main([*arguments, *options, f"--output={output}"]) == 0
  assert {(t.split, t.frames) for t in schema.read_tracks(output)} == {("train", 6), ("val", 11)}
  assert schema.read_metadata(output)["encoding"] == "jpeg:97"
  assert list(verification.problems_of(output)) == []
  only = tmp_path / "only"
  assert build.main([*arguments, "--split=val", "--workers=1", f"--output={only}"]) == 0
  assert {t.split for t in schema.read_tracks(only)} == {"val"}


def test_nothing_usable_is_told_by_the_exit_status(tmp_path, dataset):
  """Guards scripts that go on after a build without a single track."""
  output = tmp_path / "out"
  assert build.main([*dataset(0, [("a.mp4", b""), ("b.mp4", b"x")]), f"--output={output}", "--workers=1"]) == 1
  assert len(failures(output)) == 2


@pytest.mark.parametrize(
  "extra, words",
  [
    (["--source=nowhere"], "there is no source 'nowhere'"),
    (["--detector=eyes"], "--detector=eyes"),
    (["--encoding=bmp"], "--encoding=bmp"),
    (["--max-frames=train=x"], "--max-frames=train=x"),
    (["--split=dev"], "there is no split 'dev'"),
    (["--part=3/2"], "--part=3/2"),
    (["--size=4"], "--size=4 is too small"),
    (["--root=/nonexistent"], "no such folder"),
  ],
)
def test_mistakes_on_the_command_line_are_told_in_a_sentence(tmp_path, dataset, capsys, extra, words):
  """Guards against tracebacks, and against a half-made output folder, for what the user mistypes."""
  with pytest.raises(SystemExit) as error:
    build.main([*dataset(1), f"--output={tmp_path / 'out'}", *extra])
  assert error.value.code == 2
  assert words in capsys.readouterr().err


def test_an_output_that_is_something_else_is_left_alone(tmp_path, dataset, capsys):
  """Guards against writing shards among a user's files, or where nothing can be written."""
  arguments = dataset(1)
  with pytest.raises(SystemExit):
    build.main([*arguments, f"--output={tmp_path / 'videos'}"])
  assert "other things in it" in capsys.readouterr().err
  (tmp_path / "file").write_text("")
  with pytest.raises(SystemExit):
    build.main([*arguments, f"--output={tmp_path / 'file' / 'out'}"])
  assert "cannot be written" in capsys.readouterr().err


def test_dry_run_lists_and_decodes_nothing(tmp_path, dataset, capsys):
  """Guards the look before the work: counts by split and label, what is missing, and no output."""
  arguments = dataset(4, [("empty.mp4", b"")])
  with (tmp_path / "videos/list.csv").open("a") as manifest:
    manifest.write("gone.mp4,fake,val,,\n")
  assert build.main([*arguments, "--dry-run"]) == 0
  text = capsys.readouterr().out
  assert "5 videos found, 1 missing or left out" in text and "  1 × no such file: gone.mp4" in text
  assert [line.split()[-1] for line in text.splitlines() if line.startswith("train  real")] == ["2"]


def test_summary_of_a_build_is_short(tmp_path):
  """Guards against a line per video: what a source leaves out is told by reason, apart from failures."""
  left_out = [
    schema.Failure(path=f"{n}.mp4", reason="left out: shares its original with a test video") for n in range(5000)
  ]
  gone = [schema.Failure(path="gone.mp4", reason="no such file")]
  broken = [
    schema.Failure(path=f"x{n}.mp4", reason=f"no face (0 of {n} frames)", video_id=f"a/b/c/x{n}", label=1, split="test")
    for n in range(7)
  ]
  lines = summary_of_build(tmp_path, [], [*gone, *left_out, *broken]).splitlines()
  assert lines[:2] == ["7 without a track:", "  7 × no face"]
  assert lines[2:] == [
    "5001 missing or left out by the source:",
    "  5000 × left out: shares its original with a test video: 0.mp4, 1.mp4, 2.mp4, …",
    "  1 × no such file: gone.mp4",
    f"each of them is a line of {tmp_path / 'failures.csv'}",
  ]


def test_summary_tells_what_decoding_left_out_by_kind(tmp_path):
  """Guards against silence on damaged videos that gave a track: each kind once, with its count, numbers aside."""

  def track(n, notes, number=0):
    return schema.Track(
      video_id=f"v{n}", track=number, first=0, frames=16, first_frame=0, fps=25.0, size=32, label=0, split="test",
      notes=notes,
    )  # fmt: skip

  damaged = "damaged at {:.2f} s: {} packets are left out, up to 3.20 s"
  tracks = [track(n, damaged.format(n / 3, n)) for n in range(1, 4)]
  tracks += [track(4, "2 video streams: number 1 is used (64x48); " + damaged.format(1.0, 2), k) for k in (0, 1)]
  tracks.append(track(5, ""))
  lines = summary_of_build(tmp_path, tracks, []).splitlines()
  at = next(n for n, line in enumerate(lines) if line.startswith("4 videos with a note"))
  assert lines[at + 1] == "  4 × damaged at N s: N packets are left out, up to N s"
  assert lines[at + 2] == "  1 × N video streams: number N is used (NxN)"


def test_target_boxes_put_a_forgery_where_its_target_is(tmp_path):
  """Guards the FaceForensics++ option: the forgery's own boxes are not looked at, its target's are."""
  from data_pipelines.faces import face_tracks
  from data_pipelines.faces.detectors.detector import Face

  class Bright:
    """Finds the bright square that only the target shows."""

    version = "test"

    def detect(self, images):
      ys, xs = zip(*(np.nonzero(image.min(axis=-1) > 200) for image in images))
      return [
        [Face(np.array([x.min(), y.min(), x.max() + 1, y.max() + 1], float), 1.0)] if len(x) else []
        for x, y in zip(xs, ys)
      ]

  dark = [np.zeros((96, 128, 3), np.uint8) for _ in range(20)]
  bright = [image.copy() for image in dark]
  for image in bright:
    image[30:70, 50:90] = 255
  write = encode_pair(tmp_path, dark, bright)
  (found,) = face_tracks.face_tracks(write[0], face_tracks.FaceOptions(size=32), Bright(), boxes_from=str(write[1]))
  np.testing.assert_allclose(found.boxes, np.tile([50.0, 30, 90, 70], (20, 1)), atol=1.5)
  with pytest.raises(decode.BrokenVideo, match="no face"):
    face_tracks.face_tracks(write[0], face_tracks.FaceOptions(size=32), Bright())


def encode_pair(folder, first, second):
  import av

  paths = []
  for name, frames in (("a.mkv", first), ("b.mkv", second)):
    with av.open(str(folder / name), "w") as output:
      stream = output.add_stream("ffv1", rate=25)
      stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
      for image in frames:
        output.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
      output.mux(stream.encode(None))
    paths.append(folder / name)
  return paths


def test_help_names_every_option():
  """Guards an entry point that does not even parse."""
  text = run(["--help"]).stdout
  for option in ("--source", "--manifest", "--detections", "--max-frames", "--part", "--align", "examples:"):
    assert option in text
