"""A picture of a prediction: the faces that were judged, and the probability of a forgery over time."""

import pathlib

import matplotlib.pyplot as plt
import numpy as np

from data_pipelines.video.decode import read_frames
from dfdetect_jax.errors import UserError

FAKE, REAL = "#c0392b", "#2471a3"


def draw_timeline(result: dict, folder: str) -> pathlib.Path:
  """Draws one judged video: a frame of each clip above, the clips' probabilities below, one row per face track.

  Args:
    result: what `dfdetect_jax.predict.judge` returned, with status "ok".
    folder: where the PNG goes; named after the video.

  Returns:
    Path of the picture.
  """
  tracks = result["tracks"]
  wanted = sorted({(c["first_frame"] + c["last_frame"]) // 2 for t in tracks for c in _thinned(t["clips"])})
  frames = {f.index: f.image for f in read_frames(result["path"], wanted[-1] + 1, longest=320) if f.index in wanted}
  figure, axes = plt.subplots(
    2 * len(tracks), 1, figsize=(10, 3.4 * len(tracks)), squeeze=False, height_ratios=[1, 1.6] * len(tracks)
  )
  for row, track in enumerate(tracks):
    strip, timeline = axes[2 * row, 0], axes[2 * row + 1, 0]
    shown = [frames[(c["first_frame"] + c["last_frame"]) // 2] for c in _thinned(track["clips"])]
    strip.imshow(np.concatenate(shown, axis=1))
    strip.axis("off")
    for clip in track["clips"]:
      color = FAKE if clip["probability"] >= 0.5 else REAL
      timeline.plot([clip["start_second"], clip["end_second"]], [clip["probability"]] * 2, color=color, linewidth=4)
    timeline.axhline(0.5, color="grey", linewidth=0.8, linestyle="--")
    timeline.axhline(track["probability"], color="black", linewidth=0.8)
    timeline.set(ylim=(-0.03, 1.03), ylabel="probability of a forgery", xlabel="seconds")
    timeline.set_title(
      f"face {track['track']}: mean of {len(track['clips'])} clips {track['probability']:.3f}", loc="left"
    )
  figure.suptitle(f"{pathlib.Path(result['path']).name}: {result['verdict']} ({result['probability']:.3f})")
  figure.tight_layout()
  path = pathlib.Path(folder) / f"{pathlib.Path(result['path']).stem}.png"
  try:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
  except OSError as error:
    raise UserError(f"{path} cannot be written ({error.strerror}): choose another --plot.") from error
  finally:
    plt.close(figure)
  return path


def _thinned(clips: list[dict], most: int = 8) -> list[dict]:
  """At most so many clips, spread evenly: what fits into a strip."""
  return [clips[i] for i in np.unique(np.linspace(0, len(clips) - 1, most).astype(int))]
