"""The folder that holds a protocol's videos is found by what lies in it, never by its name."""

import json

import pytest

from dfdetect_jax import schema
from dfdetect_jax.data.catalogue import Catalogue
from dfdetect_jax.data.videos import VideoSet
from dfdetect_jax.errors import UserError


def _folder(path, dataset="faceforensics", compression="c23", distortion="", splits=("train", "test")):
  tracks = [
    schema.Track(
      video_id=f"{dataset}/{kind}/{compression}/{split}",
      track=0,
      split=split,
      label=int(kind != "original"),
      first=0,
      frames=9,
      first_frame=0,
      fps=25.0,
      dataset=dataset,
      manipulation=kind,
      compression=compression,
      pair=split,
      identity=split,
      path=f"{split}.mp4",
      sha256=f"{kind}{split}",
      size=64,
    )
    for split in splits
    for kind in ("original", "Deepfakes")
  ]
  path.mkdir(parents=True)
  schema.write_tracks(path, tracks)
  metadata = {"schema_version": schema.SCHEMA_VERSION, "choices": {"distortion": distortion}}
  (path / schema.DATASET_FILE).write_text(json.dumps(metadata))
  return path


@pytest.fixture
def folders(tmp_path):
  """c23, c40 and another dataset side by side, and a distorted copy of the first one folder down."""
  _folder(tmp_path / "all/a")
  _folder(tmp_path / "all/b", compression="c40")
  _folder(tmp_path / "all/c", dataset="celeb_df_v2")
  _folder(tmp_path / "all/perturbed/x", distortion="blur-3", splits=("test",))
  return tmp_path / "all"


def test_sets_are_found_by_content(folders):
  """Guards against scoring the other compression, or clean videos for distorted ones."""
  catalogue = Catalogue([folders])
  found = lambda videos, split="test": catalogue.find(videos, split).path.relative_to(folders).as_posix()  # noqa: E731
  assert found(VideoSet("x", "faceforensics", ("Deepfakes",), ("c23",))) == "a"
  assert found(VideoSet("x", "faceforensics", compressions=("c40",))) == "b"
  assert found(VideoSet("x", "celeb_df_v2")) == "c"
  assert found(VideoSet("x", "faceforensics", (), ("c23",), "blur", 3)) == "perturbed/x"


def test_what_is_not_there_or_ambiguous_is_told(folders):
  """Guards the errors: what is missing, what there is, and never a guess between two folders."""
  catalogue = Catalogue([folders, folders / "a"])  # the same folder twice is one
  with pytest.raises(UserError, match=r"'x' \(dfdc/\*/\*, split test\).*celeb_df_v2/c23/test.*blur-3"):
    catalogue.find(VideoSet("x", "dfdc"), "test")
  with pytest.raises(UserError, match="blur-3, split train"):
    catalogue.find(VideoSet("x", "faceforensics", (), ("c23",), "blur", 3), "train")
  with pytest.raises(UserError, match="more than one folder"):
    catalogue.find(VideoSet("x", "faceforensics"), "test")
  with pytest.raises(UserError, match="not a finished face-track dataset"):
    Catalogue([folders / "nothing"])


def test_real_videos_alone_do_not_make_a_folder_hold_a_set(folders):
  """Guards DeeperForensics, whose variants share their real videos and lie in a folder each."""
  with pytest.raises(UserError, match="no dataset folder holds"):
    Catalogue([folders]).find(VideoSet("x", "celeb_df_v2", ("FaceSwap",)), "test")
