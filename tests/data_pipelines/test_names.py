"""Files with names that are no text, or text that breaks a line: built, listed and read like any other."""

import os
import shutil

import pytest

from data_pipelines import build
from data_pipelines.building import verification
from dfdetect_jax import schema


def test_odd_file_names_are_built_and_told(tmp_path, write_video, moving_frames, capsys):
  """Guards a build that could never finish: bytes that are no UTF-8, a newline, 240 characters, markup."""
  root = tmp_path / "mine"
  names = {
    b"test/real/a\xff.mp4": r"test/real/a\xff.mp4",
    b"test/real/b\nc.mp4": r"test/real/b\nc.mp4",
    b"test/fake/<b>&.mp4": "test/fake/<b>&.mp4",
    b"test/fake/" + b"d" * 236 + b".mp4": f"test/fake/{'d' * 236}.mp4",
  }
  for number, name in enumerate(names):
    path = os.path.join(os.fsencode(root), name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    try:
      shutil.move(write_video(tmp_path / "one.mp4", moving_frames(number, 16)), path)
    except OSError:
      pytest.skip("this disk takes UTF-8 names only")
  with open(os.path.join(os.fsencode(root), b"test/fake/broken\xfe.mp4"), "wb") as file:
    file.write(b"no video")
  rows = [f'"{name}",{frame},40,30,80,70' for name in names.values() for frame in (0, 5, 10, 15)]
  (tmp_path / "boxes.csv").write_text("\n".join(["video,frame,x1,y1,x2,y2", *rows]))
  arguments = [
    "--source=folder", f"--root={root}", "--detector=precomputed", f"--detections={tmp_path / 'boxes.csv'}",
    "--size=32", "--workers=1", f"--output={tmp_path / 'out'}",
  ]  # fmt: skip
  assert build.main(arguments) == 0
  assert {track.path for track in schema.read_tracks(tmp_path / "out")} == {*names.values()}
  (failure,) = schema.read_failures(tmp_path / "out", "test")
  assert (failure.path, failure.video_id) == (r"test/fake/broken\xfe.mp4", r"mine/fake/none/test/fake/broken\xfe.mp4")
  assert list(verification.problems_of(tmp_path / "out")) == []
  capsys.readouterr()
  assert build.main(arguments) == 0
  assert "is finished already" in capsys.readouterr().out
