"""Scores drawn for the verdict page: a face's lane over the seconds of the video, and a score on its scale."""

import numpy as np

from dfdetect_jax.evaluation.calibration import Validation
from dfdetect_jax.prediction.style import esc
from dfdetect_jax.prediction.timeline import steps
from dfdetect_jax.prediction.verdict import TrackScore, VideoVerdict

_WIDE, _HIGH = 1000, 100  # units of a drawing, stretched to whatever there is


def verdict_of(score: float, verdict: VideoVerdict) -> str:
  """What a score says under the video's threshold and band."""
  return "fake" if score > verdict.upper else "real" if score <= verdict.lower else "undecided"


def lane(track: TrackScore, verdict: VideoVerdict, most: int = 400) -> str:
  """A face's scores over the whole video, in at most so many marks: height is the score, the band is undecided."""
  seconds = max(verdict.seconds, track.end_second, 1e-3)
  x = lambda second: round(_WIDE * second / seconds, 2)  # noqa: E731
  y = lambda score: round(_HIGH * (1 - score), 2)  # noqa: E731
  scores = steps(track)
  marks, clips = binned(scores, seconds, most)
  drawn = [
    f'<rect x="{x(track.start_second)}" width="{x(track.end_second - track.start_second)}" height="{_HIGH}" '
    'fill="var(--paper)" stroke="var(--line)" vector-effect="non-scaling-stroke"/>',
    _band(verdict.lower, verdict.upper, verdict.threshold, y),
  ]
  for start, end, score, counts in marks:
    title = f"{start:.2f} s to {end:.2f} s: {score:.3f}" + ("" if counts else " (shown only)")
    drawn.append(
      f'<path d="M{x(start)} {y(score)}H{x(end)}" stroke="var(--{verdict_of(score, verdict)})" '
      f'stroke-width="{5 if counts else 3}" vector-effect="non-scaling-stroke"><title>{esc(title)}</title></path>'
    )
  highest = max(scores, key=lambda mark: mark[2])
  label = (
    f"Face {track.track}: score {track.score:.3f} over {len(track.clips)} clips; highest {highest[2]:.3f} at "
    f"{highest[0]:.2f} s of {seconds:.2f} s"
  )
  ticks = _ticks({share: f"{seconds * share:.{_digits(seconds)}f} s" for share in (0, 0.25, 0.5, 0.75, 1)})
  merged = f'<p class="soft">Each mark is the highest of about {clips} scores.</p>' if clips > 1 else ""
  return (
    f'<div class="plot"><svg role="img" aria-label="{esc(label)}" viewBox="0 0 {_WIDE} {_HIGH}" height="{_HIGH}" '
    f'preserveAspectRatio="none">{"".join(drawn)}</svg>{ticks}</div>{merged}'
  )


def binned(marks: list[tuple], seconds: float, most: int) -> tuple[list[tuple], int]:
  """Few enough marks to be seen: of each stretch of time the highest score.

  Args:
    marks: (start, end, score, counts), in order.
    seconds: length of the lane.
    most: number of stretches.

  Returns:
    The marks, and about how many stand for one (1: they are as they were).
  """
  if len(marks) <= most:
    return marks, 1
  place = [min(int(most * (start + end) / 2 / seconds), most - 1) for start, end, *_ in marks]
  best: dict[int, tuple] = {}
  for at, mark in zip(place, marks, strict=True):
    if at not in best or mark[2] > best[at][2]:
      best[at] = mark
  kept = [(at * seconds / most, (at + 1) * seconds / most, *mark[2:]) for at, mark in sorted(best.items())]
  return kept, -(-len(marks) // len(kept))


def scale(verdict: VideoVerdict, validation: Validation | None) -> str:
  """The score between 0 and 1, with the band, and below it where real and forged validation videos were."""
  x = lambda score: round(_WIDE * score, 2)  # noqa: E731
  scored = list(zip(validation.scores, validation.labels, strict=True)) if validation else []
  rows = [("real", 0, 62), ("fake", 1, 82)] if validation else []
  high = 98 if validation else 48
  drawn = [
    f'<rect x="{x(verdict.lower)}" width="{x(verdict.upper - verdict.lower)}" height="{high}" fill="var(--line)"/>',
    f'<path d="M{x(verdict.threshold)} 0V{high}" stroke="var(--grid)" stroke-dasharray="4 3" '
    'vector-effect="non-scaling-stroke"/>',
    f'<path d="M{x(verdict.score)} 6V42" stroke="var(--{verdict.verdict})" stroke-width="9" '
    'vector-effect="non-scaling-stroke"><title>this video</title></path>',
  ]
  for name, of, y in rows:
    for score in _thinned([s for s, label in scored if label == of]):
      drawn.append(
        f'<path d="M{x(score)} {y - 7}V{y + 7}" stroke="var(--{name})" stroke-opacity=".7" stroke-width="2.5" '
        'vector-effect="non-scaling-stroke"/>'
      )
  seen = "; below it the validation videos, real ones above forged ones" if validation else ""
  label = f"Score {verdict.score:.3f} on a scale from 0 (real) to 1 (fake), threshold {verdict.threshold:.3f}{seen}"
  ticks = _ticks({0: "0 real", 0.5: "0.5", 1: "1 fake"})
  legend = (
    '<p class="soft">Thick mark: this video. Thin marks: <span class="real">real</span> (upper row) and <span '
    'class="fake">forged</span> (lower row) validation videos. Shaded: undecided.</p>'
    if validation
    else '<p class="soft">Thick mark: this video. Shaded: undecided.</p>'
  )
  return (
    f'<div class="plot"><svg role="img" aria-label="{esc(label)}" viewBox="0 0 {_WIDE} {high}" height="{high}" '
    f'preserveAspectRatio="none">{"".join(drawn)}</svg>{ticks}</div>{legend}'
  )


def _band(lower: float, upper: float, threshold: float, y) -> str:
  return (
    f'<rect y="{y(upper)}" width="{_WIDE}" height="{round(y(lower) - y(upper), 2)}" fill="var(--line)" opacity=".6"/>'
    f'<path d="M0 {y(threshold)}H{_WIDE}" stroke="var(--grid)" stroke-dasharray="4 3" '
    'vector-effect="non-scaling-stroke"/>'
  )


def _ticks(texts: dict[float, str]) -> str:
  """Words below a drawing, by their place between 0 and 1."""
  return "".join(
    f'<span class="tick{" last" if share == 1 else ""}" style="left:{100 * share:g}%">{text}</span>'
    for share, text in texts.items()
  )


def _thinned(scores: list[float], most: int = 300) -> list[float]:
  return [scores[i] for i in np.unique(np.linspace(0, len(scores) - 1, most).astype(int))] if scores else []


def _digits(seconds: float) -> int:
  return 2 if seconds < 10 else 1 if seconds < 100 else 0
