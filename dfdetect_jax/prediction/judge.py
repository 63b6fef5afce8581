"""Judges videos with a trained run: faces are found, followed and cut out as they were for training, and scored.

  setup = prepare("runs/dip")
  verdict = judge(setup, "video.mp4")

A track's score is the mean over the method's test clips, as in evaluation; the video's follows from the tracks by the
rule in `over_tracks`. Memory is bounded by a batch of clips, whatever the length of the video.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import jax
import numpy as np

from data_pipelines.faces.detectors import detector as detectors
from data_pipelines.faces.face_tracks import FaceOptions, FaceTrack, face_tracks
from data_pipelines.video import decode
from data_pipelines.video.decode import BrokenVideo, Frame
from dfdetect_jax.devices.mesh import batch_sharding, replicated
from dfdetect_jax.errors import UserError
from dfdetect_jax.evaluation.calibration import Decision, Reliability, read_reliability
from dfdetect_jax.evaluation.scores import OVER_TRACKS
from dfdetect_jax.folders import as_folder
from dfdetect_jax.methods.method import ClipSpec, Method
from dfdetect_jax.prediction import timing
from dfdetect_jax.prediction.clips import Dense, Request, cut_clips, last_of, requests_of
from dfdetect_jax.prediction.pictures import data_uri
from dfdetect_jax.prediction.progress import Progress, Silent
from dfdetect_jax.prediction.verdict import FAILED, ClipScore, TrackScore, VideoVerdict
from dfdetect_jax.runs.restore import Run, restore_run
from dfdetect_jax.schema import DATASET_FILE, read_dataset_file

# A face track decides if it lasts so many seconds, or half as long as the longest one of its video.
DECIDING_SECONDS, DECIDING_SHARE = 2.0, 0.5
FACE_PIXELS = 96

# Clips on the devices, uint8 → `probability` [B] and, where the model has them, `frames` [B, …, T] of its frames.
Scorer = Callable[[Any, jax.Array], Mapping[str, jax.Array]]


class Watcher(Protocol):
  """Somebody who keeps pictures while a video is judged."""

  def begin(self, tracks: Sequence[FaceTrack], requests: Sequence[Request], spec: ClipSpec) -> None:
    """Told of the faces and the clips before the first frame."""

  def see(self, frame: Frame, crops: Mapping[int, np.ndarray]) -> None:
    """Shown each frame that a clip needs, full size, and the crops from it by place of the track in the list."""

  def scored(self, request: Request, clip: np.ndarray, score: float) -> None:
    """Shown each clip with its score."""


@dataclasses.dataclass(frozen=True)
class Judge:
  """All that is needed to judge videos one after another; nothing is compiled twice.

  Attributes:
    workdir: of the run.
    run: the restored detector.
    scorer: from `make_scorer`.
    detector: finds the faces.
    faces: how they are followed and cut out.
    decision: how scores become verdicts.
    reliability: what is known of the checkpoint.
    over_tracks: `max` or `mean` over face tracks.
    dense: clips beside the method's own.
    batch_size: clips per forward pass.
  """

  workdir: str
  run: Run
  scorer: Scorer
  detector: detectors.Detector
  faces: FaceOptions
  decision: Decision
  reliability: Reliability
  over_tracks: str
  dense: Dense
  batch_size: int


def make_scorer(method: Method, mesh: jax.sharding.Mesh) -> Scorer:
  """Compiles the model's probabilities of "fake", of clips and of the frames that it gives logits for."""

  def scores(variables: Any, clips: jax.Array) -> dict[str, jax.Array]:
    outputs: Any = method.model.apply(variables, clips, train=False)
    found = {"probability": outputs["logit"], "frames": outputs.get("frame_logits")}
    return {name: jax.nn.sigmoid(logits) for name, logits in found.items() if logits is not None}

  return jax.jit(scores, out_shardings=replicated(mesh))


def prepare(
  workdir: str,
  step: str = "best",
  weights: str | None = None,
  *,
  threshold: float | None = None,
  over_tracks: str | None = None,
  detector: str | None = None,
  detector_model: str = "",
  max_tracks: int = 0,
  dense: Dense | None = None,
  shortest: int | None = None,
  run: Run | None = None,
) -> Judge:
  """Restores a run, ready to judge.

  Args:
    workdir: folder of the run.
    step: "best", "latest" or the number of a kept step.
    weights: "teacher" or "student"; None: what the config says.
    threshold: fake above this score, without an undecided band; None: what was chosen on validation, with its band.
    over_tracks: "max" or "mean" over face tracks; None: what the config says.
    detector: name of the face detector; None: that of the training data.
    detector_model: path of its model, where it needs one.
    max_tracks: look at so many longest face tracks, 0 = all.
    dense: clips to score beside the method's own; None: none.
    shortest: judge faces of at least so many frames that are shorter than a clip (`ClipSpec.shortest`); None: as
      configured.
    run: of `workdir`, where it has been restored already; `step` and `weights` are its own then.

  Raises:
    UserError: no such run or checkpoint, or an argument that cannot be.
  """
  if threshold is not None and not 0 <= threshold <= 1:
    raise UserError(f"--threshold={threshold} is not a probability: it must lie in [0, 1].")
  if over_tracks not in (None, *OVER_TRACKS):
    raise UserError(f"--tracks={over_tracks}: tracks are combined by {' or '.join(OVER_TRACKS)}.")
  if max_tracks < 0:
    raise UserError(f"--max-tracks={max_tracks} must be a number of faces, 0 for all.")
  run = (run or restore_run(workdir, step, weights)).down_to(shortest)
  spec = run.method.clip_spec
  name, faces = faces_as_trained(workdir, spec.least, max_tracks)
  reliability = read_reliability(workdir, run.step, run.weights)
  decision = reliability.decision()
  if threshold is not None:
    decision = dataclasses.replace(
      decision, threshold=threshold, lower=threshold, upper=threshold, origin="given by the user, without a band"
    )
  dense = dense or Dense()
  # Few clips per track: a batch of as many wastes nothing. Every device gets its share.
  few = spec.test_clips if not (dense.stride or dense.clips) else 0
  clips = min(run.config.eval_batch_size, few or run.config.eval_batch_size)
  return Judge(
    workdir=str(workdir),
    run=run,
    scorer=make_scorer(run.method, run.mesh),
    detector=detectors.create(detector or name, detector_model),
    faces=faces,
    decision=decision,
    reliability=reliability,
    over_tracks=over_tracks or run.config.tracks,
    dense=dense,
    batch_size=-(-clips // run.mesh.size) * run.mesh.size,
  )


def faces_as_trained(workdir: str, frames: int, max_tracks: int) -> tuple[str, FaceOptions]:
  """Name of the detector and options that the training data were built with, as the run remembers them.

  Args:
    workdir: folder of the run.
    frames: T; a shorter track cannot be judged.
    max_tracks: look at so many longest tracks, 0 = all.
  """
  try:
    choices = read_dataset_file(as_folder(workdir) / DATASET_FILE)["choices"]
    options = FaceOptions(
      align=choices["align"], size=choices["size"], margin=choices["margin"], every=choices["key-frames"],
      max_tracks=max_tracks, min_frames=frames,
    )  # fmt: skip
  except (KeyError, TypeError) as error:
    raise UserError(
      f"{workdir}/{DATASET_FILE}, which says how faces were cut for training, is unusable: {error}."
    ) from error
  return choices["detector"], options


def judge(setup: Judge, path: str, progress: Progress | None = None, watcher: Watcher | None = None) -> VideoVerdict:
  """Judges one video.

  Args:
    setup: from `prepare`.
    path: the video.
    progress: told how far it is.
    watcher: keeps pictures on the way.

  Returns:
    The verdict; with status "failed" and the reason, if the video cannot be judged.
  """
  progress = progress or Silent()
  try:
    return _judge(setup, str(path), progress, watcher)
  except BrokenVideo as error:
    reason = error.reason
  except UserError:
    raise
  except Exception as error:  # whatever a file does to a decoder or to us, it shall not stop the other videos
    reason = " ".join(f"unexpected {type(error).__name__}: {error}".split())
  finally:
    progress.close()
  return VideoVerdict(path=str(path), status=FAILED, reason=reason)


def _judge(setup: Judge, path: str, progress: Progress, watcher: Watcher | None) -> VideoVerdict:
  spec, total = setup.run.method.clip_spec, timing.expected_frames(path)
  progress.stage("finding faces", total)
  # Faces that are too short to be judged are asked for as well, so that they can be told.
  options = dataclasses.replace(setup.faces, min_frames=1, max_tracks=0)
  found = face_tracks(path, options, setup.detector, tick=lambda: progress.update(32))
  tracks, notes = _choose(found, spec, setup.faces.max_tracks)
  requests = [r for n, track in enumerate(tracks) for r in requests_of(spec, n, track.frames, setup.dense)]
  if watcher:
    watcher.begin(tracks, requests, spec)
  faces: dict[int, str] = {}

  def watch(frame: Frame, crops: dict[int, np.ndarray]) -> None:
    for n, crop in crops.items():
      if n not in faces and frame.index >= tracks[n].first_frame + tracks[n].frames // 3:
        faces[n] = data_uri(crop, FACE_PIXELS)
    if watcher:
      watcher.see(frame, crops)

  progress.stage("scoring", max(t.first_frame + t.frames for t in tracks))
  seen: list[float] = []
  frames = timing.timed(decode.read_frames(path), seen, progress)
  scored: list[list[tuple[Request, float, np.ndarray | None]]] = [[] for _ in tracks]
  for request, clip, score, of_frames in _scores(setup, cut_clips(frames, tracks, requests, spec, watch)):
    if not np.isfinite(score):
      raise BrokenVideo("the model's score is not a number (NaN): its weights, or its dtype for these clips, are unfit")
    scored[request.track].append((request, score, of_frames))
    if watcher:
      watcher.scored(request, clip, score)
  clock = timing.Clock(tracks[0], seen)
  times = [clock.of(track) for track in tracks]
  means = [float(np.mean([score for request, score, _ in some if request.counts])) for some in scored]
  weights, score, rule = combine(means, [of[-1] - of[0] for of in times], setup.over_tracks)
  results = []
  for n, (track, of) in enumerate(zip(tracks, times, strict=True)):
    clips = [_clip(track, of, spec, *one) for one in scored[n]]
    results.append(
      TrackScore(
        track=n + 1, first_frame=track.first_frame, frames=track.frames, start_second=_round(of[0]),
        end_second=_round(of[-1]), score=means[n], weight=weights[n],
        clips=tuple(sorted(clips, key=lambda c: (c.first_frame, c.last_frame))), face=faces.get(n, ""),
      )
    )  # fmt: skip
  short = [clock.of(track) for track in found if track.frames < spec.least]
  decision = setup.decision
  return VideoVerdict(
    path=path, verdict=decision.verdict(score), score=score, probability=decision.probability(score),
    threshold=decision.threshold, lower=decision.lower, upper=decision.upper, rule=rule, seconds=_round(clock.seconds),
    video_frames=found[0].video_frames, tracks=tuple(results),
    not_scored=tuple(timing.gaps(clock.first, clock.seconds, times, short)),
    notes=(*notes, *_unseen(results, spec, decision)),
  )  # fmt: skip


def _choose(found: Sequence[FaceTrack], spec: ClipSpec, most: int) -> tuple[list[FaceTrack], list[str]]:
  """The tracks to judge, in order of time (of equal ones, from left to right), and what is said of the others."""
  frames = spec.least
  usable = sorted((t for t in found if t.frames >= frames), key=lambda t: -t.frames)
  if not usable:
    longest = max(t.frames for t in found)
    whole = found[0].video_frames
    if whole < frames:
      raise BrokenVideo(f"too short: {whole} of at least {frames} frames")
    raise BrokenVideo(f"no face for {frames} frames on end (longest: {longest} of {whole} frames)")
  # What the reader of the video had to say: warnings about the file are the same for each of its tracks.
  notes = list(dict.fromkeys(note for track in found for note in getattr(track, "notes", ())))
  short, more = len(found) - len(usable), usable[most:] if most else []
  if short:
    least = f"a clip ({frames} frames)" if frames == spec.frames else f"{frames} frames"
    notes.append(f"{short} of {len(found)} face tracks are shorter than {least} and were not scored.")
  if mirrored := sum(t.frames < spec.frames for t in usable):
    notes.append(f"{mirrored} face tracks are shorter than a clip ({spec.frames} frames): scored back and forth.")
  if more:
    notes.append(f"{len(more)} of {len(usable)} face tracks were left out: --max-tracks={most} takes the longest.")
  chosen = usable[: most or None]
  return sorted(chosen, key=lambda t: (t.first_frame, float(t.boxes[0, 0]))), notes


def combine(scores: Sequence[float], seconds: Sequence[float], over_tracks: str) -> tuple[list[float], float, str]:
  """The video's score from its tracks': one that is short beside a longer one does not decide.

  Args:
    scores: of the tracks.
    seconds: length of each.
    over_tracks: "max", or "mean", which is weighted by length.

  Returns:
    Each track's weight (0 = does not decide; 1 for `max`, its share of the seconds for `mean`), the video's score, and
    the rule as a sentence.
  """
  least = min(DECIDING_SECONDS, DECIDING_SHARE * max(seconds))
  deciding = np.array([s >= least for s in seconds])
  of = f"face tracks of at least {least:.2f} s" + ("" if deciding.all() else " (shorter ones are shown only)")
  if over_tracks == "max":
    return deciding.astype(float).tolist(), float(np.max(np.asarray(scores)[deciding])), f"the highest score of {of}"
  share = deciding * np.asarray(seconds, np.float64)
  share /= share.sum()
  return share.tolist(), float(share @ np.asarray(scores)), f"the mean score of {of}, weighted by their length"


def _scores(
  setup: Judge, clips: Iterator[tuple[Request, np.ndarray]]
) -> Iterator[tuple[Request, np.ndarray, float, np.ndarray | None]]:
  """Scores clips in batches of one size; the next batch is cut out while the devices compute."""
  sharding = batch_sharding(setup.run.mesh, setup.batch_size)

  def start(batch: list[tuple[Request, np.ndarray]]):
    stacked = np.stack([clip for _, clip in batch])
    # One batch size for every video: nothing is compiled again.
    padded = np.concatenate([stacked, np.repeat(stacked[-1:], setup.batch_size - len(batch), axis=0)])
    return setup.scorer(setup.run.variables, jax.device_put(padded, sharding))

  def finish(batch, outputs):
    values = {name: np.asarray(value, np.float64) for name, value in outputs.items()}
    for i, (request, clip) in enumerate(batch):
      yield request, clip, float(values["probability"][i]), values["frames"][i] if "frames" in values else None

  pending: Callable[[], Iterator] = lambda: iter(())  # noqa: E731
  batch: list[tuple[Request, np.ndarray]] = []
  for one in clips:
    batch.append(one)
    if len(batch) == setup.batch_size:
      done, pending, batch = pending, functools.partial(finish, batch, start(batch)), []
      yield from done()
  yield from pending()
  if batch:
    yield from finish(batch, start(batch))


def _clip(track: FaceTrack, times: np.ndarray, spec: ClipSpec, request: Request, score: float, of_frames) -> ClipScore:
  first, last = min(request.starts), last_of(request, spec, track)
  frames: tuple[tuple[int, float, float], ...] = ()
  if of_frames is not None:
    inside = (np.array(request.starts)[:, None] + np.arange(spec.frames)).ravel()
    frames = tuple(
      (track.first_frame + int(i), _round(times[i]), float(p)) for i, p in zip(inside, of_frames.ravel(), strict=True)
    )
  x1, y1, x2, y2 = (round(float(x), 1) for x in track.boxes[(first + last) // 2])
  return ClipScore(
    first_frame=track.first_frame + first, last_frame=track.first_frame + last, start_second=_round(times[first]),
    end_second=_round(times[last + 1]), score=score, counts=request.counts, frames=frames,
    box=(x1, y1, x2, y2),
  )  # fmt: skip


def _unseen(tracks: Sequence[TrackScore], spec: ClipSpec, decision: Decision) -> list[str]:
  """Notes on frames that no clip covers, and on tracks that do not decide although they look forged."""
  notes = []
  faces = seen = 0
  for track in tracks:
    covered = np.zeros(track.frames, bool)
    for clip in track.clips:
      if clip.frames:
        covered[[index - track.first_frame for index, _, _ in clip.frames]] = True
      else:
        covered[clip.first_frame - track.first_frame : clip.last_frame + 1 - track.first_frame] = True
    faces, seen = faces + track.frames, seen + int(covered.sum())
  if seen < faces:
    notes.append(f"{seen} of {faces} frames with a face lie in a scored clip; --clips or --stride looks at more.")
  short = [track for track in tracks if not track.weight and decision.verdict(track.score) == "fake"]
  short.sort(key=lambda track: -track.score)
  if short:
    named = ", ".join(f"face {t.track} ({t.score:.3f} at {t.start_second:.2f} s)" for t in short[:5])
    more = f" and {len(short) - 5} more" if len(short) > 5 else ""
    notes.append(f"too short to decide, but above the threshold, look at them: {named}{more}.")
  return notes


def _round(second: float) -> float:
  return round(float(second), 3)
