"""Time against clips in a batch and frames in a clip, which shall be a line: a picture of `benchmarks.against_torch`.

The time is the processor's on a CPU, which other programs touch little, and the wall clock's on a GPU. A row of panels
for each method. Points are medians over the rounds; the line of each side is the least-squares one,
with the most that a point lies off it. The values stand in a CSV file of the same name.
"""

import csv
import pathlib
import statistics
import sys

import numpy as np

from benchmarks import torch_comparison
from benchmarks.in_turn import torch_device
from dfdetect_jax.runs.config_files import load_config

SHARES = (0.5, 1.0, 1.5, 2.0)  # of the config's batch and frames
FIELDS = ("method", "dtype", "what", "against", "clips", "frames", "side", "seconds", "least", "most", "clock")


def points(methods, variant, what, batch, rounds, dtype) -> list[dict[str, object]]:
  """Measures; a dict of `FIELDS` for each point and side. Arguments as of `torch_comparison.measure`."""
  clock = "processor" if torch_device() == "cpu" else "wall"
  found = []
  for name in methods:
    config = load_config(f"{name}:{variant}" if variant else name)
    clips = batch or config.batch_size
    field = "snippets" if "snippets" in config.clips else "frames"
    frames = config.clips[field]
    # Of ST-ILIF's windows the middle frame is one, so that they are odd.
    counts = sorted({max(2, round(frames * share)) | (frames % 2) for share in SHARES})
    plan = [("clips", n, None) for n in sorted({max(1, round(clips * share)) for share in SHARES})]
    for against, clips_now, frames_now in plan + [(field, clips, n) for n in counts]:
      print(f"{name}, {clips_now} clips of {frames_now or frames} {field} …", file=sys.stderr, flush=True)
      result = torch_comparison.measure(name, variant, clips_now, what, rounds, 0, dtype, frames_now)
      for side, program in (("JAX", "JAX"), ("PyTorch", result["against"])):
        seconds = result[f"{clock}_seconds"][program]
        found.append(
          {
            "method": name, "dtype": dtype, "what": what, "against": against, "clips": clips_now,
            "frames": frames_now or frames, "side": side, "seconds": statistics.median(seconds),
            "least": min(seconds), "most": max(seconds), "clock": clock,
          }
        )  # fmt: skip
  return found


def fit(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, float]:
  """The least-squares line a x + b as (a, b), and the most that a point lies off it, as a share of its value."""
  line = np.polyfit(x, y, 1)
  return line, float(np.max(np.abs(np.polyval(line, x) - y) / y))


def draw(found: list[dict[str, object]], path: pathlib.Path) -> list[pathlib.Path]:
  """Writes the picture and, beside it, the values; returns both paths."""
  import matplotlib

  matplotlib.use("Agg")
  from matplotlib import pyplot

  table = path.with_suffix(".csv")
  with open(table, "w", newline="") as file:
    writer = csv.DictWriter(file, FIELDS)
    writer.writeheader()
    writer.writerows(found)
  methods = list(dict.fromkeys(point["method"] for point in found))
  figure, panels = pyplot.subplots(len(methods), 2, figsize=(9, 2.8 * len(methods)), squeeze=False, layout="tight")
  for name, row in zip(methods, panels):
    own = [point for point in found if point["method"] == name]
    for against, panel in zip(dict.fromkeys(point["against"] for point in own), row):
      for side, colour, mark in (("JAX", "#0072b2", "o"), ("PyTorch", "#d55e00", "s")):
        these = [p for p in own if p["against"] == against and p["side"] == side]
        x = np.array([p["clips" if against == "clips" else "frames"] for p in these], float)
        y, least, most = (np.array([p[key] for p in these], float) for key in ("seconds", "least", "most"))
        panel.errorbar(x, y, (y - least, most - y), fmt=mark, color=colour, capsize=3)
        label = side
        if len(x) > 1:
          line, off = fit(x, y)
          panel.plot(x, np.polyval(line, x), color=colour)
          label += f": {1e3 * line[0]:.1f} ms each {1e3 * line[1]:+.0f} ms, within {off:.0%}"
        panel.plot([], [], color=colour, marker=mark, label=label)
      panel.set(
        xlabel=f"{against} in a {'batch' if against == 'clips' else 'clip'}",
        ylabel=f"{own[0]['clock']} seconds",
        ylim=(0, None),
      )
      panel.set_title(f"{name}, {own[0]['what']}, {own[0]['dtype']}", fontsize=10)
      panel.legend(fontsize=8)
  figure.savefig(path, dpi=144)
  pyplot.close(figure)
  return [path, table]
