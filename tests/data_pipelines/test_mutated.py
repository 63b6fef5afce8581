"""Fuzzing: two hundred damaged files of every kind end as tracks or as lines of the failures file, nothing else."""

import csv
import shutil

import av
import numpy as np

from data_pipelines import build
from data_pipelines.building import verification
from data_pipelines.video import decode
from dfdetect_jax import schema

FORMATS = (
  ("a.mp4", "libx264", "yuv420p"),
  ("b.mkv", "libx264", "yuv420p"),
  ("c.264", "libx264", "yuv420p"),
  ("d.mpg", "mpeg1video", "yuv420p"),
  ("e.gif", "gif", "rgb8"),
  ("f.avi", "mpeg4", "yuv420p"),
  ("g.webm", "libvpx", "yuv420p"),
)


def mutate(content: bytes, rng: np.random.Generator) -> bytes:
  """Cuts off, overwrites bytes or stretches of them, damages the header, repeats or removes a part."""
  data = np.frombuffer(content, np.uint8).copy()
  at = int(rng.integers(0, len(data)))
  match rng.integers(0, 6):
    case 0:
      return data[:at].tobytes()
    case 1:
      data[rng.integers(0, len(data), 30)] = rng.integers(0, 256, 30)
    case 2:
      data[at : at + 300] = rng.integers(0, 256, len(data[at : at + 300]))
    case 3:
      data[rng.integers(0, min(300, len(data)), 6)] = rng.choice([0, 1, 127, 128, 255], 6)
    case 4:
      return data[:at].tobytes() + data[: len(data) // 2].tobytes() + data[at:].tobytes()
    case 5:
      return data[:at].tobytes() + data[at + 700 :].tobytes()
  return data.tobytes()


def test_mutated_files_never_crash_hang_or_spoil_a_shard(tmp_path, write_video, moving_frames):
  """Guards the build against hostile files: every one is accounted for, and the shards verify."""
  folder, originals = tmp_path / "videos", []
  folder.mkdir()
  for n, (name, codec, pixels) in enumerate(FORMATS):
    originals.append(write_video(tmp_path / name, moving_frames(n), codec, pixels=pixels))
  rng = np.random.default_rng(0)
  names = []
  for k in range(200):
    original = originals[k % len(originals)]
    # A third of them under the name of another format.
    suffix = originals[rng.integers(len(originals))].suffix if k % 3 == 0 else original.suffix
    names.append(f"m{k:03d}{suffix}")
    (folder / names[-1]).write_bytes(mutate(original.read_bytes(), rng))
  shutil.copy(originals[0], folder / "whole.mp4")
  names.append("whole.mp4")
  with (folder / "list.csv").open("w", newline="") as file:
    csv.writer(file).writerows([("path", "label", "split"), *((name, "real", "train") for name in names)])
  with (folder / "boxes.csv").open("w", newline="") as file:
    boxes = [(name, frame, 40, 30, 80, 70) for name in names for frame in range(0, 20, 5)]
    csv.writer(file).writerows([("video", "frame", "x1", "y1", "x2", "y2"), *boxes])
  output = tmp_path / "out"
  arguments = [
    "--source=manifest",
    f"--manifest={folder / 'list.csv'}",
    "--detector=precomputed",
    f"--detections={folder / 'boxes.csv'}",
    f"--output={output}",
    "--size=32",
    "--workers=2",
    "--timeout=60",
  ]
  assert build.main(arguments) == 0
  built = {track.path for track in schema.read_tracks(output)}
  failed = {failure.path: failure.reason for failure in schema.read_failures(output, "train")}
  assert "whole.mp4" in built
  assert built | set(failed) == set(names) and not built & set(failed)
  assert len(failed) > 50
  unexpected = [reason for reason in failed.values() if reason.startswith(("unexpected", "crashes", "hangs"))]
  assert unexpected == []
  assert list(verification.problems_of(output)) == []


def test_odd_metadata_does_not_make_a_video_unreadable(tmp_path, moving_frames):
  """Guards against refusing a sound video for a title that is not UTF-8."""
  tag = b"\xff\xfe\x80 caf\xe9"

  path = tmp_path / "v.mkv"
  with av.open(str(path), "w") as output:
    output.metadata["title"] = "T" * len(tag)
    stream = output.add_stream("libx264", rate=25)
    stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
    for image in moving_frames(0, 5):
      output.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")))
    output.mux(stream.encode(None))
  content = path.read_bytes()
  assert content.count(b"T" * len(tag)) == 1
  path.write_bytes(content.replace(b"T" * len(tag), tag))
  assert len(list(decode.read_frames(path))) == 5
