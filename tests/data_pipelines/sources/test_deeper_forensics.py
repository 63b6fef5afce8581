"""DeeperForensics' layout: its reals are elsewhere."""

import pytest
from helpers.listings import by_id, listing, place, write

from data_pipelines import build
from data_pipelines.video import distortions
from dfdetect_jax.errors import UserError


def dry_run(capsys, *argv: str) -> str:
  assert build.main([*argv, "--dry-run"]) == 0
  return capsys.readouterr().out


def test_deeper_forensics_reals_are_the_targets(tmp_path, miniature):
  """Guards the label: reals are FaceForensics++'s targets, wherever they lie, and never `source_videos`."""
  root = miniature("deeper_forensics", tmp_path / "df")
  videos = by_id(listing("deeper_forensics", root))
  assert not any("source_videos" in v.path for v in videos.values())
  assert {v.manipulation for v in videos.values()} == {"original", "end_to_end"}
  fake, real = videos["deeper_forensics/end_to_end/none/004_M103"], videos["deeper_forensics/original/c23/004"]
  assert (fake.label, fake.split, fake.pair, fake.identity) == (1, "test", "004", "004+M103")
  assert (real.label, real.split, real.pair, real.identity) == (0, "test", "004", "004")
  assert fake.boxes_from == real.video_id
  apart = miniature("deeper_forensics", tmp_path / "apart", reals=False)
  assert listing("deeper_forensics", apart, reals=str(root)).videos[0].path.startswith(str(root))
  level = listing("deeper_forensics", root, manipulations=("end_to_end_level_5",))
  assert {v.manipulation for v in level.videos} == {"original", "end_to_end_level_5"}


def test_deeper_forensics_without_the_reals_says_where_they_are(tmp_path, miniature, capsys):
  """Guards the usual download, which has no real videos: counted, and told with the option that names them."""
  root = miniature("deeper_forensics", tmp_path, reals=False)
  place(root, "manipulated_videos/end_to_end/999_M199.mp4")
  text = dry_run(capsys, "--source=deeper_forensics", f"--root={root}")
  assert "real" not in {line.split()[1] for line in text.splitlines()[1:7]}
  assert "--reals" in text and "left out: 1 videos that no split names" in text
  (root / "manipulated_videos/end_to_end/004_M103.mp4").unlink()
  missing = dict(listing("deeper_forensics", root, manipulations=("end_to_end", "reenact_postprocess")).missing)
  assert missing["manipulated_videos/end_to_end/004_M103.mp4"] == "no such file"
  assert missing["manipulated_videos/reenact_postprocess"] == "no such folder"


def test_deeper_forensics_lists_that_contradict_are_refused(tmp_path, miniature):
  """Guards against a target in two splits, a missing list, and an unknown set."""
  root = miniature("deeper_forensics", tmp_path)
  with pytest.raises(UserError, match="end_to_end_level_1"):
    listing("deeper_forensics", root, manipulations=("end_to_end_level_6",))
  write(root / "lists/splits/val.txt", "000_M150.mp4")
  with pytest.raises(UserError, match="000_M150 stands in the train list too"):
    listing("deeper_forensics", root)
  (root / "lists/splits/val.txt").unlink()
  with pytest.raises(UserError, match="val.txt is missing"):
    listing("deeper_forensics", root)


def test_deeper_forensics_distorted_variants_stand_alone(tmp_path, miniature):
  """Guards a figure that changes with build flags: variants are not pooled, reals are distorted alike."""
  root = miniature("deeper_forensics", tmp_path)
  both = ("end_to_end", "end_to_end_random_level")
  with pytest.raises(UserError, match="Build each set alone.*--clean-reals"):
    listing("deeper_forensics", root, manipulations=both)
  clean = listing("deeper_forensics", root, manipulations=both, clean_reals=True)
  assert {v.manipulation for v in clean.videos} == {"original", *both} and not any(v.distortion for v in clean.videos)
  assert any("the real videos are not" in note for note in clean.notes)
  with pytest.raises(UserError, match="Did you mean 'end_to_end_random_level'"):
    listing("deeper_forensics", root, manipulations=("end_to_end_random_levels",))


@pytest.mark.parametrize("name, types, levels", [("end_to_end_level_5", 1, {5}), ("end_to_end_random_level", 1, None)])
def test_without_the_authors_list_distortions_are_drawn_in_their_way(tmp_path, miniature, name, types, levels):
  """Guards the draw: as many distortions and as strong as the set's are, the same at every call, and said."""
  root = miniature("deeper_forensics", tmp_path)
  found = listing("deeper_forensics", root, manipulations=(name,))
  drawn = {v.pair: v.distortion for v in found.videos if not v.label}
  assert len(drawn) == 6
  for text in drawn.values():
    cells = [cell.rsplit("-", 1) for cell in text.split("+")]
    assert len(cells) == types and {kind for kind, _ in cells} <= {*distortions.DISTORTIONS} - {"frame_dropping"}
    assert {int(level) for _, level in cells} <= (levels or {1, 2, 3, 4, 5})
  assert "0 as manipulated_videos_" in found.notes[0] and "6 by a draw of their own" in found.notes[0]
  assert [v.distortion for v in listing("deeper_forensics", root, manipulations=(name,)).videos] == [
    v.distortion for v in found.videos
  ]
  write(root / f"lists/manipulated_videos_distortions_meta/manipulated_videos_{name}_meta.txt", "a/004_M103.mp4 GB:6\n")
  with pytest.raises(UserError, match="line 1: 'a/004_M103.mp4 GB:6' is not"):
    listing("deeper_forensics", root, manipulations=(name,))
