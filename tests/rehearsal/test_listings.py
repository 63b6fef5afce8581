"""What a laboratory's download is listed as: the counts of the datasets' papers, from trees of their true layout.

Layouts and counts: FaceForensics++ (Rössler et al., ICCV 2019, and its download script); Celeb-DF (Li et al., CVPR
2020, and its README: 590 + 300 real and 5,639 forged videos, 518 listed); DFDC (Dolhansky et al., 2020; LipForensics'
list of 3,215 names without suffix) and its preview (Dolhansky et al., 2019; 5,250 videos, read as DeepfakeBench's
rearrange.py reads dataset.json); DeeperForensics-1.0 (Jiang et al., CVPR 2020, and the README of its dataset folder,
which describes the lists of splits and distortions); WildDeepfake (Zi et al., ACM MM 2020: 7,314 sequences).
"""

import collections
import re

import pytest

from data_pipelines import build
from data_pipelines.building.listing import short_of_published, summary_of_listing
from data_pipelines.sources import registry
from data_pipelines.sources.lists import Wanted


def listing(source: str, root, **options):
  found = registry.load(source).list_videos(root, registry.SourceOptions(**options))
  assert len({v.video_id for v in found.videos}) == len(found.videos)
  return found


def counts(found) -> dict[tuple[str, int], int]:
  return dict(collections.Counter((v.split, v.label) for v in found.videos))


@pytest.mark.parametrize(
  "source, layout, tested, train",
  [
    ("celeb_df_v2", (590, 59, 300, 5639), (70, 108, 340), (712, 5299)),
    ("celeb_df_v1", (158, 13, 250, 795), (20, 18, 62), (370, 733)),
  ],
)
def test_celeb_df_trains_on_every_video_that_is_not_listed(tmp_path, lay, capsys, source, layout, tested, train):
  """Guards the papers' training set (712 + 5,299 of v2), the 518 test videos, a val split that selects, and n of N."""
  listed = lay["celeb_df"](tmp_path, *layout, tested)
  found = listing(source, tmp_path)
  assert not found.lacking and not short_of_published(found)
  where = {v.path.removeprefix(f"{tmp_path}/"): v for v in found.videos}
  assert {path: v.label for path, v in where.items() if v.split == "test"} == listed
  number = counts(found)
  assert tuple(number["train", label] + number["val", label] for label in (0, 1)) == train
  assert 0.05 * train[0] < number["val", 0] < 0.2 * train[0] and 0.03 * train[1] < number["val", 1] < 0.2 * train[1]

  def original(path: str) -> str:
    return re.sub(r"Celeb-synthesis/(id\d+)_id\d+_", r"Celeb-real/\1_", path)

  splits = collections.defaultdict(set)
  for path, video in where.items():
    if video.split != "test":
      splits[original(path)].add(video.split)
  assert all(len(of) == 1 for of in splits.values())  # an original and all its forgeries are on one side
  assert not any(original(path) in listed for path, v in where.items() if v.split == "val")

  # A partial download: what the list names and the disk lacks is known with its label.
  gone = sorted(path for path in listed if path.startswith("Celeb-synthesis"))[:60]
  for path in gone:
    (tmp_path / path).unlink()
  found = listing(source, tmp_path)
  assert sorted(found.absent) == gone
  assert {(v.split, v.label, v.dataset) for v in found.absent.values()} == {("test", 1, source)}
  assert f"{len(listed) - 60} of {len(listed)} listed test videos are there" in summary_of_listing(found)

  # Of the training set no list tells what is gone; the published numbers do.
  for path in sorted(path for path, v in where.items() if v.split == "train")[:7]:
    (tmp_path / path).unlink()
  assert build.main([f"--source={source}", f"--root={tmp_path}", "--dry-run"]) == 0
  text = capsys.readouterr().out
  assert f"note: train+val of Celeb-DF-{source[-2:]}: {train[0] - 7} real and {train[1]} fake videos are here" in text
  assert f"note: test of Celeb-DF-{source[-2:]}: " in text


def test_faceforensics_pairs(tmp_path, lay):
  """Guards 720/140/140 real videos and as many of each forgery; forgeries that no paper's default takes are named."""
  lay["faceforensics"](tmp_path, fakes=("Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures", "FaceShifter"))
  lay["place"](tmp_path, (f"manipulated_sequences/Deepfakes/masks/videos/{n:03d}.mp4" for n in range(50)))
  found = listing("faceforensics", tmp_path, compression=("c23",))
  assert counts(found) == {
    ("train", 0): 720, ("val", 0): 140, ("test", 0): 140, ("train", 1): 2880, ("val", 1): 560, ("test", 1): 560,
  }  # fmt: skip
  assert not found.missing
  assert collections.Counter(reason for _, reason in found.omitted) == {
    "left out: FaceShifter, which comes in when --manipulations names it": 1000,
    "left out: masks": 50,
  }


def test_dfdc_has_the_authors_validation_and_test(tmp_path, lay):
  """Guards 4,000 validation and 5,000 test videos, parts that are training alone, ST-ILIF's draw, and --only."""
  lay["dfdc"](tmp_path)
  found = listing("dfdc", tmp_path)
  assert not found.lacking and not short_of_published(found)
  assert counts(found) == {
    ("train", 0): 2250, ("train", 1): 50 * (23 * 2 + 22 * 3), ("val", 0): 2000, ("val", 1): 2000, ("test", 0): 2500,
    ("test", 1): 2500,
  }  # fmt: skip
  drawn = listing("dfdc", tmp_path, draw=2000)
  assert {v.split for v in drawn.videos} == {"test"}
  reals = {v.pair for v in drawn.videos if not v.label}
  assert len(reals) == 2000 and {v.pair for v in drawn.videos if v.label} == reals
  forged = collections.Counter(v.pair for v in drawn.videos if v.label)
  assert forged == {v.pair: n for v in found.videos if v.pair in reals for n in [forged[v.pair]]}
  assert sum(forged.values()) == sum(v.label for v in found.videos if v.pair in reals)  # all forgeries of them
  assert [v.video_id for v in listing("dfdc", tmp_path, draw=2000).videos] == [v.video_id for v in drawn.videos]
  assert {v.pair for v in listing("dfdc", tmp_path, draw=2000, seed=1).videos} != reals
  names = [f"t{n:05d}" for n in range(3215)]
  (tmp_path / "single_face.txt").write_text("\n".join(names) + "\n")  # as LipForensics publishes its list
  wanted = Wanted(tmp_path / "single_face.txt")
  assert sum(wanted.holds(v.path) for v in found.videos) == 3215 and len(wanted.found) == 3215


def test_dfdc_preview_forgeries_know_their_originals(tmp_path, lay):
  """Guards 4,473 + 777 videos, and a pair for every forgery: target and take of its name, not a beginning of it."""
  lay["dfdc_preview"](tmp_path)
  found = listing("dfdc_preview", tmp_path)
  assert not found.lacking and not found.notes and not short_of_published(found)
  number = counts(found)
  assert (number["test", 0], number["test", 1]) == (276, 501)
  assert sum(n for (split, _), n in number.items() if split != "test") == 4473
  assert number["val", 0] and number["val", 1]
  reals = {v.pair: v for v in found.videos if not v.label}
  for video in (v for v in found.videos if v.label):
    target, take = video.path.rpartition("/")[2].split("_")[1:3]
    assert video.pair == f"{target}_{take}" and reals[video.pair].split == video.split


def test_deeper_forensics_sets_have_reals_of_their_own(tmp_path, lay):
  """Guards 703:96:201 of one set and as many reals, and std/rand whose reals went through what its forgeries did."""
  lists = lay["deeper_forensics"](tmp_path, ("end_to_end", "end_to_end_random_level"))
  lay["faceforensics"](tmp_path / "ff", fakes=())
  whole = {(split, label): n for split, n in (("train", 703), ("val", 96), ("test", 201)) for label in (0, 1)}
  found = listing("deeper_forensics", tmp_path, reals=str(tmp_path / "ff"))
  assert counts(found) == whole and not found.missing and not short_of_published(found)
  assert {v.manipulation for v in found.videos} == {"original", "end_to_end"}
  assert not any(v.distortion for v in found.videos)
  told = {reason.partition(",")[0] for _, reason in found.omitted}
  assert told >= {"left out: end_to_end_random_level", "left out: source_videos"}
  rand = listing("deeper_forensics", tmp_path, reals=str(tmp_path / "ff"), manipulations=("end_to_end_random_level",))
  assert counts(rand) == whole
  stems = [stem for members in lists.values() for stem in members]
  kinds = ("saturation", "blur", "pixelation")  # CS, GB and JPEG of the authors' lists
  expected = {stem[:3]: f"{kinds[n % 3]}-{1 + n % 5}" for n, stem in enumerate(stems)}
  assert {v.pair: v.distortion for v in rand.videos if not v.label} == expected
  assert not any(v.distortion for v in rand.videos if v.label)  # they are distorted on the disk


def test_wild_deepfake_videos_are_sequences(tmp_path, lay):
  """Guards 7,314 sequences, 806 = 396 + 410 of them test, and archives whose sequences are never divided."""
  lay["wild_deepfake"](tmp_path)
  found = listing("wild_deepfake", tmp_path)
  assert not found.lacking and not short_of_published(found) and len(found.videos) == 7314
  number = counts(found)
  assert (number["test", 0], number["test", 1]) == (396, 410)
  assert (number["train", 0] + number["val", 0], number["train", 1] + number["val", 1]) == (3409, 3099)
  assert number["val", 0] and number["val", 1]
  splits = collections.defaultdict(set)
  for video in found.videos:
    splits[video.path].add(video.split)
  assert all(len(of) == 1 for of in splits.values())
