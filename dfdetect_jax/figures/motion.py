"""DIP's motion slices: TV-L1 optical flow, and how it evolves along rows and along columns (Fig. 1)."""

import cv2
import numpy as np
from matplotlib.ticker import AutoLocator

from dfdetect_jax.errors import UserError
from dfdetect_jax.figures.figure import Drawn, Figure, Material, grid, look, to_png

FRAMES, SIDE = 17, 96  # frames, and pixels of the crops that the flow is computed on


def flow(frames: np.ndarray) -> np.ndarray:
  """TV-L1 optical flow between neighbours (Zach et al. 2007, scikit-image).

  Args:
    frames: `[n, S, S, 3]` uint8.

  Returns:
    `[n − 1, 2, S, S]` in pixels per frame: down the rows, then along the columns.
  """
  try:
    from skimage.registration import optical_flow_tvl1
  except ImportError as error:
    raise UserError("dip_figure1 needs scikit-image: pip install 'dfdetect_jax[figures]'") from error
  grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255 for frame in frames]
  return np.stack([optical_flow_tvl1(a, b, num_warp=3, num_iter=8, dtype=np.float32) for a, b in zip(grey, grey[1:])])


def slices(fields: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Mean speed of each row and of each column over time, `[S, n]` both: the horizontal and the vertical slices."""
  speed = np.hypot(fields[:, 0], fields[:, 1])
  return speed.mean(axis=2).T, speed.mean(axis=1).T


def _coloured(field: np.ndarray, reach: float) -> np.ndarray:
  """Direction as hue, speed as saturation, `[S, S, 3]` uint8; white where nothing moves."""
  angle, speed = np.arctan2(field[0], field[1]), np.hypot(field[0], field[1])
  hsv = np.stack([(angle / np.pi + 1) * 90, np.clip(speed / reach, 0, 1) * 255, np.full_like(speed, 255)], axis=-1)
  return cv2.cvtColor(hsv.astype(np.uint8), cv2.COLOR_HSV2RGB)


@look()
def dip_figure1(material: Material) -> Drawn:
  """Flow, its horizontal and vertical slices, and their temporal evolution (Fig. 1)."""
  both = material.both(SIDE)
  fields = [flow(s.frames[:FRAMES]) for s in both]
  reach = float(np.percentile(np.concatenate([np.hypot(f[:, 0], f[:, 1]).ravel() for f in fields]), 99)) or 1.0
  canvas, axes = grid(
    [s.kind for s in both], ["frame", "TV-L1 flow", "rows over time", "columns over time", "evolution"], 1.8
  )
  values, roughness = {}, {}
  limits = max(float(s.mean(axis=0).max()) for f in fields for s in slices(f))
  for n, (sample, field) in enumerate(zip(both, fields)):
    rows, columns = slices(field)
    middle = len(field) // 2
    axes[n, 0].imshow(sample.frames[middle])
    axes[n, 1].imshow(_coloured(field[middle], reach))
    for k, image in enumerate((rows, columns), start=2):
      axes[n, k].imshow(image, aspect="auto", vmin=0, vmax=reach, cmap="inferno")
      axes[n, k].set_xlabel("time", fontsize=8)
    axes[n, 4].plot(rows.mean(axis=0), label="rows")
    axes[n, 4].plot(rows.std(axis=0), linestyle="--", label="spread over rows")
    axes[n, 4].plot(columns.std(axis=0), linestyle=":", label="spread over columns")
    axes[n, 4].set(ylim=(0, 1.5 * limits), xlabel="frame", ylabel="pixels per frame")
    axes[n, 4].tick_params(labelsize=7)
    values[sample.kind] = {"rows": rows.round(4).tolist(), "columns": columns.round(4).tolist()}
    roughness[sample.kind] = {
      name: float(np.abs(np.diff(image, axis=1)).mean()) for name, image in (("rows", rows), ("columns", columns))
    }
  axes[0, 4].legend(fontsize=7)
  for ax in axes[:, 4]:
    ax.xaxis.set_major_locator(AutoLocator())
    ax.yaxis.set_major_locator(AutoLocator())
    ax.spines[["left", "bottom"]].set_visible(True)
  caption = (
    f"TV-L1 optical flow of {FRAMES} frames (hue: direction; full colour: {reach:.2f} pixels per frame), the mean "
    "speed of each row and column over time, and its evolution. Mean change from frame to frame: "
    + "; ".join(f"{k}: rows {v['rows']:.3f}, columns {v['columns']:.3f}" for k, v in roughness.items())
    + " pixels per frame."
  )
  return Drawn(to_png(canvas), caption, values | {"change": roughness})


FIGURES = (
  Figure("dip_figure1", "TV-L1 flow and motion slices", "DIP Fig. 1", "a real and a forged video", dip_figure1),
)
