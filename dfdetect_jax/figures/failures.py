"""Failures chosen from a score file: fakes that passed and real videos that were accused (DIP Fig. 10)."""

import pathlib

import cv2
import numpy as np

from dfdetect_jax.errors import UserError
from dfdetect_jax.evaluation.document import Strips
from dfdetect_jax.evaluation.provenance import read_provenance
from dfdetect_jax.evaluation.scores import read_scores
from dfdetect_jax.evaluation.worst import worst_blocks, worst_videos
from dfdetect_jax.figures.figure import Drawn, Figure, Material, look, to_png

EACH = 2  # videos of each class


@look()
def dip_figure10(material: Material) -> Drawn:
  """Strips of the videos that were judged most wrongly (Fig. 10)."""
  from matplotlib.figure import Figure as Canvas

  if not material.scores:
    raise UserError("dip_figure10 chooses from a score file: give --scores=TEST/scores.csv (or --demo).")
  path = pathlib.Path(material.scores)
  scores = read_scores(path)
  chosen = worst_videos(scores, EACH)
  if not chosen:
    raise UserError(f"{path}: no video is on the wrong side of 0.5; there is no failure to draw.")
  last = worst_blocks(scores, read_provenance(path), EACH)[-1]
  assert isinstance(last, Strips), "a report of the worst videos ends with them"
  strips = [s for s in last.strips if s.jpeg]
  if not strips:
    raise UserError(f"{path}: the shards that its videos lie in cannot be found (see provenance.json beside it).")
  canvas = Canvas(figsize=(9, 1.55 * len(strips)), layout="constrained")
  for axes, strip in zip(np.atleast_1d(canvas.subplots(len(strips), 1)), strips):
    axes.imshow(cv2.imdecode(np.frombuffer(strip.jpeg, np.uint8), cv2.IMREAD_COLOR_RGB))
    axes.set_title(f"{strip.title}: {strip.text}", fontsize=9, loc="left")
    axes.axis("off")
  values = {s.video_id: {"label": s.label, "score": round(s.score, 4)} for s in chosen}
  return Drawn(
    to_png(canvas), f"The videos of {path} that were judged most wrongly, by the frames that did it.", values
  )


FIGURES = (
  Figure("dip_figure10", "failures chosen from a score file", "DIP Fig. 10", "--scores=scores.csv", dip_figure10),
)
