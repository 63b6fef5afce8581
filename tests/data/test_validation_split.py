"""A run is selected on real and fake videos, or not at all."""

import dataclasses
import json

import pytest

from dfdetect_jax.data import videos
from dfdetect_jax.errors import UserError
from dfdetect_jax.methods.method import ClipSpec
from dfdetect_jax.runs.config import base_config
from dfdetect_jax.schema import Track, write_tracks
from dfdetect_jax.training.videos import training_videos


def track(split: str, label: int, number: int, frames: int = 20) -> Track:
  name = f"mine/{'fake' if label else 'original'}/none/{split}{number}"
  return Track(
    video_id=name, label=label, split=split, dataset="mine", manipulation="fake" if label else "original",
    pair=f"{split}{number}", path=name, track=0, first=0, frames=frames, first_frame=0, fps=25.0, size=32,
  )  # fmt: skip


TRAIN = [track("train", label, n) for n in range(2) for label in (0, 1)]


@pytest.mark.parametrize("label", [0, 1])
def test_validation_of_one_class_is_refused(label):
  """Guards against a run whose AUC is undefined at every validation, so that nothing is ever selected."""
  with pytest.raises(UserError, match=f"{'fake' if label else 'real'} videos only.* Put {'real' if label else 'fake'}"):
    videos.check_validation([*TRAIN, track("val", label, 9)], 16)
  short = track("val", 1 - label, 9, frames=3)  # cannot be scored, so it is no video of the other class
  with pytest.raises(UserError, match="videos only"):
    videos.check_validation([*TRAIN, track("val", label, 9), short], 16)


def test_validation_of_both_classes_or_none_is_a_choice():
  """Guards against refusing what can be done."""
  videos.check_validation(TRAIN, 16)
  videos.check_validation([*TRAIN, track("val", 0, 9), track("val", 1, 9)], 16)


def test_training_refuses_before_anything_is_computed(tmp_path):
  """Guards the call: the check is made where a run's videos are chosen, of the videos that config.videos leaves."""
  fake = dataclasses.replace(track("val", 1, 9), manipulation="other")
  write_tracks(tmp_path, [*TRAIN, track("val", 0, 9), fake])
  (tmp_path / "dataset.json").write_text(json.dumps({"schema_version": 1}))
  config = base_config()
  with config.unlocked():
    config.data, config.total_steps, config.batch_size = str(tmp_path), 1, 1
    spec = ClipSpec(frames=16, size=32)
  assert training_videos(config, spec).validates
  config.videos.manipulations = ("fake",)
  with pytest.raises(UserError, match="real videos only"):
    training_videos(config, spec)
