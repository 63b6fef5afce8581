"""Moves the arrays of a weight file into a model's variables, and reports what became of each."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dfdetect_jax.errors import UserError
from dfdetect_jax.interop.adapt import ADAPTATIONS
from dfdetect_jax.layers.weight_table import Place, WeightTable
from dfdetect_jax.methods import boundary

# The second head is a run's, no model's: weights with and without it start runs without and with it.
_BESIDE = f"params/{boundary.NAME}/"


@dataclasses.dataclass
class Report:
  """What became of the model's leaves and of the file's arrays.

  Attributes:
    table: kind of file.
    loaded: our names whose arrays were taken as they are.
    adapted: our names whose arrays were adapted, and how.
    fresh: our names that this kind of file does not have; they keep their initial values.
    unused: keys of the file that were left on purpose, and why.
    missing: our names that this kind of file has, and this file does not, with the key looked for.
    left_over: keys of the file that nobody asked for.
    mismatched: our names whose arrays have another shape, with both shapes.
    normalisation: that the file's first layer expected, and how that is known; "" where it plays no part.
  """

  table: str
  loaded: list[str] = dataclasses.field(default_factory=list)
  adapted: dict[str, str] = dataclasses.field(default_factory=dict)
  fresh: list[str] = dataclasses.field(default_factory=list)
  unused: dict[str, str] = dataclasses.field(default_factory=dict)
  missing: dict[str, str] = dataclasses.field(default_factory=dict)
  left_over: list[str] = dataclasses.field(default_factory=list)
  mismatched: dict[str, str] = dataclasses.field(default_factory=dict)
  normalisation: str = ""

  def problems(self) -> list[str]:
    """A line for each key that is missing, left over or of another shape."""
    lines = [f"missing {key} (for {name})" for name, key in self.missing.items()]
    lines += [f"left over {key}" for key in self.left_over]
    return lines + [f"{name}: {shapes}" for name, shapes in self.mismatched.items()]

  def misfit(self, most: int = 2) -> str:
    """The problems in one sentence: how many of each kind, and the first ones."""
    kinds = {
      "missing": [f"{key} (for {name})" for name, key in self.missing.items()],
      "left over": self.left_over,
      "of another shape": [f"{name}: {shapes}" for name, shapes in self.mismatched.items()],
    }
    told = []
    for kind, items in kinds.items():
      if items:
        more = f" and {len(items) - most} more" if len(items) > most else ""
        told.append(f"{len(items)} {kind}: {'; '.join(items[:most])}{more}")
    return f"{len(self.loaded) + len(self.adapted)} arrays fit; " + ". ".join(told)

  def random_modules(self) -> list[str]:
    """Where arrays keep their initial values: the largest modules of which nothing was taken, else the array itself."""
    taken: set[str] = set()
    for name in (*self.loaded, *self.adapted):
      parts = name.split("/")[1:-1]
      taken |= {"/".join(parts[:depth]) for depth in range(1, len(parts) + 1)}
    found: dict[str, None] = {}
    for name in self.fresh:
      parts = name.split("/")[1:]
      prefixes = ["/".join(parts[:depth]) for depth in range(1, len(parts))]
      found[next((prefix for prefix in prefixes if prefix not in taken), "/".join(parts))] = None
    return list(found)

  def __str__(self) -> str:
    lines = [
      f"{self.table}: {len(self.loaded)} loaded, {len(self.adapted)} adapted, {len(self.fresh)} fresh; "
      f"{len(self.unused)} of the file's arrays unused, {len(self.problems())} problems"
    ]
    lines += [f"  normalisation: {self.normalisation}"] * bool(self.normalisation)
    lines += _listed("adapted", [f"{name}: {how}" for name, how in self.adapted.items()])
    lines += _listed("fresh", self.fresh)
    for why in dict.fromkeys(self.unused.values()):
      lines += _listed(f"unused ({why})", [key for key, reason in self.unused.items() if reason == why])
    return "\n".join(lines + _listed("problem", self.problems()))


def _listed(what: str, items: Sequence[str], most: int = 12) -> list[str]:
  """Lines for a person: there may be hundreds, all of which are in the converted folder's record."""
  rest = [f"  {what}: … and {len(items) - most} more"] if len(items) > most else []
  return [f"  {what}: {item}" for item in items[:most]] + rest


def choose(
  arrays: Mapping[str, np.ndarray], tables: Sequence[WeightTable], variables: Mapping[str, Any]
) -> WeightTable:
  """The table whose keys the file has most of.

  Args:
    arrays: the file's.
    tables: those of the method, the preferred first.
    variables: the model's, by name (`names.flatten`).

  Raises:
    UserError: the file has none of the keys, nor any of our own names.
  """

  def hits(table: WeightTable) -> int:
    have = table.prepare(arrays) if table.prepare else arrays
    places = (table.place(_path(name)) for name in variables)
    return len({p.key for p in places if p is not None} & have.keys())

  if tables:
    best = max(tables, key=hits)
    if hits(best) or variables.keys() & arrays.keys():
      return best
  elif variables.keys() & arrays.keys():
    return WeightTable("own names", ())
  kinds = ", ".join(t.name for t in tables) or "files that dfdetect_jax.interop.export wrote"
  raise UserError(
    f"the file has no weights for this method: it holds {', '.join(sorted(arrays)[:4])}, …; known are {kinds}."
  )


def transfer(
  arrays: Mapping[str, np.ndarray], table: WeightTable, variables: Mapping[str, np.ndarray]
) -> tuple[dict[str, np.ndarray], Report]:
  """Takes from a file's arrays all that the model has a place for.

  Arrays under our own names (`params/…`, as `dfdetect_jax.interop.export` writes what its table lacks) come first.

  Args:
    arrays: the file's, by key.
    table: which key is what.
    variables: the model's with their initial values, by name (`names.flatten`).

  Returns:
    Variables by name, and the report; leaves with a problem keep their initial values.
  """
  arrays = dict(table.prepare(arrays) if table.prepare else arrays)
  own_file = any(name in arrays for name in variables)
  taken, out, report = set(), dict(variables), Report(table.name)
  for name, initial in variables.items():
    if name in arrays:
      taken.add(name)
      if arrays[name].shape == initial.shape:
        out[name] = arrays[name].astype(initial.dtype, copy=False)
        report.loaded.append(name)
      else:
        report.mismatched[name] = f"the file has {list(arrays[name].shape)}, the model {list(initial.shape)}"
    elif (place := table.place(_path(name))) is not None:
      if place.key in arrays:
        taken.add(place.key)
        _take(arrays[place.key], place, name, out, report)
      elif table.fill is not None and (made := table.fill(place.key, arrays)) is not None:
        _take(made[0], place, name, out, report, made[1])
      elif place.entry.optional and not own_file:
        report.fresh.append(name)
      else:
        report.missing[name] = place.key
    elif own_file and not name.startswith(_BESIDE):
      report.missing[name] = name
    else:
      report.fresh.append(name)
  for key in arrays:
    if key not in taken:
      why = "of a second head" if key.startswith(_BESIDE) else table.why_unused(key)
      if why is not None:
        report.unused[key] = why
      else:
        report.left_over.append(key)
  return out, report


def _take(
  array: np.ndarray, place: Place, name: str, out: dict[str, np.ndarray], report: Report, made: str = ""
) -> None:
  """Puts one array of the file, or one that was made of it, in its place, adapted if it must be."""
  initial = out[name]
  needed = place.shape(initial.shape)
  if array.shape == needed:
    out[name] = place.to_ours(array, initial.shape).astype(initial.dtype, copy=False)
    if made:
      report.adapted[name] = made
    else:
      report.loaded.append(name)
    return
  function, how = ADAPTATIONS.get(place.entry.adapt, (lambda *_: None, ""))
  adapted = function(array, needed)
  if adapted is not None:
    out[name] = place.to_ours(adapted, initial.shape).astype(initial.dtype, copy=False)
    report.adapted[name] = f"{place.key} {list(array.shape)} to {list(needed)}, {how}"
  elif place.entry.optional:
    report.fresh.append(name)
    report.unused[place.key] = f"shape {list(array.shape)}, the model's is {list(needed)}"
  else:
    report.mismatched[name] = f"{place.key} in the file has {list(array.shape)}, the model needs {list(needed)}"


def _path(name: str) -> str:
  """A name without its collection."""
  return name.partition("/")[2]
