"""The runs that studies need: which there are, and which cells share them."""

import dataclasses
import pathlib
from collections.abc import Sequence

from dfdetect_jax.data.catalogue import Catalogue, DatasetFolder
from dfdetect_jax.data.videos import VideoSet
from dfdetect_jax.errors import UserError
from dfdetect_jax.studies.definition import Study
from dfdetect_jax.studies.recipe import Recipe
from dfdetect_jax.studies.settings import Settings

FINISHED_FILE = "finished.json"  # written when a training has come to its end
SCORES = "scores"
CLEAN = "clean"


@dataclasses.dataclass(frozen=True)
class Run:
  """A training with its seed, and the test folders that it is to score.

  Attributes:
    recipe, seed: what is trained.
    folder: workdir of the run.
    data: dataset folder trained on; None where there is none.
    tests: dataset folders to score, by their place below `folder/scores`.
    sets: test sets that cells are of, with the folder of each.
    cells: how many cells of each study need the run.
    missing: why something cannot be done, a paragraph each.
  """

  recipe: Recipe
  seed: int
  folder: pathlib.Path
  data: DatasetFolder | None
  tests: dict[str, DatasetFolder]
  cells: dict[str, int]
  missing: tuple[str, ...]
  sets: dict[VideoSet, DatasetFolder] = dataclasses.field(default_factory=dict)

  @property
  def name(self) -> str:
    """As lists show it."""
    return f"{self.recipe.name}/seed{self.seed}"

  @property
  def trained(self) -> bool:
    """Whether training has come to its end."""
    return (self.folder / FINISHED_FILE).is_file()

  @property
  def unscored(self) -> list[str]:
    """Test folders without a score file."""
    return [place for place in self.tests if not (self.folder / SCORES / place / "scores.csv").is_file()]

  @property
  def done(self) -> bool:
    """Whether nothing is left that can be done."""
    return self.trained and not self.unscored


def make_plan(studies: Sequence[Study], settings: Settings, catalogue: Catalogue | None) -> list[Run]:
  """The runs of some studies, each once, in the order in which their cells first need them, seed after seed.

  Args:
    studies: whose cells are to be measured.
    settings: choices of the working folder.
    catalogue: dataset folders at hand; None: there are none yet.
  """
  needs: dict[str, tuple[Recipe, dict[VideoSet, None], dict[str, int]]] = {}
  for study in studies:
    for cell in study.cells:
      for name, own in _by_name(settings.parts(cell)).items():
        recipe, sets, cells = needs.setdefault(name, (own[0][0], {}, {}))
        sets.update(dict.fromkeys(videos for _, videos in own))
        cells[study.name] = cells.get(study.name, 0) + 1
  found: dict[tuple[VideoSet, str], DatasetFolder | str] = {}
  places: dict[pathlib.Path, str] = {}

  def find(videos: VideoSet, split: str) -> DatasetFolder | str:
    """The folder of a set, or why there is none; looked for once."""
    if (videos, split) not in found:
      try:
        if catalogue is None:
          raise UserError(f"no data folder was given for '{videos.name}'.")
        found[videos, split] = catalogue.find(videos, split)
      except UserError as error:
        found[videos, split] = str(error)
    return found[videos, split]

  runs = []
  for seed in settings.seeds:
    for recipe, sets, cells in needs.values():
      data = find(recipe.videos, "train")
      held: dict[VideoSet, DatasetFolder] = {}
      tests, missing = {}, [data] if isinstance(data, str) else []
      for videos in sets:
        folder = find(videos, "test")
        if isinstance(folder, str):
          missing.append(folder)
        else:
          if folder.path not in places:
            places[folder.path] = place_of(folder)
          tests[places[folder.path]] = folder
          held[videos] = folder
      runs.append(
        Run(
          recipe, seed, settings.run_folder(recipe, seed), None if isinstance(data, str) else data, tests, cells,
          tuple(dict.fromkeys(missing)), held,
        )
      )  # fmt: skip
  return runs


def _by_name(parts: Sequence[tuple[Recipe, VideoSet]]) -> dict[str, list[tuple[Recipe, VideoSet]]]:
  grouped: dict[str, list[tuple[Recipe, VideoSet]]] = {}
  for recipe, videos in parts:
    grouped.setdefault(recipe.name, []).append((recipe, videos))
  return grouped


def place_of(folder: DatasetFolder) -> str:
  """Where the scores of a dataset folder's test videos lie: named after what is in it, wherever the folder is."""
  test = [t for t in folder.tracks if t.split == "test"]
  names = ("+".join(sorted({getattr(t, field) for t in test} - {""})) for field in ("dataset", "compression"))
  return f"{folder.distortion or CLEAN}/{'-'.join(name for name in names if name) or folder.path.name}"
