"""The page about one video: what is said, where, when and why, what was not looked at, and what it rests on."""

import itertools
from collections.abc import Mapping, Sequence

from dfdetect_jax.prediction.about import About
from dfdetect_jax.prediction.evidence import ShownClip
from dfdetect_jax.prediction.lanes import lane, scale, verdict_of
from dfdetect_jax.prediction.style import document, esc
from dfdetect_jax.prediction.verdict import TrackScore, VideoVerdict, shown

MOST_BYTES = 1_900_000  # of a page
MOST_CLIPS = 12
MOST_ROWS = 400  # of a table of clips
MOST_FACES = 60
MOST_MARKS = 4000  # in all lanes together
WORDS = {"fake": "FAKE", "real": "REAL", "undecided": "UNDECIDED", "failed": "NOT JUDGED"}


def verdict_page(verdict: VideoVerdict, about: About, clips: Mapping[int, Sequence[ShownClip]], home: str = "") -> str:
  """The page as one HTML file of less than 2 MB that needs no other file and no network.

  Args:
    verdict: of the video.
    about: the judge.
    clips: the clips to show, by number of the face track.
    home: link to the index of several videos, "" if there is none.
  """
  most = MOST_CLIPS
  while True:
    page = _page(verdict, about, _chosen(verdict, clips, most), home)
    if len(page.encode("utf-8", "replace")) <= MOST_BYTES or not most:
      return page
    most //= 2


def _page(verdict: VideoVerdict, about: About, clips: list[tuple[TrackScore, ShownClip]], home: str) -> str:
  path = shown(verdict.path)
  folder, _, name = path.rpartition("/")
  parts = [f'<p><a href="{esc(home)}">all videos</a></p>' if home else "", "<main>", f"<h1>{esc(name)}</h1>"]
  parts.append(f'<p class="soft">{esc(folder)}</p>' if folder else "")
  if verdict.status != "ok":
    parts += [
      f'<div class="verdict"><span class="badge failed">{WORDS["failed"]}</span>'
      f"<div><p><strong>{esc(verdict.reason)}</strong></p><p>No statement is made about this video.</p></div></div>"
    ]
  else:
    parts += [
      f'<div class="verdict"><span class="badge {verdict.verdict}">{WORDS[verdict.verdict]}</span><div>',
      "".join(f"<p>{esc(sentence)}</p>" for sentence in meaning(verdict, about)),
      '<p class="notice">A detector knows what it was trained on; on videos unlike those its scores may mean nothing. '
      f"This one was trained on {esc(about.trained_on)}.</p>",
      scale(verdict, about.reliability.validation),
      "</div></div>",
      *_faces(verdict),
      *_clips(clips),
      *_unscored(verdict),
      *_tables(verdict),
    ]
  parts += [*_run(about), "</main>"]
  return document(f"{WORDS[verdict.verdict or 'failed']}: {name}", "\n".join(parts))


def meaning(verdict: VideoVerdict, about: About) -> list[str]:
  """What the score means, in plain sentences: against the threshold, on validation, and as a probability."""
  score, decision = verdict.score, about.decision
  assert score is not None, "of a video that was judged"
  where = {
    "fake": "above the threshold", "real": "below the threshold", "undecided": "within the undecided band",
  }[verdict.verdict]  # fmt: skip
  band = f"threshold {verdict.threshold:.3f}"
  if verdict.lower < verdict.upper:
    band += f"; undecided from {verdict.lower:.3f} to {verdict.upper:.3f}"
  sentences = [f"The score is {score:.3f}, {where} ({band}; {decision.origin})."]
  validation = about.reliability.validation
  if validation:
    pairs = list(zip(validation.scores, validation.labels, strict=True))
    if verdict.verdict == "real":
      alike = [label for s, label in pairs if s <= score]
      side, right, word = "low", alike.count(0), "real"
    else:
      alike = [label for s, label in pairs if s >= score]
      side, right, word = "high", alike.count(1), "forged"
    sentences.append(
      f"Of the {len(alike)} validation videos that scored as {side} or {side}er, {right} are {word}."
      if alike
      else f"No validation video scored as {side} as this one."
    )
  if verdict.probability is not None:
    sentences.append(
      f"Calibrated on validation, that is a probability of {verdict.probability:.2f} that the video is forged, if "
      "forgeries were as likely as not before looking."
    )
  if len(verdict.tracks) > 1:
    sentences.append(f"The video's score is {verdict.rule}.")
  return sentences


def _faces(verdict: VideoVerdict) -> list[str]:
  parts = ["<h2>Faces over time</h2>"]
  parts.append(
    '<p class="soft">Height is the score, from 0 (real, below) to 1 (fake, above), at the time at which the frames are '
    "shown; dashed: the threshold; shaded: undecided. Thick marks decide, thin ones show.</p>"
  )
  drawn = sorted(verdict.tracks, key=lambda t: (t.weight == 0, -t.score))[:MOST_FACES]
  left = len(verdict.tracks) - len(drawn)
  if left:
    parts.append(f'<p class="notice">{left} more faces, of lower scores or too short to decide, are not drawn.</p>')
  for track in sorted(drawn, key=lambda t: t.track):
    decides = "" if track.weight else ", too short to decide"
    share = f", weight {track.weight:.2f}" if 0 < track.weight < 1 else ""
    of = verdict_of(track.score, verdict)
    when = f"{track.start_second:.2f} s to {track.end_second:.2f} s, {track.frames} frames{share}{decides}"
    parts.append(
      f'<section class="face"><img alt="Face {track.track}" src="{track.face}"><div><h3>Face {track.track}: '
      f'<span class="{of}">{track.score:.3f} {of}</span><span class="soft">, {when}</span></h3>'
      f"{lane(track, verdict, min(400, MOST_MARKS // len(drawn)))}</div></section>"
    )
  return parts


def _chosen(verdict: VideoVerdict, clips: Mapping[int, Sequence[ShownClip]], most: int):
  """The clips to show: of the faces that decide first, of those of higher score first."""
  chosen = []
  for track in sorted(verdict.tracks, key=lambda t: (-(t.weight > 0), -t.score)):
    chosen += [(track, clip) for clip in clips.get(track.track, ())]
  return chosen[:most]


def _clips(chosen: list[tuple[TrackScore, ShownClip]]) -> list[str]:
  if not chosen:
    return []
  heated = any(clip.heat for _, clip in chosen)
  parts = ["<h2>Clips that drove the score</h2>"]
  parts.append(
    '<p class="soft">Of each face the clips of highest score, and the lowest one for comparison. Press a face to play '
    "its clip, as the model saw it, at half speed.</p>"
  )
  if heated:
    parts.append(
      '<p><button class="plain" data-heat aria-pressed="false">Show where the model looks</button> <span class="soft">'
      "(regions that speak for a forgery; also on pointing at a frame)</span></p>"
    )
  parts.append('<div class="clips">')
  for track, clip in chosen:
    known = next(c for c in track.clips if (c.first_frame, c.last_frame) == (clip.first_frame, clip.last_frame))
    when = f"{known.start_second:.2f} s to {known.end_second:.2f} s"
    x, y, w, h = (round(100 * v, 2) for v in clip.box)
    alt = f"Frame of the video with face {track.track} in a box, {when}"
    heat = f'<img class="heat" alt="Where the model looks" src="{clip.heat}">' if clip.heat else ""
    seconds = max(2 * clip.frames * (track.end_second - track.start_second) / track.frames, 0.2)
    key = (
      f'<div class="key"><img alt="{esc(alt)}" src="{clip.key_frame}">{heat}<span class="box" '
      f'style="left:{x}%;top:{y}%;width:{w}%;height:{h}%"></span></div>'
      if clip.key_frame
      else ""
    )
    parts.append(
      f'<figure>{key}<div class="row"><button class="strip" aria-pressed="false" '
      f'aria-label="Play the clip of face {track.track}, {when}, score {clip.score:.3f}" '
      f'style="--n:{clip.frames};--t:{seconds:.2f}s;background-image:url({clip.strip})"></button>'
      f"<figcaption><strong>{clip.score:.3f}</strong><br>face {track.track}<br>{when.replace(' s', '&nbsp;s')}"
      "</figcaption></div></figure>"
    )
  return [*parts, "</div>"]


def _unscored(verdict: VideoVerdict) -> list[str]:
  items = [f"{g.start_second:.2f} s to {g.end_second:.2f} s: {g.reason}" for g in verdict.not_scored]
  items += verdict.notes
  entries = "".join(f"<li>{esc(item)}</li>" for item in items)
  return [
    "<h2>What was not scored</h2>",
    f"<ul>{entries}</ul>" if items else "<p>Nothing: every frame has a face in a scored clip.</p>",
    f'<p class="soft">The video has {verdict.video_frames} frames in {verdict.seconds:.2f} s.</p>',
  ]


def _tables(verdict: VideoVerdict) -> list[str]:
  total = sum(len(track.clips) for track in verdict.tracks)
  rows = []
  for track, clip in itertools.islice(((t, c) for t in verdict.tracks for c in t.clips), MOST_ROWS):
    box = ", ".join(f"{v:.0f}" for v in clip.box)
    rows.append(
      f"<tr><td>{track.track}</td><td>{clip.start_second:.2f}</td><td>{clip.end_second:.2f}</td><td>{clip.score:.3f}"
      f"</td><td>{'decides' if clip.counts and track.weight else 'shown'}</td><td>{box}</td></tr>"
    )
  more = f"<p>… and {total - len(rows)} more: --csv and --json have them all.</p>" if total > len(rows) else ""
  names = ("face", "from [s]", "to [s]", "score", "", "face's box x1, y1, x2, y2 [pixels]")
  head = "".join(f"<th>{name}</th>" for name in names)
  return [
    f'<details><summary>All {total} scored clips</summary><div class="wide"><table><thead><tr>{head}</tr></thead>'
    f"<tbody>{''.join(rows)}</tbody></table></div>{more}</details>"
  ]


def _run(about: About) -> list[str]:
  tests = [
    f"{t.name}: AUC {t.auc:.3f}" + (f" [{t.interval[0]:.3f}, {t.interval[1]:.3f}]" if t.interval else "")
    + f" on {t.real} real and {t.fake} forged videos"
    for t in about.reliability.tests if t.auc is not None
  ]  # fmt: skip
  validation = about.reliability.validation
  rows = [
    ("trained on", about.trained_on),
    ("tests", "; ".join(tests) or "none is known: dfdetect_jax.evaluate --split=test tells how good this run is"),
    (
      "validation",
      f"AUC {validation.auc:.3f} on {validation.described}, temperature {validation.temperature:.2f}"
      if validation
      else "none is known: dfdetect_jax.evaluate --split=val chooses the threshold and calibrates",
    ),
    *about.rows,
  ]
  body = "".join(f'<tr><td>{esc(what)}</td><td class="long">{esc(value)}</td></tr>' for what, value in rows)
  return ["<h2>What this rests on</h2>", f'<table class="facts"><tbody>{body}</tbody></table>']
