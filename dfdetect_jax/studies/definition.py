"""What a study is: a table or figure of a paper as data, cell by cell, with what must be run to measure each cell.

The files beside this one (`dip`, `st_ilif`, `sdr`, `dil`) transcribe the papers; `registry` lists them all.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

from dfdetect_jax.data.videos import VideoSet


@dataclasses.dataclass(frozen=True)
class Training:
  """A training run up to its seed.

  Attributes:
    config: file in configs/ and, after a colon, its variant: `dip`, `dip:table7_idm`.
    videos: whose train split is trained on and whose val split selects. One dataset, one compression.
    overrides: further config fields by dotted name, as (name, value) pairs.
  """

  config: str
  videos: VideoSet
  overrides: tuple[tuple[str, Any], ...] = ()


@dataclasses.dataclass(frozen=True)
class Cell:
  """One figure of a table.

  Attributes:
    row, column: where it stands; rows are in the order of their first cells, columns in that of `Study.columns`. In a
      figure a row is a curve and a column a number on its axis.
    printed: what the paper printed (per cent for AUC, accuracy and EER); None where it prints nothing.
    metric: a name in `evaluation.metrics.METRICS`, at video level.
    parts: (training, test videos) of which the figure is measured; the mean over several (an "average" column). Empty:
      the paper's figure of a competing method, which stands in the page as quoted context and is not measured.
  """

  row: str
  column: str
  printed: float | None
  metric: str = "auc"
  parts: tuple[tuple[Training, VideoSet], ...] = ()


@dataclasses.dataclass(frozen=True)
class Study:
  """A table or figure of a paper.

  Attributes:
    name: such as `dip_table7`, `sdr_figure2`.
    title: what it shows, in a few words.
    reference: paper and number of the table.
    cells: measured and quoted ones, row by row.
    notes: what a reader must know: decisions where the paper is silent, oddities of the printed values.
    axis: name of the columns' axis if this is a figure, "" for a table.
  """

  name: str
  title: str
  reference: str
  cells: tuple[Cell, ...]
  notes: tuple[str, ...] = ()
  axis: str = ""

  @property
  def rows(self) -> tuple[str, ...]:
    """Names of the rows, in order."""
    return tuple(dict.fromkeys(cell.row for cell in self.cells))

  @property
  def columns(self) -> tuple[str, ...]:
    """Names of the columns, in order: one that the rows above leave out stands before the next one of its row."""
    columns: list[str] = []
    for row in self.rows:
      place = len(columns)
      for name in reversed([cell.column for cell in self.cells if cell.row == row]):
        if name in columns:
          place = columns.index(name)
        else:
          columns.insert(place, name)
    return tuple(columns)


def quoted(columns: Sequence[str], table: str, metrics: Sequence[str] | str = "auc") -> tuple[Cell, ...]:
  """Rows of competing methods, as the paper prints them: `name | value | value …` a line, `-` where it prints none.

  Args:
    columns: names of the columns.
    table: the rows.
    metrics: of each column, or one for all.
  """
  metrics = [metrics] * len(columns) if isinstance(metrics, str) else metrics
  cells = []
  for line in table.strip().splitlines():
    row, *values = (word.strip() for word in line.split("|"))
    for column, value, metric in zip(columns, values, metrics, strict=True):
      if value != "-":
        cells.append(Cell(row, column, float(value), metric))
  return tuple(cells)
