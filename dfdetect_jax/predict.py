"""Judges videos with a trained detector: how likely each is forged, and where.

  python -m dfdetect_jax.predict --workdir=runs/dip video.mp4 [more.mp4 …] [--json=verdict.json] [--plot=DIR]

Faces are found, followed and cut out the way they were for training. Every face track is cut into the method's test
clips; its score is the mean of their probabilities, the video's is the highest (or mean) of its tracks.

Exit status, for scripts: 0 all videos judged real, 10 at least one judged fake, 3 none fake but at least one could not
be judged, 2 the call itself is wrong.
"""

import argparse
import dataclasses
import json
import pathlib
import sys

import numpy as np
import tqdm

from data_pipelines.faces.detectors import detector as detectors
from data_pipelines.faces.face_tracks import FaceOptions, FaceTrack, face_tracks
from data_pipelines.video.decode import BrokenVideo
from dfdetect_jax.data.frames import resize
from dfdetect_jax.data.sampling import test_starts
from dfdetect_jax.errors import UserError, exit_on_user_error
from dfdetect_jax.evaluation.evaluator import Predictor, make_predictor
from dfdetect_jax.evaluation.scores import aggregate_tracks
from dfdetect_jax.folders import as_folder, write_json
from dfdetect_jax.methods.method import ClipSpec
from dfdetect_jax.runs.restore import Run, restore_run
from dfdetect_jax.schema import DATASET_FILE

REAL, FAKE, NOT_JUDGED = 0, 10, 3


@dataclasses.dataclass(frozen=True)
class Judge:
  """All that is needed to judge videos one after another; nothing is compiled twice.

  Attributes:
    run: the restored detector.
    predict: from `make_predictor`.
    detector: finds the faces.
    faces: how they are followed and cut out.
    threshold: fake above this probability.
    over_tracks: `max` or `mean` over face tracks.
    batch_size: clips per forward pass.
  """

  run: Run
  predict: Predictor
  detector: detectors.Detector
  faces: FaceOptions
  threshold: float
  over_tracks: str
  batch_size: int


def faces_as_trained(workdir: str, frames: int, max_tracks: int) -> tuple[str, FaceOptions]:
  """Name of the detector and options that the training data were built with, as the run remembers them.

  Args:
    workdir: folder of the run.
    frames: T; a shorter track cannot be judged.
    max_tracks: look at so many longest tracks, 0 = all.
  """
  try:
    choices = json.loads((as_folder(workdir) / DATASET_FILE).read_text())["choices"]
    options = FaceOptions(
      align=choices["align"], size=choices["size"], margin=choices["margin"], every=choices["key-frames"],
      max_tracks=max_tracks, min_frames=frames,
    )  # fmt: skip
  except (OSError, json.JSONDecodeError, KeyError) as error:
    raise UserError(
      f"{workdir}/{DATASET_FILE}, which says how faces were cut for training, is unusable: {error}."
    ) from error
  return choices["detector"], options


def judge(with_: Judge, path: str) -> dict:
  """Judges one video.

  Returns:
    What `--json` holds for one video: `path`, `status` ("ok" or "failed", then with `reason`), `probability`,
    `verdict`, and per face track its frames, time, `probability` and `clips` with first and last frame, seconds and
    probability of each.
  """
  try:
    tracks = [_judge_track(with_, track) for track in face_tracks(path, with_.faces, with_.detector)]
  except BrokenVideo as error:
    return {"path": str(path), "status": "failed", "reason": error.reason}
  probability = aggregate_tracks(
    [[clip["probability"] for clip in track["clips"]] for track in tracks], with_.over_tracks
  )
  verdict = "fake" if probability > with_.threshold else "real"  # as accuracy counts it: at exactly 0.5 it is real
  return {"path": str(path), "status": "ok", "probability": probability, "verdict": verdict, "tracks": tracks}


def _judge_track(with_: Judge, track: FaceTrack) -> dict:
  spec, batch_size = with_.run.method.clip_spec, with_.batch_size
  starts = test_starts(spec, track.frames)
  needed = {frame for start in starts.ravel() for frame in range(start, start + spec.frames)}
  crops = {i: resize(crop, spec.size) for i, crop in enumerate(track.crops()) if i in needed}
  probabilities: list[float] = []
  for first in range(0, len(starts), batch_size):
    some = starts[first : first + batch_size]
    clips = np.stack([_clip(crops, row, spec) for row in some])
    # One batch size for every video: nothing is compiled again.
    padded = np.concatenate([clips, np.repeat(clips[-1:], batch_size - len(clips), axis=0)])
    probabilities += np.asarray(with_.predict(with_.run.variables, padded), np.float64)[: len(some)].tolist()
  return {
    "track": track.number,
    "first_frame": track.first_frame,
    "frames": track.frames,
    "fps": track.fps,
    "probability": float(np.mean(probabilities)),
    "clips": [_span(track, row, spec.frames) | {"probability": p} for row, p in zip(starts, probabilities)],
  }


def _clip(crops: dict[int, np.ndarray], starts: np.ndarray, spec: ClipSpec) -> np.ndarray:
  snippets = np.stack([np.stack([crops[s + k] for k in range(spec.frames)]) for s in starts])
  return snippets if spec.snippets else snippets[0]


def _span(track: FaceTrack, starts: np.ndarray, frames: int) -> dict:
  """Frames and seconds of the video between which a clip's frames lie."""
  first, last = int(track.first_frame + starts[0]), int(track.first_frame + starts[-1] + frames - 1)
  fps = track.fps or 25.0  # a stream without timestamps; any player assumes a rate
  seconds = {"start_second": round(first / fps, 3), "end_second": round((last + 1) / fps, 3)}
  return {"first_frame": first, "last_frame": last} | seconds


def readable(result: dict) -> str:
  """A summary of one video for a person."""
  if result["status"] == "failed":
    return f"{result['path']}: cannot be judged: {result['reason']}"
  lines = [f"{result['path']}: {result['verdict'].upper()}, probability of a forgery {result['probability']:.3f}"]
  for track in result["tracks"]:
    lines.append(
      f"  face {track['track']}, frames {track['first_frame']} to {track['first_frame'] + track['frames'] - 1}: "
      f"{track['probability']:.3f}"
    )
    for clip in track["clips"][:32]:
      bar = "#" * round(20 * clip["probability"])
      lines.append(
        f"    {clip['start_second']:7.2f} s to {clip['end_second']:7.2f} s  {clip['probability']:.3f}  |{bar:20}|"
      )
    if len(track["clips"]) > 32:
      lines.append(f"    … {len(track['clips']) - 32} more clips (--json has them all)")
  return "\n".join(lines)


def main(argv: list[str] | None = None) -> None:
  """Parses arguments and judges; see the module's docstring."""
  parser = argparse.ArgumentParser(
    "python -m dfdetect_jax.predict", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument("videos", nargs="+", metavar="VIDEO", help="video files")
  parser.add_argument("--workdir", required=True, help="folder of the trained run")
  parser.add_argument("--json", help="write everything, clip by clip, to this file")
  parser.add_argument("--plot", help="folder for a picture per video: its faces and the probability over time")
  parser.add_argument("--threshold", type=float, default=0.5, help="fake above this probability (default 0.5)")
  parser.add_argument("--step", default="best", help="best (by validation; default), latest, or a kept step")
  parser.add_argument("--weights", choices=("teacher", "student"), help="default: what the config says")
  parser.add_argument("--tracks", choices=("max", "mean"), help="combines several faces (default: as configured)")
  parser.add_argument("--detector", help="face detector (default: the one of the training data)")
  parser.add_argument("--detector-model", default="", metavar="FILE", help="its model, where it needs one")
  parser.add_argument("--max-tracks", type=int, default=0, help="look at so many longest face tracks (default: all)")
  args = parser.parse_args(argv)
  with exit_on_user_error("predict"):
    if not 0 <= args.threshold <= 1:
      raise UserError(f"--threshold={args.threshold} is not a probability: it must lie in [0, 1].")
    run = restore_run(args.workdir, args.step, args.weights)
    spec = run.method.clip_spec
    name, faces = faces_as_trained(args.workdir, spec.frames, args.max_tracks)
    # Few clips per track: a batch of as many wastes nothing. Every device gets its share.
    clips = min(run.config.eval_batch_size, spec.test_clips or run.config.eval_batch_size)
    with_ = Judge(
      run=run,
      predict=make_predictor(run.method, run.mesh),
      detector=detectors.create(args.detector or name, args.detector_model),
      faces=faces,
      threshold=args.threshold,
      over_tracks=args.tracks or run.config.tracks,
      batch_size=-(-clips // run.mesh.size) * run.mesh.size,
    )
    results = []
    for path in tqdm.tqdm(args.videos, unit="video", disable=len(args.videos) < 2):
      results.append(judge(with_, path))
      tqdm.tqdm.write(readable(results[-1]))
      if args.plot and results[-1]["status"] == "ok":
        from dfdetect_jax.figures.timeline import draw_timeline  # matplotlib is slow to import

        tqdm.tqdm.write(f"  drawn in {draw_timeline(results[-1], args.plot)}")
    if args.json:
      about = {"workdir": str(args.workdir), "step": run.step, "weights": run.weights, "threshold": args.threshold}
      try:
        write_json(pathlib.Path(args.json), about | {"videos": results})
      except OSError as error:
        raise UserError(f"{args.json} cannot be written ({error.strerror}): choose another --json.") from error
  verdicts = {result.get("verdict", "none") for result in results}
  sys.exit(FAKE if "fake" in verdicts else NOT_JUDGED if "none" in verdicts else REAL)


if __name__ == "__main__":
  main()
