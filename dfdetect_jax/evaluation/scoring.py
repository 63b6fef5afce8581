"""Scores dataset folders with a trained run: one split of one folder, or every test set of a protocol."""

import dataclasses
import logging
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import jax

from dfdetect_jax.data.catalogue import Catalogue
from dfdetect_jax.data.videos import VideoSet
from dfdetect_jax.errors import UserError, unwritable
from dfdetect_jax.evaluation import calibration, metrics
from dfdetect_jax.evaluation.evaluator import Predictor, score_split
from dfdetect_jax.evaluation.protocols import Protocol
from dfdetect_jax.evaluation.provenance import score_provenance
from dfdetect_jax.evaluation.scores import VideoScore, write_scores
from dfdetect_jax.evaluation.summary import Figures, Summary
from dfdetect_jax.files import sealed
from dfdetect_jax.folders import check_writable, write_json
from dfdetect_jax.runs.provenance import PROVENANCE_FILE, data_fingerprint
from dfdetect_jax.runs.restore import Run
from dfdetect_jax.runs.trained_videos import TRAINED_FILE, leaks_from_training, trained_videos
from dfdetect_jax.schema import Failure, VideoInfo, read_failures, read_tracks

_LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Circumstances:
  """What a figure on the scored videos must say beside itself.

  Attributes:
    left_out: ids of the videos that were not scored, because the run has seen them.
    contaminated: ids of those that were scored although it has.
    absent: videos that the dataset's lists name and the disk lacked when the shards were built.
    named: all videos that the lists name, these included.
  """

  left_out: set[str]
  contaminated: set[str]
  absent: list[Failure]
  named: list[VideoInfo]


def listed(about: Circumstances, scores: Sequence[VideoScore], videos: VideoSet | None = None) -> dict:
  """What `metrics.json` says of the videos that figures are of.

  Args:
    about: the circumstances.
    scores: rows that the figures are of.
    videos: set that these are of; None: all.

  Returns:
    `listed`: how many videos are `named` by the dataset's lists, how many of them were `there`, and how many have a
    score (or failed); `contaminated`: how many of these the run has seen.
  """
  named = sum(videos is None or videos.holds(video) for video in about.named)
  absent = sum(videos is None or videos.holds(failure) for failure in about.absent)
  return {
    "listed": {"named": named, "there": named - absent, "scored": len(scores)},
    "contaminated": sum(score.video_id in about.contaminated for score in scores),
  }


def score_unseen(
  run: Run,
  predict: Predictor,
  workdir: pathlib.Path,
  data: pathlib.Path,
  split: str,
  *,
  videos: Sequence[VideoSet] = (),
  leaks: str = "refuse",
  batch_size: int | None = None,
  over_tracks: str | None = None,
  warn: Callable[[str], None] = _LOG.warning,
) -> tuple[list[VideoScore], Circumstances]:
  """Scores a split of a dataset folder, after looking for what the run has seen of it.

  Args:
    run: restored from `workdir`.
    predict: from `make_predictor`.
    workdir: of the run.
    data: dataset folder.
    split: train, val or test.
    videos: sets whose videos are scored, each once; all videos if there is none.
    leaks: what happens to videos that the run has seen: "refuse" to go on, "drop" them, or "keep" and mark them.
    batch_size, over_tracks: None: what the config says.
    warn: told of warnings.

  Returns:
    The scores, and what they cannot be told without.

  Raises:
    UserError: see `score_split` and `leaks_from_training`.
  """
  seen: set[str] = set()
  trained = trained_videos(workdir, run.config)
  if trained is None:
    warn(f"leaks from training cannot be looked for: {workdir} has no {TRAINED_FILE}, and its shards are gone.")
  else:
    tracks = [t for t in read_tracks(data, split) if not videos or any(v.holds(t) for v in videos)]
    seen, warnings = leaks_from_training(trained, tracks, split, leaks)
    for warning in warnings:
      warn(f"{data}: {warning}")
  left_out, contaminated = (set(), seen) if leaks == "keep" else (seen, set())
  of_split = [*read_tracks(data, split), *read_failures(data, split)]
  named = {video.video_id: video for video in of_split if not videos or any(v.holds(video) for v in videos)}
  absent = [video for video in named.values() if isinstance(video, Failure) and video.absent]
  if absent:
    real = sum(failure.label == 0 for failure in absent)
    warn(
      f"{data}: figures are of {len(named) - len(absent)} of {len(named)} listed {split} videos; "
      f"{len(absent)} ({real} real, {len(absent) - real} fake) were not there when the shards were built."
    )
  scores = score_split(
    predict, run.variables, run.method, str(data), split, mesh=run.mesh,
    batch_size=batch_size or run.config.eval_batch_size, over_tracks=over_tracks or run.config.tracks,
    prefetch=run.config.prefetch, videos=videos, without=left_out, progress=jax.process_index() == 0,
  )  # fmt: skip
  return scores, Circumstances(left_out, contaminated, absent, list(named.values()))


def score_folder(
  run: Run,
  predict: Predictor,
  workdir: pathlib.Path,
  data: pathlib.Path,
  split: str,
  output: pathlib.Path,
  *,
  notes: Sequence[str] = (),
  warn: Callable[[str], None] = _LOG.warning,
  **options: Any,
) -> tuple[list[VideoScore], Circumstances]:
  """Scores a split of a dataset folder, and writes `scores.csv` with `provenance.json` beside it.

  Args:
    run, predict, workdir, data, split: see `score_unseen`.
    output: folder for the two files; process 0 writes them.
    notes: what else a reader of the scores must know; stands in their provenance with all warnings.
    warn: told of warnings.
    **options: of `score_unseen`.

  Raises:
    UserError: see `score_unseen`; or the output cannot be written.
  """
  warnings = list(notes)

  def keep(text: str) -> None:
    warnings.append(text)
    warn(text)

  if jax.process_index() == 0:
    try:
      check_writable(output)
    except OSError as error:
      raise unwritable(output, error, "choose another --output") from error
  scores, about = score_unseen(run, predict, workdir, data, split, warn=keep, **options)
  if jax.process_index() == 0:  # every process knows all scores; one writes them
    try:
      output.mkdir(parents=True, exist_ok=True)
      write_scores(output / "scores.csv", scores)
      fingerprint = data_fingerprint(data)
      content = score_provenance(output / "scores.csv", run, workdir, fingerprint, split, about.left_out, warnings)
      content |= {"contaminated": sorted(about.contaminated), "absent": [_named(failure) for failure in about.absent]}
      write_json(output / PROVENANCE_FILE, sealed(content))
    except OSError as error:
      raise unwritable(output, error, "choose another --output") from error
  return scores, about


def _named(failure: Failure) -> dict[str, Any]:
  """What tells which sets a video would be of."""
  return {name: getattr(failure, name) for name in ("video_id", "label", "dataset", "manipulation", "compression")}


def write_metrics(output: pathlib.Path, content: dict) -> None:
  """Writes `metrics.json`, whole or not at all.

  Raises:
    UserError: it cannot be written.
  """
  try:
    write_json(output / "metrics.json", sealed(content))
  except OSError as error:
    raise unwritable(output, error, "choose another --output") from error


def keep_with_run(
  workdir: pathlib.Path,
  run: Run,
  split: str,
  name: str,
  scores: Sequence[VideoScore],
  video: Figures,
  contaminated: int = 0,
  warn: Callable[[str], None] = _LOG.warning,
) -> None:
  """Lets predictions know what a checkpoint is worth: writes threshold, band and temperature, or a test's AUC.

  Args:
    workdir: of the run.
    run: that scored.
    split: train, which says nothing, val or test.
    name: of the test set.
    scores: of the validation split.
    video: figures of the test set at video level.
    contaminated: how many of its videos the run has seen, see `listed`; such figures are not kept.
    warn: told of what could not be kept.
  """
  problem = ""
  if contaminated:
    problem = f"predictions are not told of this test: the run has seen {contaminated} of its videos."
  elif split == "val":
    problem = calibration.record_validation(workdir, run.step, run.weights, scores)
  elif split == "test":
    problem = calibration.record_test(workdir, run.step, run.weights, name, video)
  if problem:
    warn(problem)


def folders_of(protocol: Protocol, catalogue: Catalogue) -> dict[pathlib.Path, list[VideoSet]]:
  """The folders that hold a protocol's test sets, and which sets each holds.

  Raises:
    UserError: a set lies in no folder, or in several; all sets that are missing are named.
  """
  folders: dict[pathlib.Path, list[VideoSet]] = {}
  missing: list[str] = []
  first = None
  for videos in protocol.test:
    try:
      folders.setdefault(catalogue.find(videos, "test").path, []).append(videos)
    except UserError as error:
      missing, first = [*missing, videos.name], first or error
  if first:
    have = [v.name for sets in folders.values() for v in sets]
    raise UserError(
      f"protocol '{protocol.name}': {first} {len(missing)} of its {len(protocol.test)} sets cannot be scored: "
      f"{', '.join(missing)}." + (f" --sets={','.join(have)} scores the others." if have else "")
    )
  return folders


def folder_names(folders: Sequence[pathlib.Path]) -> dict[pathlib.Path, str]:
  """A name for the scores of each folder: its own, with as many parents' as tell it from the others."""
  resolved = [folder.resolve() for folder in folders]
  for depth in range(1, max(len(path.parts) for path in resolved) + 1):
    names = ["_".join(path.parts[-depth:]).strip("/") for path in resolved]
    if len({*names}) == len(names):
      break
  return dict(zip(folders, names, strict=True))


def readable(summary: Summary, step: int, output: pathlib.Path) -> str:
  """The figures of one split that a person looks for first."""
  video, failed = summary.overall.video, summary.failed
  lines = [f"{video.n} videos ({video.real} real, {video.fake} fake), step {step}"]
  for name in metrics.METRICS:
    value = getattr(video, name)
    if value is None:
      lines.append(f"  {name:18} {video.undefined.get(name, 'undefined')}")
    else:
      interval = video.interval(name)
      spread = f"  [{interval[0]:.4f}, {interval[1]:.4f}]" if interval else ""
      lines.append(f"  {name:18} {value:.4f}{spread}")
  lines.append("  (95 % intervals: bootstrap over identities where known, else videos)")
  for reason in dict.fromkeys((video.no_interval or {}).values()):
    lines.append(f"  (no interval: {reason})")
  lines += [f"  ({caution})" for caution in video.cautions or ()]
  if worst := summary.worst_manipulation:
    lines.append(f"  worst manipulation: {worst.name}, AUC {worst.auc:.4f}")
  if failed.count:
    lines.append(f"{failed.count} videos could not be scored (policy: {failed.policy}):")
    lines += [f"  {v.video_id}: {v.reason}" for v in failed.videos]
  return "\n".join([*lines, f"Scores and figures are in {output}."])
