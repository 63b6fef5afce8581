"""The list of what a run has seen, changed on the disk: the guard against leaks must not go by it."""

import random

import pytest

from dfdetect_jax.files import DamagedFile
from dfdetect_jax.runs.trained_videos import (
  TRAINED_FILE,
  TrainedVideo,
  format_trained_videos,
  parse_trained_videos,
  read_trained_videos,
)

VIDEOS = [
  TrainedVideo(video_id=f"a/b/c23/{n}", split="train", label=n % 2, identity='x, "y"\r\nz', sha256=f"{n:064d}")
  for n in range(4)
]


def test_any_changed_letter_and_any_lost_line_is_noticed(tmp_path):
  """Guards against a video of the training that is let into the test because a byte of the list has flipped."""
  text = format_trained_videos(VIDEOS)
  assert parse_trained_videos(text, "") == VIDEOS and parse_trained_videos(format_trained_videos([]), "") == []
  draw = random.Random(0)
  for _ in range(200):
    place = draw.randrange(len(text))
    changed = text[:place] + chr(ord(text[place]) ^ 1 << draw.randrange(4)) + text[place + 1 :]
    (tmp_path / TRAINED_FILE).write_bytes(changed.encode())
    with pytest.raises(DamagedFile, match=r"train_videos\.csv.*cannot be read \(.*remove it"):
      read_trained_videos(tmp_path)
  lines = text.splitlines(keepends=True)
  with pytest.raises(DamagedFile, match="its checksum differs"):
    parse_trained_videos("".join(lines[:-2]), "the list")


def test_a_list_of_an_older_run_has_no_seal():
  """Guards runs from before: their lists are still read."""
  text = "video_id,split,label\na/b/c23/1,train,0\n"
  assert parse_trained_videos(text, "") == [TrainedVideo(video_id="a/b/c23/1", split="train", label=0)]
