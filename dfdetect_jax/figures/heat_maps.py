"""Where networks look: Grad-CAM of ST-ILIF's streams, DIP's directions and DIL's frames, and DIL's Intra-SMA."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from dfdetect_jax.figures import overlay
from dfdetect_jax.figures.figure import Drawn, Figure, Material, evenly, grid, look, to_png
from dfdetect_jax.figures.phase import reconstructed
from dfdetect_jax.figures.samples import Sample
from dfdetect_jax.methods.method import ClipSpec
from dfdetect_jax.runs.restore import Run

SHOWN = 5  # frames of a sequence, as many as ST-ILIF's clips have


def clip_of(sample: Sample, spec: ClipSpec, first: int | None = None) -> tuple[np.ndarray, np.ndarray]:
  """A test clip of a sample, without the batch axis, and the sample's frames that it is of, `[T]` or `[U, T]`.

  Args:
    sample: at least `spec.frames` long, of `spec.size` pixels.
    spec: the method's clips; snippets are spread evenly.
    first: first frame; None: the clip lies in the middle.
  """
  last = len(sample.frames) - spec.frames
  snippets = spec.test_snippets or spec.snippets
  starts = evenly(snippets, last + 1) if snippets else np.array([last // 2 if first is None else first])
  if snippets and len(starts) < snippets:  # a short video: some snippets come twice, as in evaluation
    starts = np.linspace(0, last, snippets).round().astype(int)
  places = starts[:, None] + np.arange(spec.frames)
  frames = sample.frames[places]
  return (frames, places) if snippets else (frames[0], places[0])


def _scale(maps: Iterable[np.ndarray]) -> float:
  """What is drawn at full strength: the greatest heat of all pictures of a figure's row, so that they compare."""
  return max(float(m.max()) for m in maps)


def _label(axes, probability: float) -> None:
  axes.set_title(f"{axes.get_title()}\np = {probability:.2f}".strip(), fontsize=9)


def _place(heat: np.ndarray) -> list[float]:
  """Where a map peaks, (row, column) in shares of the side; [] where there is no heat."""
  if not heat.max() > 0:
    return []
  row, column = np.unravel_index(int(heat.argmax()), heat.shape)
  return [(row + 0.5) / heat.shape[0], (column + 0.5) / heat.shape[1]]


@look()
def st_ilif_figure12(material: Material) -> Drawn:
  """Grad-CAM of both streams, real against forged, over consecutive windows (Fig. 12)."""
  [run, *_] = material.runs("st_ilif")
  spec = run.method.clip_spec
  both = material.both(spec.size)
  columns = [s.kind if i == SHOWN // 2 else "" for s in both for i in range(SHOWN)]
  rows = ["frames", "phase", "phase-aware\nstream", "sequence\nstream"]
  canvas, axes = grid(rows, columns, 1.0)
  values = {}
  for n, sample in enumerate(both):
    firsts = np.arange(SHOWN) + max(0, (len(sample.frames) - spec.frames - SHOWN) // 2)
    clips = np.stack([clip_of(sample, spec, int(first))[0] for first in firsts])
    explained = material.explained(run, clips)
    kept = {"probability": np.asarray(explained.probability, float).round(4).tolist()}
    toward = "fake" if np.mean(explained.probability) > 0.5 else "real"
    for row, stream in enumerate(("phase", "sequence"), start=2):
      maps = explained.maps.get(f"grad_cam_{stream}")
      if maps is None:  # a run of one stream alone
        continue
      heats = [overlay.heat(maps[i], 1, spec.size, toward)[0] for i in range(SHOWN)]
      full = _scale(heats)
      for i, heat in enumerate(heats):
        axes[row, n * SHOWN + i].imshow(overlay.blend(clips[i, spec.frames // 2], heat, full))
      kept[stream] = {"toward": toward, "peaks": [_place(heat) for heat in heats]}
    for i in range(SHOWN):
      axes[0, n * SHOWN + i].imshow(clips[i, spec.frames // 2])
      axes[1, n * SHOWN + i].imshow(reconstructed(clips[i]), cmap="gray")
    values[sample.kind] = kept
  caption = (
    f"Grad-CAM of both streams of {_run(material, run)}: what speaks for the verdict (the brighter the more, one scale "
    f"a row and video). Mean fake probability: {_probabilities(values)}."
  )
  return Drawn(to_png(canvas), caption, values)


@look()
def dip_figure7(material: Material) -> Drawn:
  """Grad-CAM of the horizontal and the vertical direction, for each forgery (Fig. 7)."""
  [run, *_] = material.runs("dip")
  spec = run.method.clip_spec
  samples = material.samples(spec.size)
  rows = ["frame", "horizontal", "vertical", "both"]
  canvas, axes = grid(rows, [s.kind for s in samples], 1.5)
  clips = np.stack([clip_of(s, spec)[0] for s in samples])
  values: dict[str, dict[str, Any]] = {}
  explained = material.explained(run, clips)
  for n, sample in enumerate(samples):
    probability = float(explained.probability[n])
    toward = "fake" if probability > 0.5 else "real"
    axes[0, n].imshow(clips[n, spec.frames // 2])
    _label(axes[0, n], probability)
    values[sample.kind] = {"probability": round(probability, 4), "toward": toward, "peak": {}}
    for row, name in enumerate(("grad_cam_h", "grad_cam_v", "grad_cam"), start=1):
      heat = overlay.heat(explained.maps[name][n], spec.frames, spec.size, toward).mean(axis=0)
      axes[row, n].imshow(overlay.blend(clips[n, spec.frames // 2], heat))
      values[sample.kind]["peak"][rows[row]] = _place(heat)
  caption = (
    f"Grad-CAM of {_run(material, run)} from the logit of each direction, mean over the clip; what speaks for the "
    "verdict above it, each picture in its own scale."
  )
  return Drawn(to_png(canvas), caption, values)


def _per_manipulation(material: Material, name: str, what: str) -> Drawn:
  """Frames of a snippet above, the map of each below, a pair of rows for each video."""
  [run, *_] = material.runs("dil")
  spec = run.method.clip_spec
  samples = material.samples(spec.size)
  rows = [text for s in samples for text in (s.kind, what)]
  canvas, axes = grid(rows, [f"frame {t + 1}" for t in range(spec.frames)], 1.1)
  found = [clip_of(s, spec)[0] for s in samples]
  values = {}
  for n, (sample, clip) in enumerate(zip(samples, found)):
    explained = material.explained(run, clip[None])
    u = len(clip) // 2  # a snippet from the middle of the video
    probability = float(explained.probability[0])
    key = name or min(k for k in explained.maps if k.startswith("intra_"))
    toward = ("fake" if probability > 0.5 else "real") if key == "grad_cam" else ""
    heats = overlay.heat(explained.maps[key][0, u], spec.frames, spec.size, toward)
    if not toward:
      heats = heats - heats.min()  # attention never is zero: from its least to its greatest
    for t in range(spec.frames):
      axes[2 * n, t].imshow(clip[u, t])
      axes[2 * n + 1, t].imshow(overlay.blend(clip[u, t], heats[t], _scale(heats)))
    values[sample.kind] = {
      "map": key, "snippet": u, "probability": round(probability, 4), "peaks": [_place(heat) for heat in heats],
    }  # fmt: skip
  sort = "Grad-CAM toward the verdict" if key == "grad_cam" else f"Intra-SMA of the block {key.removeprefix('intra_')}"
  caption = (
    f"{sort} of {_run(material, run)} over a snippet, one scale a video. Fake probability: {_probabilities(values)}."
  )
  return Drawn(to_png(canvas), caption, values)


@look()
def dil_figure3(material: Material) -> Drawn:
  """Class activation maps on the frames of a snippet, for each forgery (Fig. 3)."""
  return _per_manipulation(material, "grad_cam", "CAM")


@look()
def dil_figure4(material: Material) -> Drawn:
  """Intra-SMA over the frames of a snippet, for each forgery (Fig. 4)."""
  return _per_manipulation(material, "", "Intra-SMA")


def _run(material: Material, run: Run) -> str:
  place = next(w for w, r in zip(material.workdirs, map(material._loaded, material.workdirs)) if r is run)
  return f"{run.config.method} at step {run.step} ({place})"


def _probabilities(values: dict) -> str:
  return ", ".join(f"{kind} {np.mean(v['probability']):.2f}" for kind, v in values.items())


FIGURES = (
  Figure(
    "st_ilif_figure12", "Grad-CAM of both streams", "ST-ILIF Fig. 12", "a real and a forged video, a run",
    st_ilif_figure12, "st_ilif",
  ),
  Figure("dip_figure7", "Grad-CAM by direction", "DIP Fig. 7", "videos, a run", dip_figure7, "dip"),
  Figure("dil_figure3", "class activation per manipulation", "DIL Fig. 3", "videos, a run", dil_figure3, "dil"),
  Figure("dil_figure4", "Intra-SMA over a snippet", "DIL Fig. 4", "videos, a run", dil_figure4, "dil"),
)  # fmt: skip
