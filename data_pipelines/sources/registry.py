"""What `--source` accepts: a name, or the path of a user's own module with `list_videos(root, options) -> Listing`.

Another package may register such a module under a name: an entry point of the group `data_pipelines.sources`.
"""

import dataclasses
import importlib
import importlib.metadata
import types

from dfdetect_jax.errors import UserError, unknown

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
    clean_reals: leave the real videos of DeeperForensics' distorted sets as they are instead of distorting them alike.
    strict_people: keep people apart that the authors' split or ours does not (Celeb-DF, DFDC-Preview), by leaving
      videos out.
    draw: number of real videos drawn from DFDC's training parts, with all forgeries of them, as test; 0 = no draw.
    divide: shares of train, val and test of a folder without split folders; empty = all of it is test.
    seed: of the draw and of the division.
  """

  manifest: str = ""
  compression: tuple[str, ...] = ()
  manipulations: tuple[str, ...] = ()
  reals: str = ""
  clean_reals: bool = False
  strict_people: bool = False
  draw: int = 0
  divide: tuple[float, ...] = ()
  seed: int = 0


def load(name: str) -> types.ModuleType:
  """Imports the source called `name`.

  Args:
    name: one of `NAMES`, a registered one, or the dotted path of a module of the user's own that can be imported
      (`my_lab.layout`).

  Returns:
    A module with `list_videos(root: pathlib.Path, options: SourceOptions) -> Listing`. A module whose videos are
    archives or folders of face crops instead of videos says so with `CROPPED = True`.

  Raises:
    UserError: no source is called so, or the user's module cannot be imported or lists no videos.
  """
  if name in NAMES:
    return importlib.import_module(f"data_pipelines.sources.{name}")
  registered = {point.name: point for point in importlib.metadata.entry_points(group="data_pipelines.sources")}
  if "." not in name and name not in registered:
    own = "A source of your own is named by its module's path with a dot in it, such as my_lab.layout."
    raise unknown("source", name, [*NAMES, *registered], "--source: ", own)
  try:
    module = registered[name].load() if name in registered else importlib.import_module(name)
  except ImportError as error:
    raise UserError(
      f"--source={name}: the module cannot be imported ({error}). Start the program in the folder that holds "
      f"{name.partition('.')[0]}, or put that folder into PYTHONPATH."
    ) from error
  if not callable(getattr(module, "list_videos", None)):
    raise UserError(
      f"--source={name}: {module.__file__} has no function list_videos(root, options) that gives a "
      "data_pipelines.sources.Listing; data_pipelines/sources/folder.py is a short one to start from."
    )
  return module
