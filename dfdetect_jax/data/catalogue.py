"""Which of the user's dataset folders holds the videos that a protocol or a study names."""

import dataclasses
import functools
import pathlib
from collections.abc import Sequence

from dfdetect_jax.data.videos import VideoSet
from dfdetect_jax.errors import UserError
from dfdetect_jax.folders import as_absolute, as_folder
from dfdetect_jax.schema import DATASET_FILE, Track, read_metadata, read_tracks


@dataclasses.dataclass(frozen=True)
class DatasetFolder:
  """A dataset folder made by data_pipelines.build or data_pipelines.perturb."""

  path: pathlib.Path

  @functools.cached_property
  def tracks(self) -> list[Track]:
    """All face tracks."""
    return read_tracks(self.path)

  @functools.cached_property
  def distortion(self) -> str:
    """What its frames went through, as `VideoSet.folder` writes it: "blur-3"; "" = clean."""
    return read_metadata(self.path).get("choices", {}).get("distortion", "")

  def holds(self, videos: VideoSet, split: str) -> bool:
    """Whether some video of the set lies here: of its dataset, compression and distortion, in that split.

    Where the set names forgeries, one of them: real videos alone are of every set (DeeperForensics' of each variant).
    """
    return videos.folder == self.distortion and any(
      t.split == split and videos.holds(t) and (t.label or not videos.manipulations) for t in self.tracks
    )


class Catalogue:
  """The dataset folders at hand."""

  def __init__(self, paths: Sequence[str | pathlib.Path]):
    """Looks into each path: it is a dataset folder, or it holds some, directly or one folder down.

    Raises:
      UserError: a path does not exist, or there is no dataset in it.
    """
    found: dict[pathlib.Path, DatasetFolder] = {}
    for path in map(as_folder, paths):
      files = sorted(file for depth in ("", "*/", "*/*/") for file in path.glob(depth + DATASET_FILE))
      if not files:
        read_metadata(path)  # says what is missing
      for file in files:
        found.setdefault(as_absolute(file.parent), DatasetFolder(file.parent))
    self.folders = list(found.values())

  def find(self, videos: VideoSet, split: str) -> DatasetFolder:
    """The folder that holds a set's videos of a split.

    Raises:
      UserError: none does, or more than one.
    """
    folders = [folder for folder in self.folders if folder.holds(videos, split)]
    if len(folders) == 1:
      return folders[0]
    wanted = f"{videos.described()[:-1]}, split {split})"
    if folders:
      places = " and ".join(str(folder.path) for folder in folders)
      raise UserError(
        f"{wanted} lies in more than one folder: {places}. A set of videos is read "
        "from one: name only one of them, or build them together."
      )
    raise UserError(
      f"no dataset folder holds {wanted}. There are: {'; '.join(self._describe())}. Build "
      f"it with data_pipelines.{'perturb' if videos.folder else 'build'} and name its folder."
    )

  def _describe(self) -> list[str]:
    """What each folder holds, a line each."""
    return [
      f"{folder.path}: {', '.join(sorted({f'{t.dataset}/{t.compression}/{t.split}' for t in folder.tracks}))}"
      + (f" ({folder.distortion})" if folder.distortion else "")
      for folder in self.folders
    ] or ["none"]
