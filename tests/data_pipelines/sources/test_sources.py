"""Every dataset in its official layout, in miniature: counted as it is, leaking nothing, told when it is not one."""

import pathlib
import subprocess
import sys

import pytest
from helpers.listings import listing, place

from data_pipelines import build

SOURCES = ("faceforensics", "celeb_df_v1", "celeb_df_v2", "dfdc", "dfdc_preview", "deeper_forensics", "wild_deepfake")


def dry_run(capsys, *argv: str) -> str:
  assert build.main([*argv, "--dry-run"]) == 0
  return capsys.readouterr().out


@pytest.mark.parametrize("source", SOURCES)
def test_nothing_of_test_is_in_train_or_val(tmp_path, miniature, source):
  """Guards against leakage: no id, file, original or two people of test elsewhere; train and val share nobody."""
  # Celeb-DF's authors share originals between train and test, which an option keeps apart.
  videos = listing(source, miniature(source, tmp_path), strict_people=True).videos
  assert {v.split for v in videos} == {"train", "val", "test"}
  assert all(v.video_id.split("/")[0] == v.dataset and v.video_id.count("/") >= 3 for v in videos)
  keys = {
    "id": lambda v: v.video_id,
    "path": lambda v: str(pathlib.Path(v.path).resolve()),
    "pair": lambda v: v.pair,
    "two people": lambda v: frozenset(v.identity.split("+")) if "+" in v.identity else "",
  }
  for what, key in keys.items():
    owner: dict = {}
    for video in videos:
      assert not key(video) or owner.setdefault(key(video), video.split) == video.split, (what, video)
  people = {split: set() for split in ("train", "val", "test")}
  for video in videos:
    people[video.split] |= {*video.identity.split("+")} - {""}
  assert not people["train"] & people["val"]
  if not source.startswith("celeb_df"):  # whose own list shares people
    assert not people["test"] & (people["train"] | people["val"])


@pytest.mark.parametrize("source", SOURCES)
def test_dry_run_counts_by_split_label_manipulation_and_compression(tmp_path, miniature, capsys, source):
  """Guards the printed table: its numbers are those of the listing, group by group."""
  root = miniature(source, tmp_path)
  text = dry_run(capsys, f"--source={source}", f"--root={root}")
  found = listing(source, root)
  groups: dict[tuple, int] = {}
  for v in found.videos:
    key = (v.split, "fake" if v.label else "real", v.dataset, v.manipulation, v.compression or "-")
    groups[key] = groups.get(key, 0) + 1
  printed = {
    tuple(row[:5]): int(row[5]) for row in map(str.split, text.splitlines()[1:]) if len(row) == 6 and row[5].isdecimal()
  }
  assert printed == groups
  assert f"{len(found.videos)} videos found, {len(found.lacking)} missing or left out" in text
  # What is lacking is told by reason: a real Celeb-DF leaves out thousands of videos for the same one.
  reasons: dict[str, list[str]] = {}
  for path, reason in found.lacking:
    reasons.setdefault(reason, []).append(path)
  told = [line for line in text.splitlines() if line.startswith("  ")]
  assert len(told) == len(reasons)
  for reason, paths in reasons.items():
    (line,) = (line for line in told if line.startswith(f"  {len(paths)} × {reason}: "))
    examples = line.partition(f"{reason}: ")[2].split(", ")
    assert examples == [*paths[:3], *["…"] * (len(paths) > 3)]


def test_dry_run_as_a_program_decodes_and_writes_nothing(tmp_path, miniature):
  """Guards the entry point itself: empty files are listed by the program, and the folder stays as it was."""
  root = miniature("faceforensics", tmp_path / "ff")
  before = sorted(tmp_path.rglob("*"))
  program = [sys.executable, "-m", "data_pipelines.build", "--source=faceforensics", f"--root={root}", "--dry-run"]
  result = subprocess.run(program, cwd=pathlib.Path(__file__).parents[3], capture_output=True, text=True, timeout=120)
  assert result.returncode == 0, result.stderr
  rows = [line.split() for line in result.stdout.splitlines()]
  assert ["test", "fake", "faceforensics", "NeuralTextures", "c23", "2"] in rows
  assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("source", [*SOURCES, "synthetic", "folder"])
@pytest.mark.parametrize("kind", ["none", "absent", "empty", "other"])
def test_a_wrong_root_says_what_was_expected_where(tmp_path, capsys, source, kind):
  """Guards against a traceback or an empty dataset where the root is missing, empty or another dataset's."""
  root = tmp_path / "data"
  if kind != "absent":
    root.mkdir()
  if kind == "other":
    place(root, "notes/readme.txt")
  argv = [] if kind == "none" else [f"--root={root}"]
  with pytest.raises(SystemExit) as stop:
    build.main([f"--source={source}", *argv, "--dry-run"])
  assert stop.value.code == 2
  error = capsys.readouterr().err
  assert "--root" in error and (kind == "none" or str(root) in error)
  if kind in ("empty", "other"):
    assert "expected" in error
  if kind == "other" and source != "folder":
    assert "notes" in error
