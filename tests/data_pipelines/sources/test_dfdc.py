"""DFDC's layouts, whole and preview: label files of either form, originals, people, parts."""

import json

import pytest
from helpers.listings import by_id, listing, place, write

from dfdetect_jax.errors import UserError


@pytest.mark.parametrize("test", ["labels.csv", "metadata.json"])
def test_dfdc_in_both_forms_of_test_labels(tmp_path, miniature, test):
  """Guards the order of parts (10 after 9), labels in either form, and what is named but absent."""
  found = listing("dfdc", miniature("dfdc", tmp_path, test=test))
  videos = by_id(found)
  assert {name: v.label for name, v in videos.items() if v.split == "test"} == {
    "dfdc/fake/none/test/x": 1,
    "dfdc/original/none/test/y": 0,
  }
  assert {v.video_id.split("/")[3] for v in found.videos if v.split == "val"} == {"part10"}
  real, fake = videos["dfdc/original/none/part9/real9"], videos["dfdc/fake/none/part9/fake9"]
  assert real.pair == fake.pair == "part9/real9" and (real.label, fake.label, fake.split) == (0, 1, "train")
  assert videos["dfdc/fake/none/part9/orphan9"].pair == "part9/gone"
  missing = {"test/z.mp4", *(f"dfdc_train_part_{n}/gone.mp4" for n in (0, 1, 9, 10))}
  assert dict(found.missing) == dict.fromkeys(missing, "no such file")


def test_dfdc_single_part_is_divided_by_original(tmp_path):
  """Guards a single part, given as the root itself: a fake is where its original is."""
  entries = {f"r{n}.mp4": {"label": "REAL"} for n in range(60)}
  entries |= {f"f{n}.mp4": {"label": "FAKE", "original": f"r{n}.mp4"} for n in range(60)}
  root = tmp_path / "train_sample_videos"
  place(root, *entries)
  write(root / "metadata.json", json.dumps(entries))
  videos = by_id(listing("dfdc", root))
  of = {v.video_id.rsplit("/", 1)[1]: v.split for v in videos.values()}
  assert all(of[f"r{n}"] == of[f"f{n}"] for n in range(60))
  assert 0 < sum(split == "val" for split in of.values()) < 30
  assert next(iter(videos)).startswith("dfdc/fake/none/train_sample_videos/")


def test_dfdc_labels_in_both_files_must_agree(tmp_path):
  """Guards against a video listed twice and against a label that depends on which file is read last."""
  place(tmp_path, "x.mp4")
  write(tmp_path / "metadata.json", '{"x.mp4": {"is_fake": 1}}')
  write(tmp_path / "labels.csv", "filename,label\nx.mp4,1\n")
  assert [v.label for v in listing("dfdc", tmp_path).videos] == [1]
  write(tmp_path / "labels.csv", "filename,label\nx.mp4,0\n")
  with pytest.raises(UserError, match="labelled 0 here and 1 before"):
    listing("dfdc", tmp_path)


@pytest.mark.parametrize(
  "file, text, message",
  [
    ("metadata.json", '{"a.mp4": {"label": "MAYBE"}}', "MAYBE"),
    ("metadata.json", '{"a.mp4": {}}', "None"),
    ("metadata.json", '["a.mp4"]', "must map"),
    ("metadata.json", '{"a.mp4": "REAL"}', "must map"),
    ("metadata.json", '{"../a.mp4": {"label": "REAL"}}', "below the dataset"),
    ("metadata.json", '{"a.mp4": {"label"', "cannot be read"),
    ("labels.csv", "name,label\na.mp4,1\n", "no columns filename,label"),
    ("labels.csv", "filename,label\na.mp4\n", "label 'None'"),
    ("labels.csv", "filename,label\na.mp4,FAKE\n", "1 = fake"),
    ("labels.csv", "filename,label\n/etc/passwd,1\n", "below the dataset"),
    ("labels.csv", 'filename,label\n"a.mp4,1\n', "not CSV"),
    ("labels.csv", "", "no columns"),
  ],
)
def test_dfdc_label_files_that_are_wrong_are_refused(tmp_path, file, text, message):
  """Guards against tracebacks and guesses where a label file is broken, and against names that lead elsewhere."""
  write(tmp_path / "test" / file, text)
  with pytest.raises(UserError, match=message) as error:
    listing("dfdc", tmp_path)
  assert str(tmp_path / "test" / file) in str(error.value)


def test_dfdc_preview_pairs_people_and_methods(tmp_path, miniature):
  """Guards a fake's original (target and take), people of fakes, --strict-people, the choice of methods."""
  root = miniature("dfdc_preview", tmp_path)
  found = listing("dfdc_preview", root, strict_people=True)
  videos = by_id(found)
  fake = videos["dfdc_preview/method_A/none/method_A/200/200_A/201_200_A_0"]
  assert (fake.label, fake.split, fake.pair, fake.identity) == (1, "test", "200_A", "200+201")
  assert videos["dfdc_preview/original/none/original_videos/200/200_A"].pair == "200_A"
  assert ("original_videos/100/100_A.mp4", "no such file") in found.missing
  left_out = [path for path, reason in found.missing if reason.startswith("left out")]
  assert len(left_out) + len(videos) + 1 == 4 * 66
  only_b = listing("dfdc_preview", root, manipulations=("method_B",))
  assert {v.manipulation for v in only_b.videos} == {"original", "method_B"}
  with pytest.raises(UserError, match="method_A, method_B"):
    listing("dfdc_preview", root, manipulations=("A",))


@pytest.mark.parametrize(
  "text, message",
  [
    ('{"a.mp4": {"label": "fake", "set": "dev"}}', "'dev'"),
    ('{"a.mp4": {"set": "train"}}', "'None'"),
    ('{"/a.mp4": {"label": "fake", "set": "train"}}', "below the dataset"),
    ('{"": {"label": "fake", "set": "train"}}', "below the dataset"),
    ("[]", "must map"),
  ],
)
def test_dfdc_preview_list_that_is_wrong_is_refused(tmp_path, text, message):
  """Guards against tracebacks and guesses where dataset.json is broken."""
  write(tmp_path / "dataset.json", text)
  with pytest.raises(UserError, match=message):
    listing("dfdc_preview", tmp_path)


def test_a_part_without_metadata_is_told(tmp_path, miniature):
  """Guards a part whose metadata.json was not downloaded: its videos are named as that, not as anybody's."""
  root = miniature("dfdc", tmp_path)
  place(root, "dfdc_train_part_77/a.mp4", "test_videos/b.mp4")
  assert dict(listing("dfdc", root).omitted) == {
    "dfdc_train_part_77/a.mp4": "left out: of a part without metadata.json",
    "test_videos/b.mp4": "left out: videos that no list names",
  }
