"""`python -m dfdetect_jax.predict` behind its command line: one video after another, each written when it is done."""

import argparse
import sys
from collections.abc import Callable, Iterator

from dfdetect_jax.prediction.about import about
from dfdetect_jax.prediction.clips import Dense
from dfdetect_jax.prediction.evidence import Evidence, Heat
from dfdetect_jax.prediction.judge import Judge, judge, prepare
from dfdetect_jax.prediction.listing import find_videos
from dfdetect_jax.prediction.outputs import Outputs, Wanted
from dfdetect_jax.prediction.progress import FrameCount, waiting
from dfdetect_jax.prediction.readable import readable
from dfdetect_jax.prediction.verdict import VideoVerdict, shown
from dfdetect_jax.signals import Stopped

REAL, FAKE, NOT_JUDGED = 0, 10, 3
DENSE_CLIPS = 48  # of a face, where a page or an annotated video shows all of it


def run_program(args: argparse.Namespace, heat_maps: Callable[[Judge], Heat]) -> int:
  """Judges what the arguments ask for.

  Args:
    args: of `dfdetect_jax.predict`.
    heat_maps: makes what draws heat maps for pages; a room above this one has it.

  Returns:
    The exit status.

  Raises:
    UserError: the call is wrong.
  """
  paths, notes = find_videos(args.videos, args.list)
  shows = bool(args.report or args.overlay)
  dense = Dense(args.stride, args.clips or (DENSE_CLIPS if shows and not args.stride else 0))
  with waiting("loading the run"):
    setup = prepare(
      args.workdir, args.step, args.weights, threshold=args.threshold, over_tracks=args.tracks, detector=args.detector,
      detector_model=args.detector_model, max_tracks=args.max_tracks, dense=dense, shortest=args.shortest,
    )  # fmt: skip
  judge_facts = about(setup)
  wanted = Wanted(json=args.json, csv=args.csv, report=args.report, plot=args.plot, overlay=args.overlay)
  outputs = Outputs(wanted, paths, judge_facts)
  for line in [*notes, f"trained on {judge_facts.trained_on}", f"threshold: {judge_facts.decision.origin}"]:
    print(line, file=sys.stderr)
  heat = heat_maps(setup) if args.report and args.heat else None
  done: list[VideoVerdict] = []
  try:
    for verdict, files in _judged(setup, paths, outputs, heat):
      done.append(verdict)
      _say(readable(verdict, clips=len(paths) == 1))
      for file in files:
        _say(f"  written: {shown(file)}")
    for file in outputs.shared():
      _say(f"written: {shown(file)}")
  except (KeyboardInterrupt, Stopped):
    print(f"\n{len(done)} of {len(paths)} videos are judged; what was to be written of them is.", file=sys.stderr)
    raise
  verdicts = {verdict.verdict for verdict in done}
  return FAKE if "fake" in verdicts else REAL if verdicts == {"real"} else NOT_JUDGED


def _judged(setup: Judge, paths: list[str], outputs: Outputs, heat: Heat | None) -> Iterator[tuple[VideoVerdict, list]]:
  """Judges the videos one after another, and writes what is wanted of each."""
  for number, path in enumerate(paths):
    if len(paths) > 1:
      print(f"[{number + 1}/{len(paths)}] {shown(path)}", file=sys.stderr, flush=True)
    verdict = outputs.kept(path)
    if verdict is not None:
      print("  judged by an earlier call", file=sys.stderr, flush=True)
      outputs.add(verdict)
      yield verdict, []
      continue
    evidence = Evidence(heat)
    verdict = judge(setup, path, FrameCount(), evidence)
    files = []
    if verdict.status == "ok":
      if plot := outputs.plot_of(path):
        from dfdetect_jax.prediction.timeline import draw_timeline

        draw_timeline(verdict, plot)
        files.append(plot)
      if overlay := outputs.overlay_of(path):
        from dfdetect_jax.prediction.overlay import write_overlay

        for note in write_overlay(verdict, evidence.tracks, overlay, FrameCount()):
          print(f"  {shown(overlay)}: {note}", file=sys.stderr, flush=True)
        files.append(overlay)
    shows = outputs.wants_pictures() and verdict.status == "ok"
    with waiting("drawing the clips that drove the score"):
      clips = {track.track: evidence.clips(n) for n, track in enumerate(verdict.tracks)} if shows else {}
    yield verdict, files + outputs.add(verdict, clips)


def _say(text: str) -> None:
  # A terminal that knows less than UTF-8 gets what it knows.
  encoding = sys.stdout.encoding or "utf-8"
  print(text.encode(encoding, "backslashreplace").decode(encoding), flush=True)
