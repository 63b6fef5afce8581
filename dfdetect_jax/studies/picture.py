"""Printed and measured figures of a study side by side: curves of a figure, dots of a table; SVG."""

from collections.abc import Sequence

from matplotlib.figure import Figure as Canvas

from dfdetect_jax.evaluation.style import CYCLE, FAKE, INK, SOFT, look, to_svg
from dfdetect_jax.studies.collect import Figure
from dfdetect_jax.studies.definition import Study

_MOST_DOTS = 60


@look()
def picture(study: Study, figures: Sequence[Figure]) -> bytes | None:
  """The study's picture; None if nothing is measured, or too much for one picture."""
  own = [figure for figure in figures if figure.cell.parts]
  measured = [figure for figure in own if figure.mean is not None]
  if not measured:
    return None
  if study.axis:
    return _curves(study, own)
  return _dots(measured) if 1 < len(measured) <= _MOST_DOTS else None


def _curves(study: Study, figures: Sequence[Figure]) -> bytes:
  canvas = Canvas(figsize=(11, 4.8), layout="constrained")
  axes = canvas.subplots()
  rows = list(dict.fromkeys(figure.cell.row for figure in figures))
  for number, row in enumerate(rows):
    curve = [figure for figure in figures if figure.cell.row == row]
    colour = CYCLE[number % len(CYCLE)]
    printed = [(float(f.cell.column), f.cell.printed) for f in curve if f.cell.printed is not None]
    if printed:
      axes.plot(*zip(*printed), color=colour, linestyle="--", marker="o", markerfacecolor="white", linewidth=1)
    own = {float(f.cell.column): f.mean for f in curve if f.mean is not None}
    axes.plot(list(own), list(own.values()), color=colour, marker="o", markersize=4, linewidth=1.6, label=row)
    sure = [(float(f.cell.column), *f.interval) for f in curve if f.mean is not None and f.interval]
    if sure:
      x, low, high = zip(*sure)
      axes.fill_between(x, low, high, color=colour, alpha=0.08, linewidth=0)
  axes.set(xlabel=study.axis, ylabel="[%]", xticks=sorted({float(f.cell.column) for f in figures}))
  quoted = any(figure.cell.printed is not None for figure in figures)
  title = "measured (dashed: printed)" if quoted else "measured"
  axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), title=title)
  return to_svg(canvas)


def _dots(figures: Sequence[Figure]) -> bytes:
  canvas = Canvas(figsize=(11, 0.9 + 0.27 * len(figures)), layout="constrained")
  axes = canvas.subplots()
  names = [f"{figure.cell.row}  ·  {figure.cell.column}" for figure in figures]
  for place, figure in enumerate(figures):
    if figure.interval:
      axes.plot(figure.interval, [place, place], color=INK, linewidth=1)
    assert figure.mean is not None, "of a measured one"
    axes.plot(figure.mean, place, "o", color=INK, markersize=5, label=None if place else "measured, 95 % interval")
  printed = [(figure.cell.printed, place) for place, figure in enumerate(figures) if figure.cell.printed is not None]
  if printed:
    axes.plot(*zip(*printed), "o", markerfacecolor="white", color=FAKE, markersize=6, label="printed")
  axes.set_yticks(range(len(names)), names)
  axes.set(xlabel="[%]", ylim=(len(names) - 0.4, -0.6))
  axes.grid(axis="x", color=SOFT, alpha=0.25, linewidth=0.6)
  axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
  return to_svg(canvas)
