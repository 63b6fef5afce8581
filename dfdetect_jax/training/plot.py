"""Training curves of one or several runs, laid over each other.

  python -m dfdetect_jax.training.plot runs/dip runs/st_ilif --output=curves.html

Draws loss, validation, learning rate and throughput over the steps from each run's metrics.jsonl, also while it still
trains. OUTPUT ends in .html (one self-contained page with the last figures of each run) or .svg (the picture alone).
"""

import argparse
import json
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from dfdetect_jax.errors import UserError, did_you_mean, exit_on_user_error, unwritable
from dfdetect_jax.evaluation.document import Block, Cell, Heading, Paragraph, Picture, Table, to_html
from dfdetect_jax.files import read_text
from dfdetect_jax.folders import as_folder, write_whole
from dfdetect_jax.training.metrics_writer import METRICS_FILE

# name of a scalar -> (steps, values)
Series = Mapping[str, tuple[np.ndarray, np.ndarray]]
# Panels: title, scalar, unit; validation's metric is chosen by --metric.
_LOSS, _RATE, _SPEED = "train/loss", "train/learning_rate", "speed/clips_per_second"
_LINES = ("-", "--", ":", "-.")


def read_series(workdir: str) -> Series:
  """All scalars of a run by name; a half-written last line of a running training is left out.

  Raises:
    UserError: the folder has no metrics yet, or the file is damaged.
  """
  path = as_folder(workdir) / METRICS_FILE
  if not path.is_file():
    raise UserError(
      f"{workdir} has no {METRICS_FILE}: it is not the workdir of a run, or the run has not logged a step yet."
    )
  found: dict[str, dict[int, float]] = {}
  lines = read_text(path, "remove what is damaged").splitlines()
  for number, line in enumerate(lines, start=1):
    try:
      scalars = json.loads(line)
      step = int(scalars.pop("step"))
    except (ValueError, RecursionError, AttributeError, KeyError, TypeError, OverflowError) as error:
      if number == len(lines):
        break
      raise UserError(f"{path}, line {number}, is damaged ({error}): remove the line.") from error
    for name, value in scalars.items():
      if isinstance(value, int | float):
        found.setdefault(name, {})[step] = value  # a run that went on has written some steps twice: the later counts
  return {
    name: (np.array(sorted(values)), np.array([values[s] for s in sorted(values)], float))
    for name, values in found.items()
  }


def smoothed(values: np.ndarray, share: float) -> np.ndarray:
  """Exponential moving average that starts without bias; `share` 0 leaves the values as they are.

  m_k = Σ_i s^{k−i} x_i / Σ_i s^{k−i}; a value that is not finite leaves the average as it was.
  """
  out, total, weight = [], 0.0, 0.0
  for value in values:
    if np.isfinite(value):
      total, weight = share * total + value, share * weight + 1
    out.append(total / weight if weight else np.nan)
  return np.array(out)


def curves(runs: Mapping[str, Series], metric: str, smoothing: float) -> bytes:
  """The picture: loss, validation, learning rate and throughput, a colour and a dash for each run; SVG."""
  panels = (
    ("loss", _LOSS, "", True), (f"validation {metric}", f"val/{metric}", "", False),
    ("learning rate", _RATE, "", False), ("throughput", _SPEED, "clips per second", False),
  )  # fmt: skip
  from matplotlib.figure import Figure  # takes a second: --help need not wait for it

  from dfdetect_jax.evaluation.style import CYCLE, look, to_svg

  with look():
    canvas = Figure(figsize=(12, 6.6), layout="constrained")
    for axes, (title, name, unit, smooths) in zip(canvas.subplots(2, 2).flat, panels):
      for number, (run, series) in enumerate(runs.items()):
        if name not in series:
          continue
        colour, line = CYCLE[number % len(CYCLE)], _LINES[number % len(_LINES)]
        steps, values = series[name]
        if smooths and smoothing and len(values) > 2:
          axes.plot(steps, values, color=colour, alpha=0.25, linewidth=0.8)
          values = smoothed(values, smoothing)
        axes.plot(
          steps, values, color=colour, linestyle=line, linewidth=1.6, label=run, marker="o" if len(steps) < 3 else ""
        )
        if name.startswith("val/"):
          best = int(np.argmin(values) if metric in ("log_loss", "eer", "ece") else np.argmax(values))
          axes.plot(steps[best], values[best], "o", color=colour, markersize=6)
      axes.set(title=title, xlabel="step", ylabel=unit)
      if not axes.lines:
        axes.text(0.5, 0.5, f"no {name}", transform=axes.transAxes, ha="center")
    handles, labels = canvas.axes[0].get_legend_handles_labels()
    canvas.legend(handles, labels, loc="outside lower center", ncols=2)
    return to_svg(canvas)


def page(runs: Mapping[str, Series], metric: str, smoothing: float) -> list[Block]:
  """The picture, and a table of where each run stands."""
  rows: list[list[str | Cell]] = []
  lower = metric in ("log_loss", "eer", "ece")
  for run, series in runs.items():
    last = max(int(steps[-1]) for steps, _ in series.values())
    cells = [Cell("none", kind="missing")] * 3
    if _LOSS in series:
      cells[0] = Cell(f"{series[_LOSS][1][-1]:.4f}")
    if f"val/{metric}" in series:
      steps, values = series[f"val/{metric}"]
      best = int(np.argmin(values) if lower else np.argmax(values))
      cells[1] = Cell(f"{values[best]:.4f}", f"at step {steps[best]}")
    if _SPEED in series:
      cells[2] = Cell(f"{np.median(series[_SPEED][1]):.1f}")
    rows.append([run, f"{last}", *cells])
  header = ["run", "step", "loss", f"best validation {metric}", "median clips per second"]
  note = f" The loss is averaged exponentially ({smoothing:g}); thin lines are its values." if smoothing else ""
  return [
    Heading("Training", 1),
    Table(header, rows),
    Picture(curves(runs, metric, smoothing), f"Dots: the best validation of each run.{note}"),
    Paragraph("From metrics.jsonl of: " + ", ".join(runs) + "."),
  ]


def main(argv: Sequence[str] | None = None) -> None:
  """Parses arguments and draws; see the module's docstring."""
  parser = argparse.ArgumentParser(
    "python -m dfdetect_jax.training.plot", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument("runs", nargs="+", metavar="RUN", help="workdirs; several are laid over each other")
  parser.add_argument("--metric", default="auc", help="of validation (default auc)")
  parser.add_argument(
    "--smoothing", type=float, default=0.6, metavar="S", help="of the loss, from 0 to below 1 (default 0.6)"
  )
  parser.add_argument("--output", default="curves.html", metavar="FILE", help="page (.html) or picture (.svg)")
  args = parser.parse_args(argv)
  with exit_on_user_error("plot"):
    if not 0 <= args.smoothing < 1:
      raise UserError(f"--smoothing={args.smoothing} must lie between 0 (none) and below 1.")
    output = pathlib.Path(args.output)
    if output.suffix not in (".html", ".svg"):
      raise UserError(f"--output={output} must end in .html or .svg.")
    runs = {name: read_series(name) for name in dict.fromkeys(args.runs)}
    known = sorted({name[4:] for series in runs.values() for name in series if name.startswith("val/")})
    if known and args.metric not in known:
      raise UserError(
        f"--metric={args.metric}: the runs validate {', '.join(known)}.{did_you_mean(args.metric, known)}"
      )
    text = (
      to_html(page(runs, args.metric, args.smoothing))
      if output.suffix == ".html"
      else curves(runs, args.metric, args.smoothing).decode()
    )
    try:
      output.parent.mkdir(parents=True, exist_ok=True)
      write_whole(output, text)
    except OSError as error:
      raise unwritable(output, error, "choose another --output") from error
    print(f"{len(runs)} run{'s' * (len(runs) > 1)} in {output}.")


if __name__ == "__main__":
  main()
