"""The weights that a run starts from: what becomes of each is told and kept, and what they have seen is inherited."""

import dataclasses
import logging
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import jax
import ml_collections

from dfdetect_jax.data.videos import leaking_videos
from dfdetect_jax.folders import write_json
from dfdetect_jax.interop import start
from dfdetect_jax.runs.trained_videos import TRAINED_FILE, TrainedVideo
from dfdetect_jax.schema import Track

_LOG = logging.getLogger(__name__)

START_FILE = "start.json"  # what became of each weight


def inherited_videos(
  config: ml_collections.ConfigDict, workdir: pathlib.Path, tracks: Sequence[Track], warn: Callable[[str], None]
) -> list[TrainedVideo]:
  """What the weights that a run starts from have seen, which its own test may not hold either.

  Args:
    config: of the run.
    workdir: its folder; a run that goes on has the list there, and may do without the folder that it started from.
    tracks: of its shards; those of val that the weights were trained on are warned of.
    warn: told of warnings.

  Raises:
    UserError: the paper starts from weights and none are given, or `config.init` holds none.
  """
  if start.from_scratch(config) or (workdir / TRAINED_FILE).is_file():
    return []
  seen, unknown = start.inherited_videos(config.init)
  if unknown:
    warn(unknown)
  validation = [t for t in tracks if t.split == "val"]
  if again := leaking_videos([v for v in seen if v.split == "train"], validation):
    warn(
      f"the weights in {config.init} were trained on {len(again)} of {len({t.video_id for t in validation})} "
      "videos of 'val': what validation chooses looks better there than it is."
    )
  return seen


def initial_variables(config: ml_collections.ConfigDict, workdir: pathlib.Path, say: Callable[..., None]) -> Any:
  """Variables to start from, None for random ones; what became of each is told, and kept in `START_FILE`.

  Raises:
    UserError: see `interop.start.initial_variables`.
  """
  if start.from_scratch(config):
    return None
  variables, report = start.initial_variables(config.init, config, jax.random.key(config.seed))
  say(
    f"starts from {config.init} ({report.table}): {len(report.loaded)} arrays loaded, {len(report.adapted)} adapted, "
    f"{len(report.fresh)} random: {', '.join(report.random_modules()) or 'none'} (all in {START_FILE})",
    flush=True,
  )
  if jax.process_index() == 0:
    write_json(workdir / START_FILE, dataclasses.asdict(report))
  return variables
