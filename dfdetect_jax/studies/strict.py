"""Refuses a page whose figures do not belong side by side."""

import collections
import pathlib
from collections.abc import Sequence

from dfdetect_jax.errors import UserError
from dfdetect_jax.evaluation.provenance import check_same, read_provenance
from dfdetect_jax.studies.collect import Figure


def check_same_origin(figures: Sequence[Figure]) -> None:
  """Checks that everything in a page comes from known code, from one build of each training set and of each test set.

  Raises:
    UserError: provenance is missing, code had changes that are in no commit, runs on the same videos were trained on
      different shards, or test videos of one kind were scored from different shards.
  """
  files = dict.fromkeys((origin.recipe.videos, origin.scores) for figure in figures for origin in figure.origins)
  by_training: dict[tuple, dict] = collections.defaultdict(dict)
  by_test: dict[tuple, dict] = collections.defaultdict(dict)
  for videos, path in files:
    content = read_provenance(path)
    by_training[videos.dataset, videos.compressions][_named(path)] = content
    by_test[path.parent.parent.name, path.parent.name][_named(path)] = content
  for provenances in by_training.values():
    check_same(provenances, same_test=False)
  for place, provenances in by_test.items():
    shards = {name: content["data"]["sha256"][:12] for name, content in provenances.items()}
    if len({*shards.values()}) > 1:
      each = "; ".join(f"{name}: sha256 {value}" for name, value in shards.items())
      raise UserError(
        f"strict: the shards scored for {'/'.join(place)} are not the same: {each}. Such figures do not belong side by "
        "side: remove the older score folders and run the study again."
      )


def _named(path: pathlib.Path) -> str:
  """Run, seed and place of a score file."""
  return "/".join(path.parts[-6:-1])
