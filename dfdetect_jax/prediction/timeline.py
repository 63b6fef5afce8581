"""One picture of a verdict, for slides and papers: each face, and its score over the seconds of the video."""

import base64
import pathlib

import cv2
import numpy as np

from dfdetect_jax.errors import unwritable
from dfdetect_jax.folders import whole
from dfdetect_jax.prediction.verdict import TrackScore, VideoVerdict, shown

# Vermilion, blue and grey of Okabe and Ito's palette, told apart by every eye.
COLOURS = {"fake": "#d55e00", "real": "#0072b2", "undecided": "#6b7280"}
MOST_FACES = 12  # rows of a picture


def colour(score: float, verdict: VideoVerdict) -> str:
  """The colour of a score under the video's threshold and band."""
  return COLOURS["fake" if score > verdict.upper else "real" if score <= verdict.lower else "undecided"]


def steps(track: TrackScore) -> list[tuple[float, float, float, bool]]:
  """What a track's lane shows: (start, end, score, counts) of each clip, or of each frame that has a score."""
  marks = []
  for clip in track.clips:
    if not clip.frames:
      marks.append((clip.start_second, clip.end_second, clip.score, clip.counts))
      continue
    each = (track.end_second - track.start_second) / track.frames
    marks += [(second, second + each, score, clip.counts) for _, second, score in clip.frames]
  return sorted(marks)


def draw_timeline(verdict: VideoVerdict, path: pathlib.Path) -> None:
  """Draws one judged video.

  Args:
    verdict: with status "ok".
    path: of the picture; its ending says which format (.png, .svg, .pdf).

  Raises:
    UserError: it cannot be written.
  """
  import matplotlib.pyplot as plt  # a second, for a picture that is not always asked for

  tracks = sorted(verdict.tracks, key=lambda t: (-t.weight, -t.frames))[:MOST_FACES]
  tracks.sort(key=lambda t: t.track)
  figure, axes = plt.subplots(
    len(tracks), 2, figsize=(10, 0.6 + 1.9 * len(tracks)), squeeze=False, width_ratios=[1, 6], layout="constrained"
  )
  for track, (face, lane) in zip(tracks, axes, strict=True):
    face.imshow(_pixels(track.face))
    face.axis("off")
    for start, end, score, counts in steps(track):
      lane.plot(
        [start, end], [score] * 2, color=colour(score, verdict), linewidth=4 if counts else 2, solid_capstyle="butt"
      )
    lane.axhspan(verdict.lower, verdict.upper, color="grey", alpha=0.15, linewidth=0)
    lane.axhline(verdict.threshold, color="grey", linewidth=0.8, linestyle="--")
    lane.set(xlim=(0, max(verdict.seconds, 0.1)), ylim=(-0.03, 1.03), ylabel="score")
    decides = "" if track.weight else ", too short to decide"
    lane.set_title(f"face {track.track}: {track.score:.3f}{decides}", loc="left", fontsize=9)
  axes[-1, 1].set_xlabel("seconds")
  more = len(verdict.tracks) - len(tracks)
  # parse_math off: a dollar in a file's name is a dollar.
  figure.suptitle(
    f"{shown(pathlib.Path(verdict.path).name)[:80]}: {verdict.verdict} ({verdict.score:.3f})"
    + (f"; {more} more faces are not drawn" if more else ""),
    parse_math=False,
  )
  try:
    with whole(path) as partial:
      figure.savefig(partial, dpi=110, format="png")
  except OSError as error:
    raise unwritable(path, error, "choose another --plot") from error
  finally:
    plt.close(figure)


def _pixels(uri: str) -> np.ndarray:
  if not uri:
    return np.full((2, 2, 3), 230, np.uint8)
  encoded = np.frombuffer(base64.b64decode(uri.partition(",")[2]), np.uint8)
  picture = cv2.imdecode(encoded, cv2.IMREAD_COLOR_RGB)
  assert picture is not None, "encoded by ourselves"
  return picture
