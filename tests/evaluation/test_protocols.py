"""Protocols select what the papers say, and planted leaks are caught."""

import dataclasses
import pathlib

import pytest

from data_pipelines.video import distortions
from dfdetect_jax.data import videos
from dfdetect_jax.datasets import FOUR
from dfdetect_jax.errors import UserError
from dfdetect_jax.evaluation import protocols
from dfdetect_jax.schema import Track

PEOPLE = {"train": ("000", "003"), "val": ("010", "012"), "test": ("020", "021")}


def _track(split, manipulation, name, compression="c23", **changes):
  fields = dict(
    video_id=f"faceforensics/{manipulation}/{compression}/{name}", track=0, split=split,
    label=int(manipulation != "original"), first=0, frames=40, first_frame=0, fps=25.0, dataset="faceforensics",
    manipulation=manipulation, compression=compression, pair=name[:3], identity="+".join(name.split("_")),
    path=f"{manipulation}/{compression}/{name}.mp4", sha256=f"{manipulation}{compression}{name}", size=64,
  )  # fmt: skip
  return Track(**(fields | changes))


def _dataset(kinds=(*FOUR, "FaceShifter")):
  tracks = []
  for split, (a, b) in PEOPLE.items():
    for compression in ("c23", "c40"):
      tracks += [_track(split, "original", p, compression) for p in (a, b)]
      tracks += [_track(split, kind, f"{x}_{y}", compression) for kind in kinds for x, y in ((a, b), (b, a))]
  return tracks


def test_leave_one_out_trains_on_three_and_tests_on_the_fourth():
  """Guards cross-manipulation protocols: the left-out forgery in training would make them intra-dataset."""
  tracks = _dataset()
  for kind in FOUR:
    protocol = protocols.get_protocol(f"leave-out-{kind}-c23")
    train = videos.select(tracks, protocol.train, "train")
    (left_out,) = protocol.test
    test = videos.select(tracks, left_out, "test")
    assert {t.manipulation for t in train} == {"original", *FOUR} - {kind}
    assert {t.manipulation for t in test} == {"original", kind}
    assert {(t.split, t.compression) for t in train} == {("train", "c23")}
    assert videos.find_leaks(train, test) == []


def test_intra_dataset_is_the_four_at_one_quality():
  """Guards against a fifth manipulation or the other compression slipping into FF++'s tables."""
  protocol = protocols.get_protocol("intra-dataset-c40")
  chosen = {s.name: videos.select(_dataset(), s, "test") for s in protocol.test}
  assert list(chosen) == ["FF++ c40", *FOUR]
  assert {t.manipulation for t in chosen["FF++ c40"]} == {"original", *FOUR}
  assert {t.compression for tracks in chosen.values() for t in tracks} == {"c40"}
  assert [len(tracks) for tracks in chosen.values()] == [10, 4, 4, 4, 4]


def test_robustness_is_seven_by_five_of_clean_training():
  """Guards the 35 cells, that training stays clean, and that the names are those that perturb writes."""
  robustness = protocols.get_protocol("robustness")
  assert robustness.train.distortion == "" and robustness.test[0].folder == ""
  cells = {(s.distortion, s.level) for s in robustness.test[1:]}
  assert cells == {(d, level) for d in protocols.DISTORTIONS for level in range(1, 6)} and len(cells) == 35
  four = protocols.get_protocol("augmentation-robustness")
  assert [s.name for s in four.test[1:]] == ["FFhf", "FFnoise", "FFcolor", "FFta"]
  assert {s.distortion for s in robustness.test + four.test} - {""} == set(distortions.DISTORTIONS)
  assert robustness.test[1].folder == distortions.folder("saturation", 1)


def test_cross_dataset_leaves_the_training_set_behind():
  """Guards that a cross-dataset protocol tests on other datasets only, and the stand-in of a demo."""
  protocol = protocols.get_protocol("cross-dataset-c23")
  assert protocol.train.dataset not in {s.dataset for s in protocol.test} and len(protocol.test) == 5
  demo = protocol.on({"celeb_df_v2": "synthetic"})
  assert demo.test[0].dataset == "synthetic" and demo.test[0].name == "Celeb-DF-v2"
  with pytest.raises(UserError, match="'Celeb-DF-v2' .*has no video in split 'test'.*faceforensics"):
    videos.select(_dataset(), protocol.test[0], "test")


def test_a_manipulation_without_videos_is_told():
  """Guards against a table that is quietly about three forgeries instead of four."""
  four = protocols.get_protocol("intra-dataset-c23").train
  with pytest.raises(UserError, match="no video of NeuralTextures in split 'train'"):
    videos.select(_dataset(FOUR[:3]), four, "train")


def test_unknown_protocol_gets_a_suggestion():
  """Guards the message for a mistyped name."""
  with pytest.raises(UserError, match="Did you mean 'robustness'"):
    protocols.get_protocol("robustnes")


def test_selection_on_test_is_refused():
  """Guards model selection: val only."""
  protocols.require_selection_on_val("val")
  for split in ("test", "train"):
    with pytest.raises(UserError, match=f"not on '{split}'"):
      protocols.require_selection_on_val(split)


@pytest.mark.parametrize(
  "kind, planted",
  [
    ("video", _track("test", "original", "000")),
    # The same file under another dataset's name: DeeperForensics' reals are FF++'s.
    ("file", _track("test", "x", "n", dataset="DF-1.0", video_id="DF-1.0/x/n", sha256="originalc23003", identity="")),
    ("pair", _track("test", "Deepfakes", "000_099", identity="")),
    # DeeperForensics forges FF++'s videos, and divides them otherwise.
    ("pair", _track("test", "end_to_end", "003_W004", "", dataset="deeper_forensics", identity="")),
    ("identity", _track("test", "Deepfakes", "099_003")),
  ],
)
def test_planted_leaks_are_caught(kind, planted):
  """Guards each kind of leak on its own: a test video, file, footage or person in training."""
  train = [t for t in _dataset() if t.split == "train" and t.compression == "c23"]
  test = [t for t in _dataset() if t.split == "test" and t.compression == "c23"]
  assert videos.find_leaks(train, test) == []
  assert kind in {leak.kind for leak in videos.find_leaks(train, [*test, planted])}
  if kind != "identity":  # a warning: see below
    with pytest.raises(UserError, match="stands for two" if kind == "video" else f"train and test share.*'{kind}'"):
      videos.check_splits([*train, *test, planted])


def test_a_dataset_is_checked_before_training():
  """Guards what training asks: a test video in train stops it, a person on both sides is a warning."""
  clean = [t for t in _dataset() if t.compression == "c23"]
  assert videos.check_splits(clean) == []
  (warning,) = videos.check_splits([*clean, _track("test", "Deepfakes", "099_003")])
  assert "train and test share" in warning and "'identity'" in warning
  with pytest.raises(UserError, match="train and test share.*'pair'"):
    videos.check_splits([*clean, _track("test", "Deepfakes", "000_099", identity="")])


def test_people_may_recur_where_the_authors_let_them():
  """Guards that Celeb-DF's official split passes while its videos are still kept apart."""
  celeb = [
    dataclasses.replace(t, dataset="celeb_df_v2") for t in (_track("train", "A", "1_2"), _track("test", "A", "1_3"))
  ]
  assert videos.find_leaks(celeb[:1], celeb[1:]) == []
  assert "video" in {leak.kind for leak in videos.find_leaks(celeb[:1], celeb[:1])}


def test_merged_ids_are_caught():
  """Guards `000_003` of two manipulations from becoming one video with a mixed score."""
  tracks = _dataset()
  videos.check_ids(tracks)
  videos.check_ids([tracks[0], dataclasses.replace(tracks[0], track=1)])  # two faces of one video
  merged = [dataclasses.replace(t, video_id=t.path.rsplit("/", 1)[1]) for t in tracks if t.label]
  with pytest.raises(UserError, match="'000_003.mp4' stands for two videos, which differ in manipulation"):
    videos.check_ids(merged)
  with pytest.raises(UserError, match="listed twice"):
    videos.check_ids([tracks[0], tracks[0]])


def test_reals_only_trains_on_no_forgery():
  """Guards the protocol of real videos: one forgery in train or val makes its figures those of another one."""
  tracks, protocol = _dataset(), protocols.get_protocol("reals-only")
  for split in ("train", "val"):
    assert {(t.manipulation, t.compression) for t in videos.select(tracks, protocol.train, split)} == {
      ("original", "c23")
    }
  assert [s.name for s in protocol.test[:5]] == ["FF++ c23", *FOUR]
  trained = [t for t in tracks if t.split in ("train", "val") and t.label == 0 and t.compression == "c23"]
  assert protocols.check_training(protocol, trained, pathlib.Path("nowhere")) == []
  seen = [*trained, _track("val", "Deepfakes", "010_012")]
  with pytest.raises(UserError, match="has seen 1 other videos .faceforensics/Deepfakes/c23"):
    protocols.check_training(protocol, seen, pathlib.Path("nowhere"))


def test_what_stands_in_for_a_variant_has_none():
  """Guards --stand-in for DeeperForensics, of which one variant is tested: the other dataset's forgeries all count."""
  protocol = protocols.get_protocol("cross-dataset-c23")
  own = next(v for v in protocol.test if v.dataset == "deeper_forensics")
  assert own.manipulations == ("end_to_end",)
  other = protocol.on({"deeper_forensics": "mine", "faceforensics": "synthetic"})
  assert next(v for v in other.test if v.dataset == "mine").manipulations == ()
  assert other.train.manipulations == protocol.train.manipulations
