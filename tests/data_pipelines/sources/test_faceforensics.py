"""FaceForensics++'s layout: ids, labels, splits, boxes, and what is absent."""

import json

import pytest
from helpers.listings import by_id, listing, write

from data_pipelines.sources import faceforensics
from dfdetect_jax.errors import UserError


def test_the_shipped_pairs_are_the_authors_split():
  """Guards the shipped facts: 360/70/70 pairs of 3-digit ids, every id of 000-999 once."""
  pairs = faceforensics.shipped_pairs()
  assert {split: len(members) for split, members in pairs.items()} == {"train": 360, "val": 70, "test": 70}
  ids = [i for members in pairs.values() for pair in members for i in pair]
  assert sorted(ids) == [f"{n:03d}" for n in range(1000)]
  assert (
    pairs["train"][0] == ("071", "054") and pairs["val"][0] == ("720", "672") and pairs["test"][0] == ("953", "974")
  )


def test_faceforensics_ids_labels_and_boxes(tmp_path, miniature):
  """Guards ids that merge manipulations or compressions, `c0` for `raw`, and fakes whose original is absent."""
  found = listing("faceforensics", miniature("faceforensics", tmp_path))
  videos = by_id(found)
  assert len(videos) == 5 + 3 + 4 * 6
  fake = videos["faceforensics/NeuralTextures/c23/071_054"]
  assert (fake.label, fake.split, fake.pair, fake.identity) == (1, "train", "071", "071+054")
  assert fake.boxes_from == "faceforensics/original/c23/071"
  assert videos["faceforensics/NeuralTextures/c23/054_071"].boxes_from == ""  # its target is not there
  assert videos["faceforensics/Deepfakes/c23/974_953"].split == "test"
  real = videos["faceforensics/original/raw/071"]
  assert (real.label, real.compression, real.pair, real.identity) == (0, "raw", "071", "071")
  assert real.path.endswith("youtube/c0/videos/071.mp4")
  missing = dict(found.missing)
  assert missing["original_sequences/youtube/c23/videos/054.mp4"] == "no such file"
  assert missing["original_sequences/youtube/c0/videos/054.mp4"] == "no such file"
  assert missing["manipulated_sequences/Deepfakes/raw/videos"] == "no such folder"
  assert not any("c40" in path for path in missing)  # nobody has downloaded or asked for it


def test_faceforensics_asked_for_what_is_not_there(tmp_path, miniature):
  """Guards against an answer that leaves out an asked compression or manipulation without a word."""
  root = miniature("faceforensics", tmp_path)
  missing = dict(listing("faceforensics", root, compression=("c23", "c40")).missing)
  assert {p for p in missing if "c40" in p} == {
    "original_sequences/youtube/c40/videos",
    *(f"manipulated_sequences/{m}/c40/videos" for m in faceforensics.PAPERS),
  }
  for options in ({"compression": ("c24",)}, {"manipulations": ("Faceswap",)}):
    with pytest.raises(UserError, match="knows .*(c23|FaceSwap)"):
      listing("faceforensics", root, **options)


def test_face_shifter_and_deep_fake_detection_come_when_named(tmp_path, miniature):
  """Guards DFD's names (`__` apart), its own real videos, and that it is never trained on."""
  root = miniature("faceforensics", tmp_path)
  found = listing("faceforensics", root, compression=("c23",), manipulations=("FaceShifter",))
  assert {v.manipulation for v in found.videos} == {"original", "FaceShifter"} and len(found.videos) == 5 + 6
  found = listing("faceforensics", root, compression=("c23",), manipulations=("DeepFakeDetection",))
  assert not found.missing
  videos = by_id(found)
  assert {(v.split, v.dataset) for v in found.videos} == {("test", "dfd")}
  scene = "walking_outside_cafe_disgusted"
  fake = videos[f"dfd/DeepFakeDetection/c23/01_02__{scene}__YVGY8LOK"]
  assert (fake.label, fake.pair, fake.identity) == (1, f"01__{scene}", "actor01+actor02")
  assert fake.boxes_from == f"dfd/original/c23/01__{scene}"
  assert (videos[fake.boxes_from].pair, videos[fake.boxes_from].identity) == (fake.pair, "actor01")
  orphan = videos["dfd/DeepFakeDetection/c23/03_04__exit_phone_room__AB12CD34"]
  assert (orphan.boxes_from, orphan.pair) == ("", "03__exit_phone_room")


def test_the_users_own_split_files_win(tmp_path, miniature):
  """Guards the order of the two splits, an id in several pairs, and that files of no split are told of."""
  root = miniature("faceforensics", tmp_path)
  for split, pairs in (("train", [["953", "974"], ["953", "071"]]), ("val", []), ("test", [["720", "672"]])):
    write(root / f"splits/{split}.json", json.dumps(pairs))
  found = listing("faceforensics", root, compression=("c23",), manipulations=("Deepfakes",))
  splits = {v.video_id.rsplit("/", 1)[1]: v.split for v in found.videos}
  assert splits == {
    "953": "train", "974": "train", "071": "train", "953_974": "train", "974_953": "train", "720": "test",
    "672": "test", "720_672": "test", "672_720": "test",
  }  # fmt: skip
  missing = dict(found.missing)
  assert missing["manipulated_sequences/Deepfakes/c23/videos"] == "left out: 2 videos that no split names"
  assert missing["manipulated_sequences/Deepfakes/c23/videos/953_071.mp4"] == "no such file"


@pytest.mark.parametrize(
  "text, message",
  [
    ("[[71, 54]]", "ids are strings"),
    ('[["071"]]', "list of pairs"),
    ('[["../x", "054"]]', "list of pairs"),
    ('[["953", "054"]]', "953 stands in the test split too|953 stands in the train split too"),
    ("[[", "cannot be read as JSON"),
    ("[" * 100_000, "cannot be read as JSON"),
    (None, "is missing"),
  ],
)
def test_broken_split_files_are_refused(tmp_path, miniature, text, message):
  """Guards against ids without their zeros, people in two splits, and split files that are there in part."""
  root = miniature("faceforensics", tmp_path)
  write(root / "splits/val.json", "[]")
  write(root / "splits/test.json", '[["953", "974"]]')
  if text is not None:
    write(root / "splits/train.json", text)
  with pytest.raises(UserError, match=message):
    listing("faceforensics", root)
