"""Robustness curves of several runs together (DIP Fig. 6)."""

import pathlib
from collections.abc import Mapping

import numpy as np

from data_pipelines.video.distortions import distort
from dfdetect_jax.data.frames import FrameReader
from dfdetect_jax.errors import UserError
from dfdetect_jax.evaluation import metrics
from dfdetect_jax.evaluation.protocols import DISTORTIONS, LEVELS
from dfdetect_jax.evaluation.summary import video_level
from dfdetect_jax.figures.figure import Drawn, Figure, Material, look, to_svg
from dfdetect_jax.figures.heat_maps import _run, clip_of
from dfdetect_jax.figures.samples import Sample
from dfdetect_jax.files import read_json
from dfdetect_jax.runs.restore import Run
from dfdetect_jax.schema import Track, read_tracks

PROTOCOL = "robustness"
_CURE = "score again with dfdetect_jax.evaluate --protocol=robustness"
_LINES, _MARKS = ("-", "--", ":", "-."), "os^Dv"
QUICK_VIDEOS = 24  # of a quick look
# kind -> AUC at the levels 0 (clean) … 5, None where it is undefined
Curves = Mapping[str, list[float | None]]


def from_metrics(path: pathlib.Path) -> Curves:
  """Curves of what `dfdetect_jax.evaluate --protocol=robustness` wrote.

  Raises:
    UserError: the file is damaged, or not of that protocol.
  """
  content = read_json(path, _CURE)
  if content.get("protocol") != PROTOCOL:
    raise UserError(f"{path} is of the protocol '{content.get('protocol')}', not of '{PROTOCOL}'.")
  found = {name: video.auc for name, video in video_level(content, path, _CURE).items()}
  clean = next((found[name] for name in found if name.rpartition("-")[0] not in DISTORTIONS), None)
  return {kind: [clean, *(found.get(f"{kind}-{level}") for level in LEVELS)] for kind in DISTORTIONS}


def quick_look(run: Run, data: str, split: str) -> Curves:
  """Curves of one clip of each of a few videos whose *crops* are distorted.

  The protocol distorts whole frames before the face is cropped, of all videos; this shows the shape of the curves where
  nobody has built those shards.
  """
  import jax

  spec = run.method.clip_spec
  tracks = [t for t in read_tracks(data, split) if t.track == 0 and t.frames >= spec.frames]
  by_label = [[t for t in tracks if t.label == y] for y in (0, 1)]
  chosen = [t for own in by_label for t in own[: QUICK_VIDEOS // 2]]
  reader = FrameReader(data, split, spec.size)
  predict = jax.jit(run.method.predict)
  frames = {t.video_id: reader.read(t.first, min(t.frames, 128), t) for t in chosen}
  labels = np.array([t.label for t in chosen])

  def scores(change) -> float | None:
    clips = np.stack([_clip(t, change(frames[t.video_id], t.video_id), run) for t in chosen])
    halves = np.array_split(clips, max(1, len(clips) // 8))
    size = max(map(len, halves))
    values = [
      np.asarray(predict(run.variables, np.concatenate([h, np.repeat(h[-1:], size - len(h), axis=0)])))[: len(h)]
      for h in halves
    ]
    return metrics.auc(labels, np.concatenate(values))

  clean = scores(lambda clip, _: clip)

  def at(kind: str, level: int) -> float | None:
    return scores(lambda clip, name: np.stack(list(distort(clip, kind, level, name))))

  return {kind: [clean, *(at(kind, level) for level in LEVELS)] for kind in DISTORTIONS}


def _clip(track: Track, frames: np.ndarray, run: Run) -> np.ndarray:
  return clip_of(Sample(track.video_id, "", track.label, frames, np.zeros(len(frames), bool)), run.method.clip_spec)[0]


@look()
def dip_figure6(material: Material) -> Drawn:
  """AUC under each distortion by level, and their mean, a curve for each run (Fig. 6)."""
  from matplotlib.figure import Figure as Canvas

  curves: dict[str, Curves] = {}
  quick = False
  for workdir in material.workdirs:
    run = material._loaded(workdir)
    path = pathlib.Path(workdir) / PROTOCOL / "metrics.json"
    if path.is_file():
      curves[_run(material, run)] = from_metrics(path)
    elif material.data:
      curves[_run(material, run)] = quick_look(run, material.data, material.split)
      quick = True
  if not curves:
    raise UserError(
      "dip_figure6 needs runs (--workdir=RUN, several are drawn together) that were evaluated with "
      f"--protocol=robustness (RUN/{PROTOCOL}/metrics.json tells), or --data=SHARDS for a quick look."
    )
  kinds = [*DISTORTIONS, "average"]
  canvas = Canvas(figsize=(12, 5.4), layout="constrained")
  grid = canvas.subplots(2, 4, sharex=True, sharey=True)
  values: dict[str, dict[str, list[float | None]]] = {}
  for number, (name, curve) in enumerate(curves.items()):
    known = [[v for kind in DISTORTIONS if (v := curve[kind][level]) is not None] for level in range(len(LEVELS) + 1)]
    whole = dict(curve) | {"average": [float(np.mean(v)) if v else None for v in known]}
    values[name] = whole
    for axes, kind in zip(grid.flat, kinds):
      shown = [np.nan if v is None else 100 * v for v in whole[kind]]
      line, mark = _LINES[number % len(_LINES)], _MARKS[number % len(_MARKS)]
      axes.plot([0, *LEVELS], shown, linestyle=line, marker=mark, markersize=4, label=name)
      axes.set_title(kind.replace("_", " "))
  for axes in grid[:, 0]:
    axes.set_ylabel("video AUC [%]")
  for axes in grid[-1]:
    axes.set(xlabel="level (0: clean)", xticks=[0, *LEVELS])
  handles, labels = grid[0, 0].get_legend_handles_labels()
  canvas.legend(handles, labels, loc="outside lower center", ncols=2)
  how = (
    f" A quick look: one clip of each of at most {QUICK_VIDEOS} videos, distorted after cropping; the figure of the "
    "paper is --protocol=robustness." if quick else ""
  )  # fmt: skip
  return Drawn(to_svg(canvas), f"AUC under seven distortions at five levels, and their mean.{how}", values)


FIGURES = (
  Figure("dip_figure6", "robustness curves of several runs", "DIP Fig. 6", "runs, --data", dip_figure6, "dip"),
)
