"""The figures of a study from whatever runs are finished: means over seeds, with spread, interval and origin.

The figure of a cell is the mean over its parts and seeds of the metric at video level, failed videos counting 0.5. Its
95 % interval comes from the bootstrap over identities (videos where unknown): each resample draws the same people for
all seeds and all parts that have the same people, and takes the mean over seeds and parts. It says how the figure would
vary with other test people; how it varies with training is what the standard deviation over seeds says.
"""

import dataclasses
import functools
import pathlib
import zlib
from collections.abc import Sequence

import numpy as np
import tqdm

from dfdetect_jax.data.videos import VideoSet
from dfdetect_jax.evaluation import metrics, statistics
from dfdetect_jax.evaluation.provenance import read_provenance
from dfdetect_jax.evaluation.scores import VideoScore, read_scores
from dfdetect_jax.schema import VideoInfo
from dfdetect_jax.studies.definition import Cell, Study
from dfdetect_jax.studies.plan import CLEAN, SCORES
from dfdetect_jax.studies.recipe import Recipe
from dfdetect_jax.studies.settings import Settings

PER_CENT = tuple(name for name in metrics.METRICS if name != "log_loss")


@dataclasses.dataclass(frozen=True)
class Origin:
  """What a figure was computed from: a run and its score file."""

  recipe: Recipe
  seed: int
  run: pathlib.Path
  scores: pathlib.Path


@dataclasses.dataclass(frozen=True)
class Figure:
  """A cell with what was measured for it, in the units that papers print (per cent; nats for log-loss).

  Attributes:
    cell: as the paper has it.
    seeds: that all parts are there for; wanted: how many there shall be.
    mean: over seeds and parts, None if no seed is complete (or the metric is undefined, which `reason` tells).
    sd: over seeds (n - 1), None with fewer than two.
    interval: 95 %, None where it is undefined.
    origins: of every part and seed that counts.
    remarks: what the figure cannot be read without: videos that the lists name and the disk lacked, videos that the
      run has seen.
    reason: why there is no figure: "not run", "1 of 3 parts", "undefined: …"; "" if there is one.
  """

  cell: Cell
  seeds: tuple[int, ...]
  wanted: int
  mean: float | None
  sd: float | None
  interval: tuple[float, float] | None
  origins: tuple[Origin, ...]
  reason: str = ""
  remarks: tuple[str, ...] = ()

  @property
  def difference(self) -> float | None:
    """Measured minus printed."""
    return None if self.mean is None or self.cell.printed is None else self.mean - self.cell.printed


def collect(study: Study, settings: Settings) -> list[Figure]:
  """The figures of a study's cells, in their order; quoted cells are there too, with nothing measured.

  Args:
    study: the study.
    settings: of the working folder; nothing but score files is read.
  """
  cells = tqdm.tqdm(study.cells, desc=study.name, unit="cell", mininterval=1.0, leave=False)
  return [_figure(cell, settings) for cell in cells]


def _figure(cell: Cell, settings: Settings) -> Figure:
  if not cell.parts:
    return Figure(cell, (), 0, None, None, None, (), "quoted")
  parts = settings.parts(cell)
  complete: dict[int, list[pathlib.Path]] = {}  # seed -> score file of each part
  most = 0
  for seed in settings.seeds:
    found = [_find(settings.run_folder(recipe, seed), videos) for recipe, videos in parts]
    there = [path for path in found if path is not None]
    most = max(most, len(there))
    if len(there) == len(found):
      complete[seed] = there
  wanted, seeds = len(settings.seeds), tuple(complete)
  if not complete:
    reason = f"{most} of {len(parts)} parts" if most else "not run"
    return Figure(cell, (), wanted, None, None, None, (), reason)
  origins = tuple(
    Origin(recipe, seed, settings.run_folder(recipe, seed), path)
    for seed, paths in complete.items()
    for (recipe, _), path in zip(parts, paths)
  )
  scale = 100.0 if cell.metric in PER_CENT else 1.0
  per_seed = []
  for seed in seeds:
    values = []
    for path, (_, videos) in zip(complete[seed], parts):
      figures = metrics.binary_metrics(*metrics.labels_and_scores(_of(path, videos)))
      value = getattr(figures, cell.metric)
      if value is None:
        return Figure(cell, seeds, wanted, None, None, None, origins, figures.undefined[cell.metric])
      values.append(value)
    per_seed.append(scale * float(np.mean(values)))
  sd = float(np.std(per_seed, ddof=1)) if len(per_seed) > 1 else None
  samples = [
    _resampled(tuple(complete[seed][part] for seed in seeds), videos) for part, (_, videos) in enumerate(parts)
  ]
  drawn = [figures[cell.metric] for figures in samples if figures is not None]
  interval = _interval(drawn) if len(drawn) == len(samples) else None
  interval = interval and (scale * interval[0], scale * interval[1])
  remarks = _remarks({(path, videos) for paths in complete.values() for path, (_, videos) in zip(paths, parts)})
  return Figure(cell, seeds, wanted, float(np.mean(per_seed)), sd, interval, origins, remarks=remarks)


def _remarks(tests: set[tuple[pathlib.Path, VideoSet]]) -> tuple[str, ...]:
  """What the provenance of the score files says of the videos of some sets in them; the worst of seeds and parts."""
  contaminated, absent, of = 0, 0, 0
  for path, videos in tests:
    content, rows = read_provenance(path) or {}, _of(path, videos)
    seen = {*content.get("contaminated", ())}
    contaminated = max(contaminated, sum(row.video_id in seen for row in rows))
    lacking = sum(videos.holds(VideoInfo(**video)) for video in content.get("absent", ()))
    absent, of = max((absent, of), (lacking, len(rows) + lacking))
  remarks = [f"CONTAMINATED: the run has seen {contaminated} of the videos"] if contaminated else []
  return (*remarks, *([f"{of - absent} of {of} listed videos"] if absent else []))


def _find(run: pathlib.Path, videos: VideoSet) -> pathlib.Path | None:
  """The score file of a run that holds a set's videos."""
  for path in sorted((run / SCORES / (videos.folder or CLEAN)).glob("*/scores.csv")):
    # Real videos alone are of every set (DeeperForensics' of each variant).
    if any(video.label or not videos.manipulations for video in _of(path, videos)):
      return path
  return None


def _of(path: pathlib.Path, videos: VideoSet) -> list[VideoScore]:
  return [video for video in _read(path) if videos.holds(video)]


@functools.lru_cache(maxsize=512)
def _read(path: pathlib.Path) -> tuple[VideoScore, ...]:
  """A score file's rows by video id; read once."""
  return tuple(sorted(read_scores(path), key=lambda video: video.video_id))


@functools.lru_cache(maxsize=1024)
def _resampled(paths: tuple[pathlib.Path, ...], videos: VideoSet) -> dict[str, np.ndarray] | None:
  """Means over seeds of all metrics in each resample, `[resamples]`; None where nothing can be drawn.

  Args:
    paths: score file of each seed.
    videos: which of its videos count.
  """
  seeds = [_of(path, videos) for path in paths]
  first = seeds[0]
  clusters = metrics.clusters(first)
  if len(np.unique(clusters)) < 2 or any([v.video_id for v in rows] != [v.video_id for v in first] for rows in seeds):
    return None  # of seeds that were tested on different videos, nothing can be drawn for all at once
  labels = metrics.labels_and_scores(first)[0]
  # Parts with the same people are given the same draws, others independent ones.
  people = sorted({f"{v.dataset}\n{v.identity.split('+')[0] or v.video_id}" for v in first})
  drawn = statistics.bootstrap(
    labels, [metrics.labels_and_scores(rows)[1] for rows in seeds], clusters, [None] * len(seeds),
    seed=zlib.crc32("\n".join(people).encode()),
  )  # fmt: skip
  return {name: np.mean([figures[name] for figures in drawn], axis=0) for name in drawn[0]}


def _interval(parts: Sequence[np.ndarray]) -> tuple[float, float] | None:
  """95 % interval of the mean over parts from its resamples; None where these cannot say how sure it is."""
  found = statistics.interval(np.mean(parts, axis=0))
  return (found[0], found[1]) if found else None
