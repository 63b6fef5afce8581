"""DIP's inconsistency patterns: what DiCA attends to and how IDM says that inconsistency diffuses (Fig. 8)."""

import numpy as np

from dfdetect_jax.figures.figure import Drawn, Figure, Material, grid, look, to_png
from dfdetect_jax.figures.heat_maps import _run, clip_of


@look()
def dip_figure8(material: Material) -> Drawn:
  """Patterns without both, of DiCA and of IDM, horizontal and vertical, real against fake (Fig. 8).

  All of one run: "without both" is 1 − the cosine similarity of the encoder's tokens, before either module has seen
  them (the paper does not say what it drew there; decision).
  """
  import jax

  [run, *_] = material.runs("dip")
  spec = run.method.clip_spec
  both = material.both(spec.size)
  clips = np.stack([clip_of(s, spec)[0] for s in both])
  outputs = jax.device_get(jax.jit(lambda v, c: run.method.model.apply(v, c, train=False))(run.variables, clips))
  patterns = {f"{d}\nDiCA": outputs[f"attention_{k}"].mean(axis=1)[:, 1:, 1:] for d, k in DIRECTIONS}
  if "diffusion" in outputs:
    length = outputs["diffusion"].shape[-1] // 2
    blocks = {"h": np.s_[:, :length, :length], "v": np.s_[:, length:, length:]}
    for n, (d, along) in enumerate(DIRECTIONS):
      patterns[f"{d}\nIDM"] = outputs["diffusion"][blocks[along]]
      patterns[f"{d}\nwithout both"] = 1 - outputs["cosine"][:, n]
  names = [
    name for d, _ in DIRECTIONS for what in ("without both", "DiCA", "IDM") if (name := f"{d}\n{what}") in patterns
  ]
  canvas, axes = grid([s.kind for s in both], names, 1.7)
  values: dict = {}
  flat: list[str] = []
  for k, name in enumerate(names):
    images = patterns[name].astype(float)
    low, high = float(images.min()), float(images.max())
    if high - low < ROUNDING:  # nothing but rounding would be drawn as a pattern
      flat.append(name.replace("\n", " "))
      high = low + 1
    for n, sample in enumerate(both):
      axes[n, k].imshow(images[n], vmin=low, vmax=high, cmap="inferno", interpolation="nearest")
      values.setdefault(sample.kind, {})[name.replace("\n", ", ")] = images[n].round(5).tolist()
    axes[-1, k].set_xlabel("all equal" if name.replace("\n", " ") in flat else f"{low:.3g} to {high:.3g}", fontsize=8)
  caption = (
    f"Patterns of {_run(material, run)}, token against token; one scale for real and fake, below each column. Without "
    "both: 1 − cosine similarity of the encoder's tokens; DiCA: its last layer's attention, mean over the heads; IDM: "
    "diffusion distances."
    + (
      f" {' and '.join(flat)}: equal to rounding, so there is no pattern (a neighbourhood k_n that joins all tokens, "
      "or too many steps t, mixes everything)." if flat else ""
    )
  )  # fmt: skip
  return Drawn(to_png(canvas), caption, values)


ROUNDING = 1e-5  # of distances in float32
DIRECTIONS = (("horizontal", "h"), ("vertical", "v"))
FIGURES = (
  Figure("dip_figure8", "DiCA and IDM patterns", "DIP Fig. 8", "a real and a forged video, a run", dip_figure8, "dip"),
)
