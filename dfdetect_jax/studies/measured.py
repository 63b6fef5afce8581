"""What must be run to measure the rows of a transcribed table: the step from `quoted` figures to measured cells."""

import dataclasses
from collections.abc import Mapping, Sequence

from dfdetect_jax.data.videos import VideoSet
from dfdetect_jax.studies.study import Cell, Training

Part = tuple[Training, VideoSet]


def on(training: Training, sets: Mapping[str, VideoSet]) -> dict[str, Part]:
  """One training, tested on the videos of each column."""
  return {column: (training, videos) for column, videos in sets.items()}


def measured(
  cells: Sequence[Cell], runs: Mapping[str, Mapping[str, Part]], averages: Mapping[str, Sequence[str]] | None = None
) -> tuple[Cell, ...]:
  """Gives the cells of some rows their parts.

  Args:
    cells: a table as the paper prints it, see `quoted`.
    runs: row -> column -> what measures it. Rows that are not named stay quoted.
    averages: column -> the columns that it is the mean of; those that a row does not print do not count.

  Raises:
    KeyError: a row of `runs` is not in the table, or prints a column that has no run.
  """
  if absent := set(runs) - {cell.row for cell in cells}:
    raise KeyError(f"rows that the table does not have: {sorted(absent)}")
  printed = {(cell.row, cell.column) for cell in cells}
  averages = averages or {}

  def parts(cell: Cell) -> tuple[Part, ...]:
    columns = averages.get(cell.column, (cell.column,))
    return tuple(runs[cell.row][column] for column in columns if (cell.row, column) in printed)

  return tuple(dataclasses.replace(cell, parts=parts(cell)) if cell.row in runs else cell for cell in cells)
