"""Scores every video of a split exactly once, at any number of devices and hosts."""

import itertools
import logging
from collections.abc import Callable, Collection, Sequence
from typing import Any

import jax
import numpy as np
import tqdm

from dfdetect_jax.data.forgeries import GIVEN, Forgeries
from dfdetect_jax.data.loader import long_enough, test_batches
from dfdetect_jax.data.sampling import test_starts
from dfdetect_jax.data.videos import VideoSet, check_ids, select
from dfdetect_jax.devices import processes
from dfdetect_jax.devices.mesh import batch_sharding, replicated
from dfdetect_jax.evaluation.forged_twins import ForgedTwins, twin
from dfdetect_jax.evaluation.scores import VideoScore, failed_video, score_video
from dfdetect_jax.methods.method import Method
from dfdetect_jax.schema import Failure, Track, VideoInfo, read_failures, read_tracks

_LOG = logging.getLogger(__name__)

Predictor = Callable[[Any, jax.Array], jax.Array]


def make_predictor(method: Method, mesh: jax.sharding.Mesh) -> Predictor:
  """Compiles `method.predict`; its result is whole on every host, so that each can count every clip once."""
  return jax.jit(method.predict, out_shardings=replicated(mesh))


def score_split(
  predict: Predictor,
  variables: Any,
  method: Method,
  directory: str,
  split: str,
  *,
  mesh: jax.sharding.Mesh,
  batch_size: int,
  over_tracks: str = "max",
  prefetch: int = 4,
  videos: Sequence[VideoSet] = (),
  without: Collection[str] = (),
  progress: bool = True,
  twins: ForgedTwins | None = None,
) -> list[VideoScore]:
  """Scores all videos of a split: mean over the clips of each track, then over the tracks.

  Args:
    predict: from `make_predictor`.
    variables: of the model.
    method: the detector.
    directory: dataset folder made by data_pipelines.build.
    split: train, val or test.
    mesh: devices.
    batch_size: clips per forward pass, over all devices.
    over_tracks: `max` or `mean` over the face tracks of a video.
    prefetch: batches read ahead.
    videos: sets of which the videos are scored, each once though several hold it; all of the split if there is none.
    without: ids of videos that are left out.
    progress: show a progress bar.
    twins: scores each real track once more, forged; tracks without landmarks are left out then.

  Returns:
    One row per video in the order of the dataset: scored ones first, then those that could not be scored (no face
    track, or none as long as a clip) with status "failed" and a reason.

  Raises:
    UserError: the folder or split does not exist or holds none of some `videos`, an id stands for two videos, or the
      batch does not fit the devices.
  """
  spec = method.clip_spec
  tracks = read_tracks(directory, split)
  failures = [failure for failure in read_failures(directory, split) if not failure.absent]
  check_ids(tracks)
  for wanted in videos:
    select(tracks, wanted, split)  # says what is missing
  if videos:
    tracks = [t for t in tracks if any(s.holds(t) for s in videos)]
    failures = [f for f in failures if any(s.holds(f) for s in videos)]
  tracks = [t for t in tracks if t.video_id not in without]
  failures = [f for f in failures if f.video_id not in without]
  usable, short = long_enough(tracks, spec.least)
  forgeries, own = GIVEN, len(usable)
  if twins is not None:
    forgeries = Forgeries("self_made", twins.options.landmarks)
    usable = [t for t in usable if forgeries.can_be_made_of(t)]
    own, usable = len(usable), usable * 2
  probabilities: list[list[float]] = [[] for _ in usable]
  sharding = batch_sharding(mesh, batch_size, "eval_batch_size")
  options: dict[str, Any] = {"batch_size": batch_size, "sharding": sharding, "prefetch": prefetch}
  options |= {"forgeries": forgeries} if twins else {}
  batches = test_batches(directory, usable, split, spec, **options)

  def predicted(clips: Any, owner: Any, *landmarks: Any) -> jax.Array:
    if twins is None:
      return predict(variables, clips)
    [points] = landmarks
    return twins(variables, clips, points, np.maximum(owner, 0) % own, owner >= own)

  total = sum(len(test_starts(spec, t.frames)) for t in usable)
  with tqdm.tqdm(total=total, desc=f"scoring {split}", unit="clip", disable=not progress, mininterval=1.0) as bar:
    pending = None
    for batch in itertools.chain(batches, [None]):
      if batch is not None and pending is None:
        processes.barrier("first batch to score")
      # One batch is computed while the scores of the one before are fetched.
      done, pending = pending, None if batch is None else (predicted(*batch), batch[1])
      if done is not None:
        for owner, probability in zip(done[1], np.asarray(done[0], np.float64), strict=True):
          if owner >= 0:
            probabilities[owner].append(float(probability))
            bar.update()

  usable = usable[:own] + [twin(t) for t in usable[own:]]
  by_video: dict[str, list[int]] = {}
  for i, track in enumerate(usable):
    by_video.setdefault(track.video_id, []).append(i)
  rows = [
    score_video(
      [usable[i] for i in members],
      [probabilities[i] for i in members],
      over_tracks,
      [(usable[i].first_frame + test_starts(spec, usable[i].frames)[:, 0]).tolist() for i in members],
      0 if spec.snippets else spec.frames,
    )
    for members in by_video.values()
  ]
  rows += _too_short(short, by_video, spec.least)
  return rows + _failed(failures)


def _known(video: VideoInfo) -> dict[str, str]:
  return {name: getattr(video, name) for name in ("dataset", "manipulation", "compression", "split", "identity")}


def _failed(failures: Sequence[Failure]) -> list[VideoScore]:
  """A row for each; a video of which nobody knows whether it is fake can be in no figure, and is left out, told."""
  rows = [failed_video(f.video_id, f.label, f.reason, **_known(f)) for f in failures if f.label is not None]
  if unlabelled := len(failures) - len(rows):
    _LOG.warning("%d videos without a face track have no label either: they are in no figure.", unlabelled)
  return rows


def _too_short(short: Sequence[Track], scored: dict[str, list[int]], frames: int) -> list[VideoScore]:
  """A row for each video whose tracks are all shorter than a clip."""
  longest: dict[str, Track] = {}
  for track in short:
    if track.video_id not in scored:
      best = longest.setdefault(track.video_id, track)
      longest[track.video_id] = max(best, track, key=lambda t: t.frames)
  return [
    failed_video(
      t.video_id, t.label, f"face track of {t.frames} frames is shorter than a clip of {frames}", **_known(t)
    )
    for t in longest.values()
  ]
