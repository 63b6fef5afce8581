"""The names that `--source` accepts, each a module with `list_videos(root, options) -> Listing`, imported on demand."""

import dataclasses
import importlib
import types

from dfdetect_jax.errors import UserError

NAMES = (
  "manifest",
  "folder",
  "faceforensics",
  "celeb_df_v1",
  "celeb_df_v2",
  "dfdc",
  "dfdc_preview",
  "deeper_forensics",
  "wild_deepfake",
  "synthetic",
)


@dataclasses.dataclass(frozen=True)
class SourceOptions:
  """What the user may tell a source beside its root.

  Attributes:
    manifest: CSV file of the `manifest` source, "" for the others.
    compression: compressions wanted, as the dataset's authors name them; empty = all that are there. What is not
      wanted is not missing either.
    manipulations: manipulations wanted, as the dataset's authors name them; empty = the source's default.
    reals: FaceForensics++'s root, for deeper_forensics, whose real videos lie there; "" = the root itself.
  """

  manifest: str = ""
  compression: tuple[str, ...] = ()
  manipulations: tuple[str, ...] = ()
  reals: str = ""


def load(name: str) -> types.ModuleType:
  """Imports the source called `name`.

  Returns:
    A module with `list_videos(root: pathlib.Path, options: SourceOptions) -> Listing`. A module whose videos are
    archives or folders of face crops instead of videos says so with `CROPPED = True`.

  Raises:
    UserError: no source is called so.
  """
  if name not in NAMES:
    raise UserError(f"there is no source '{name}'; --source takes one of: {', '.join(NAMES)}.")
  return importlib.import_module(f"data_pipelines.sources.{name}")
