"""What must be run to measure the rows of a transcribed table: the step from `quoted` figures to measured cells."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from dfdetect_jax.data.videos import VideoSet
from dfdetect_jax.studies.definition import Cell, Training

Part = tuple[Training, VideoSet]


def on(training: Training, sets: Mapping[str, VideoSet]) -> dict[str, Part]:
  """One training, tested on the videos of each column."""
  return {column: (training, videos) for column, videos in sets.items()}


def measured_by(
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


def again(cells: Sequence[Cell], rows: Sequence[str], name: str, *overrides: tuple[str, Any]) -> tuple[Cell, ...]:
  """Rows once more under a switch of ours: a decision's other side, of which the paper prints nothing.

  Args:
    cells: of the table.
    rows: those to measure again.
    name: of the switch; a row is called `row, name`.
    overrides: config fields by dotted name, as (name, value) pairs.

  Returns:
    The new cells alone.

  Raises:
    KeyError: a row is not in the table, or is quoted.
  """
  if absent := set(rows) - {cell.row for cell in cells if cell.parts}:
    raise KeyError(f"rows that are not measured: {sorted(absent)}")
  made = []
  for cell in cells:
    if cell.row in rows:
      parts = tuple((dataclasses.replace(t, overrides=(*t.overrides, *overrides)), videos) for t, videos in cell.parts)
      made.append(dataclasses.replace(cell, row=f"{cell.row}, {name}", printed=None, parts=parts))
  return tuple(made)
