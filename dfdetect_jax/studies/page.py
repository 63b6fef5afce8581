"""A study's results as NAME.html (one self-contained page), NAME.md and NAME.csv."""

import csv
import io
import os
import pathlib
import urllib.parse
from collections.abc import Callable, Sequence

from dfdetect_jax.errors import unwritable
from dfdetect_jax.evaluation import document, metrics, statistics
from dfdetect_jax.evaluation.document import Block, Cell, Heading, Items, Paragraph, Picture, Table
from dfdetect_jax.evaluation.provenance import read_provenance
from dfdetect_jax.folders import write_whole
from dfdetect_jax.runs.provenance import PROVENANCE_FILE, clock, describe_code, read_json
from dfdetect_jax.studies import networks
from dfdetect_jax.studies.collect import Figure, Origin
from dfdetect_jax.studies.definition import Study
from dfdetect_jax.studies.demo import DISCLAIMER
from dfdetect_jax.studies.picture import picture
from dfdetect_jax.studies.settings import Settings

CSV_COLUMNS = (
  "row", "column", "metric", "printed", "measured", "sd", "low", "high", "difference", "seeds", "seeds_wanted",
  "status", "config", "checkpoint", "scores", "provenance",
)  # fmt: skip
# What an origin leads to, by the name of the column.
ORIGINS: dict[str, Callable[[Origin], pathlib.Path]] = {
  "config": lambda origin: origin.run / "config.json",
  "checkpoint": lambda origin: origin.run / "best",
  "scores": lambda origin: origin.scores,
  "provenance": lambda origin: origin.scores.with_name(PROVENANCE_FILE),
}


def write(study: Study, figures: Sequence[Figure], settings: Settings, output: pathlib.Path) -> list[pathlib.Path]:
  """Writes the three files, each whole or not at all; links are relative to them.

  Raises:
    UserError: the folder cannot be written.
  """
  page = blocks(study, figures, settings, output)
  texts = {"html": document.to_html(page), "md": document.to_markdown(page), "csv": table(figures, output)}
  written = []
  try:
    output.mkdir(parents=True, exist_ok=True)
    for ending, text in texts.items():
      path = output / f"{study.name}.{ending}"
      write_whole(path, text)
      written.append(path)
  except OSError as error:
    raise unwritable(output, error, "choose another --output") from error
  return written


def table(figures: Sequence[Figure], output: pathlib.Path) -> str:
  """The CSV: a row per cell; several runs' paths are separated by semicolons."""
  out = io.StringIO()
  writer = csv.writer(out, lineterminator="\n")
  writer.writerow(CSV_COLUMNS)
  for figure in figures:
    cell = figure.cell
    low, high = figure.interval or (None, None)
    values = [cell.printed, figure.mean, figure.sd, low, high, figure.difference]
    writer.writerow(
      [cell.row, cell.column, cell.metric, *("" if v is None else round(v, 6) for v in values)]
      + [len(figure.seeds), figure.wanted, figure.reason or "; ".join(("measured", *figure.remarks))]
      + [";".join(dict.fromkeys(_relative(lead(o), output) for o in figure.origins)) for lead in ORIGINS.values()]
    )
  return out.getvalue()


def blocks(study: Study, figures: Sequence[Figure], settings: Settings, output: pathlib.Path) -> list[Block]:
  """The page."""
  own = [figure for figure in figures if figure.cell.parts]
  measured = [figure for figure in own if figure.mean is not None]
  page: list[Block] = [Heading(f"{study.name}: {study.title}", 1), Paragraph(f"{study.reference}.")]
  if settings.demo:
    page.append(Paragraph(DISCLAIMER, notice=True))
  page += [Paragraph(warning, notice=True) for warning in _warnings(figures)]
  page.append(Paragraph(_facts(own, measured, figures, settings)))
  page.append(_results(study, figures))
  image = picture(study, figures)
  if image:
    page.append(Picture(image, f"{study.reference}: printed and measured figures, with 95 % intervals."))
  if study.notes:
    page += [Heading("Notes"), Items(study.notes)]
  page += [Heading("How the figures are made"), Items(_method(settings, figures))]
  if measured:
    page += [Heading("Where each figure comes from"), _origins(measured, output)]
  page += [Heading("Trainings"), _trainings(own, settings, output)]
  return page


def _warnings(figures: Sequence[Figure]) -> list[str]:
  """What was told while scoring (leaks, shared people, stand-ins), each once, with the number of score files."""
  counts: dict[str, int] = {}
  for scores in dict.fromkeys(origin.scores for figure in figures for origin in figure.origins):
    for warning in (read_provenance(scores) or {}).get("warnings", ()):
      counts[warning] = counts.get(warning, 0) + 1
  return [f"{count} score file{'s' * (count > 1)}: {warning}" for warning, count in counts.items()]


def _facts(own: Sequence[Figure], measured: Sequence[Figure], figures: Sequence[Figure], settings: Settings) -> str:
  names = " and ".join(sorted({metrics.METRICS[figure.cell.metric] for figure in figures}))
  texts = [f"{len(measured)} of {len(own)} cells are measured (seeds {', '.join(map(str, settings.seeds))})."]
  if short := sum(len(figure.seeds) < figure.wanted for figure in measured):
    texts.append(f"{short} of them lack seeds.")
  if quoted := len(figures) - len(own):
    texts.append(f"{quoted} figures of other methods are quoted as the paper prints them (grey, in italics).")
  texts.append(f"{names} in per cent at video level; below each, its 95 % interval, its spread and the paper's figure.")
  return " ".join(texts)


def _results(study: Study, figures: Sequence[Figure]) -> Table:
  by_place = {(figure.cell.row, figure.cell.column): figure for figure in figures}
  digits = {
    column: max(_digits(f.cell.printed) for f in figures if f.cell.column == column) for column in study.columns
  }
  rows = [
    [
      row,
      *(_shown(by_place[row, column], digits[column]) if (row, column) in by_place else "" for column in study.columns),
    ]
    for row in study.rows
  ]
  return Table([study.axis and f"{study.axis} →", *(_header(column, figures) for column in study.columns)], rows)


def _header(column: str, figures: Sequence[Figure]) -> str:
  """The column's name, with its metric where the table has several and the name does not say."""
  names = {f.cell.metric for f in figures if f.cell.column == column}
  said = any(name.upper() in f"{column} {f.cell.row}".upper() for name in names for f in figures)
  if len({f.cell.metric for f in figures}) == 1 or said or len(names) > 1:
    return column
  return f"{column} [{metrics.METRICS[names.pop()]}]"


def _digits(printed: float | None) -> int:
  """Decimals that a figure needs; its column shows all with as many."""
  return len(f"{printed or 0:g}".partition(".")[2])


def _shown(figure: Figure, digits: int) -> Cell:
  printed = "" if figure.cell.printed is None else f"{figure.cell.printed:.{digits}f}"
  if not figure.cell.parts:
    return Cell(printed, kind="quoted")
  paper = f"printed {printed}" if printed else ""
  if figure.mean is None:
    return Cell(figure.reason, paper, kind="missing")
  lines = [f"[{figure.interval[0]:.2f}, {figure.interval[1]:.2f}]" if figure.interval else "no interval"]
  if figure.sd is not None:
    lines.append(f"± {figure.sd:.2f} over {len(figure.seeds)} seeds")
  if len(figure.seeds) < figure.wanted:
    lines.append(f"{len(figure.seeds)} of {figure.wanted} seeds")
  if figure.difference is not None:
    lines.append(f"{paper}, {figure.difference:+.2f}".replace("-", "−"))
  return Cell(f"{figure.mean:.2f}", "\n".join([*lines, *figure.remarks]))


def _method(settings: Settings, figures: Sequence[Figure]) -> list[str]:
  texts = [
    "A figure is the mean over its seeds (and, in a column of averages, over the sets averaged) of the metric at video "
    "level; a video that could not be scored counts as 0.5. ± is the standard deviation over seeds.",
    f"Intervals: 95 %, from {statistics.RESAMPLES} bootstrap resamples of identities (videos where unknown). Each "
    "draws the same people for all seeds and takes the seeds' mean: it says how the figure would vary with other "
    "people, and ± how it varies with training.",
    "Models are selected on the validation split alone.",
  ]
  if not all(figure.cell.parts for figure in figures):
    texts.append("Grey figures in italics are quoted from the paper; nothing was run for them.")
  if settings.size:
    texts.append(
      f"Networks and schedules are those of the variant '{settings.size}' ({settings.steps or 'its own number of'} "
      "steps), under the switches of the table's rows; rows that differ in size alone are then the same training."
    )
  left_out: dict[str, int] = {}
  for origin in dict.fromkeys(origin for figure in figures for origin in figure.origins):
    content = read_provenance(origin.scores)
    if content and content["left_out"]:
      left_out[origin.scores.parent.name] = len(content["left_out"])
  texts += [f"{n} test videos of {name} are left out: the trainings have seen them." for name, n in left_out.items()]
  changes = {**settings.changes, **{f"init of {method}": folder for method, folder in settings.init.items()}}
  if changes:
    texts.append("Set for all trainings: " + ", ".join(f"{k} = {v}" for k, v in changes.items()) + ".")
  return texts


def _origins(measured: Sequence[Figure], output: pathlib.Path) -> Table:
  rows: list[list[str | Cell | tuple[Cell, ...]]] = []
  for figure in measured:
    links = []
    for lead in ORIGINS.values():
      paths = dict.fromkeys((lead(origin), origin.seed) for origin in figure.origins)
      links.append(
        tuple(Cell(f"seed {seed}", link=_url(path, output)) for path, seed in paths if path.exists()) or "none"
      )
    rows.append([figure.cell.row, figure.cell.column, metrics.METRICS[figure.cell.metric], *links])
  return Table(["row", "column", "metric", *ORIGINS], rows, figures=False)


def _trainings(own: Sequence[Figure], settings: Settings, output: pathlib.Path) -> Table:
  recipes = {recipe.name: recipe for figure in own for recipe, _ in settings.parts(figure.cell)}
  sizes = networks.sizes(recipes.values(), settings.workdir)
  rows: list[list[str | Cell | tuple[Cell, ...]]] = []
  for recipe in recipes.values():
    fields = ", ".join(flag.removeprefix("--config.") for flag in recipe.flags(shown=True)[1:])
    seeds = []
    for seed in settings.seeds:
      folder = settings.run_folder(recipe, seed)
      if folder.exists():
        seeds.append(Cell(f"seed {seed}", _computed(folder), _url(folder, output)))
    runs = tuple(seeds) or Cell("not run", kind="missing")
    network = str(sizes[recipe.name]) if recipe.name in sizes else "unknown"
    rows.append([recipe.name, Cell(recipe.shown, fields), network, runs])
  return Table(["training", "config", "network", "runs"], rows, figures=False)


def _computed(folder: pathlib.Path) -> str:
  """Steps, time, devices and code of a run, "" where it has not told."""
  path = folder / PROVENANCE_FILE
  if not path.is_file():
    return ""
  content = read_json(path)
  last = content["sessions"][-1]
  devices = last["devices"]
  return (
    f"{content['step']} steps in {clock(content['wall_seconds'])} on {devices['count']} x {devices['kind']}, "
    f"{describe_code(last['code'])}"
  )


def _relative(path: pathlib.Path, output: pathlib.Path) -> str:
  return pathlib.Path(os.path.relpath(path, output)).as_posix()


def _url(path: pathlib.Path, output: pathlib.Path) -> str:
  return urllib.parse.quote(_relative(path, output))
