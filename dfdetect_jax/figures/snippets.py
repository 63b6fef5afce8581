"""DIL's map over snippets and frames on a partly forged video (Fig. 5)."""

import numpy as np

from dfdetect_jax.evaluation.style import FAKE
from dfdetect_jax.figures.figure import Drawn, Figure, Material, grid, look, to_png
from dfdetect_jax.figures.heat_maps import _run, clip_of
from dfdetect_jax.figures.samples import Sample, spliced


def partly_forged(material: Material, size: int) -> Sample:
  """The second half of a forgery in the real video that it was made of; of one file, the file as it is."""
  if len(material.videos) == 1:
    return material.samples(size)[0]
  real, fake = material.both(size)
  length = min(len(real.frames), len(fake.frames))
  return spliced(real, fake, length // 2, length)


@look()
def dil_figure5(material: Material) -> Drawn:
  """The U-T attention map beside the frames and their fake probabilities (Fig. 5)."""
  [run, *_] = material.runs("dil")
  spec = run.method.clip_spec
  sample = partly_forged(material, spec.size)
  clip, places = clip_of(sample, spec)
  explained = material.explained(run, clip[None])
  name = max(k for k in explained.tables if k.startswith("inter_"))  # the deepest block's
  attention = np.asarray(explained.tables[name][0], float)
  probability = 1 / (1 + np.exp(-np.asarray(explained.tables["frame_logits"][0], float)))
  forged = sample.forged[places]
  snippets, frames = places.shape
  rows = [f"snippet {u + 1}" for u in range(snippets)]
  canvas, axes = grid(
    rows, [*(f"frame {t + 1}" for t in range(frames)), *(f"A, frame {t + 1}" for t in range(frames))], 1
  )
  low, high = attention.min(), attention.max()
  for u in range(snippets):
    for t in range(frames):
      axes[u, t].imshow(clip[u, t])
      if forged[u, t]:
        for spine in axes[u, t].spines.values():
          spine.set(visible=True, color=FAKE, linewidth=2.5)
      share = (attention[u, t] - low) / max(high - low, 1e-9)
      axes[u, frames + t].imshow([[share]], vmin=0, vmax=1, cmap="inferno")
      ink = "black" if share > 0.6 else "white"
      axes[u, frames + t].text(0, 0, f"{probability[u, t]:.2f}", color=ink, ha="center", va="center", fontsize=9)
  mean = {
    kind: float(probability[where].mean()) for kind, where in (("forged", forged), ("real", ~forged)) if where.any()
  }
  caption = (
    f"Frames of {sample.name} (framed: known to be forged) and the U-T attention of block "
    f"{name.rpartition('attention_')[-1]} of {_run(material, run)}, from {low:.3f} (dark) to {high:.3f}; the numbers "
    "are the frames' fake probabilities. Mean: "
    + ", ".join(f"{kind} {value:.2f}" for kind, value in mean.items())
    + "."
  )
  values = {
    "frames": places.tolist(), "forged": forged.tolist(), "attention": attention.round(5).tolist(),
    "probability": probability.round(4).tolist(), "mean_probability": mean,
  }  # fmt: skip
  return Drawn(to_png(canvas), caption, values)


FIGURES = (
  Figure(
    "dil_figure5", "U-T attention on a partly forged video", "DIL Fig. 5",
    "a real and a forged video (or one file), a run",
    dil_figure5, "dil",
  ),
)  # fmt: skip
