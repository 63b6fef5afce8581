"""Key tables: which of our parameters is which array of a weight file, and how it lies there.

Our names are the paths of the variables without their collection, joined by "/", e.g. `layer1_0/bn1/scale`. In a table
an `Entry` names a module (`layer1_0/bn1`), whose leaves follow PyTorch's names (`LEAVES`), or a parameter by itself
(`cls_token`). The first entry that matches counts.
"""

import dataclasses
import math
import re
from collections.abc import Callable, Mapping

import numpy as np

LEAVES = {"kernel": "weight", "scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}


@dataclasses.dataclass(frozen=True)
class Entry:
  """One line of a key table.

  Attributes:
    pattern: regex over a whole name: of a module, or of a parameter that is not one of a module's `LEAVES`.
    key: the name in the file, of the same thing; may refer to the pattern's groups, as in r"layer\\1.bn".
    spatial: axes of the file's kernel after [out, in]: 0 for a linear layer, 2 or 3 for a convolution. Our kernel has
      them in front, and may lack the last ones where they are one long.
    inputs, outputs: axes of our kernel that are one axis in the file (heads × width of an attention's projections).
    leading: axes of length one in front of our parameter that the file's does not have.
    adapt: name in `ADAPTATIONS` of what is tried on an array of another shape.
    optional: a classifier's layer: taken if its shape is ours, left if the file's classes are others.
  """

  pattern: str
  key: str
  spatial: int = 0
  inputs: int = 1
  outputs: int = 1
  leading: int = 0
  adapt: str = ""
  optional: bool = False


@dataclasses.dataclass(frozen=True)
class Place:
  """Where one of our leaves lies in a file: `key`, by the rules of `entry`."""

  key: str
  entry: Entry
  leaf: str

  def shape(self, ours: tuple[int, ...]) -> tuple[int, ...]:
    """Shape in the file of a leaf whose shape is `ours`."""
    e = self.entry
    if self.leaf not in LEAVES:
      return ours[e.leading :]
    if self.leaf != "kernel":
      return (math.prod(ours),)
    window, inputs, outputs = self._split(ours)
    return (math.prod(outputs), math.prod(inputs), *window, *(1,) * (e.spatial - len(window)))

  def to_ours(self, array: np.ndarray, ours: tuple[int, ...]) -> np.ndarray:
    """The file's array, of the shape that `shape` tells, as our leaf."""
    if self.leaf == "kernel":
      array = np.moveaxis(array, (0, 1), (-1, -2))
    return array.reshape(ours)

  def to_file(self, array: np.ndarray) -> np.ndarray:
    """Our leaf as the file's array; the inverse of `to_ours`."""
    if self.leaf == "kernel":
      window, inputs, outputs = self._split(array.shape)
      grouped = array.reshape(*window, math.prod(inputs), math.prod(outputs))
      return np.moveaxis(grouped, (-1, -2), (0, 1)).reshape(self.shape(array.shape))
    return array.reshape(self.shape(array.shape))

  def _split(self, ours: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    """Our kernel's axes: window, inputs, outputs."""
    window = len(ours) - self.entry.inputs - self.entry.outputs
    return ours[:window], ours[window : len(ours) - self.entry.outputs], ours[len(ours) - self.entry.outputs :]


@dataclasses.dataclass(frozen=True)
class WeightTable:
  """The keys of one kind of weight file for one method.

  Attributes:
    name: what the file is, for people.
    entries: see `Entry`.
    unused: (regex over a whole key, why it is left); arrays that the method has no place for. Any other array that is
      left over is an error.
    prepare: turns the file's arrays into those that `entries` describe, where a file cuts its parameters otherwise.
    export: whether weights are also written under these keys: each of our leaves must be an array of its own.
    first_layer: key of a first layer with a bias and without padding, into which a normalisation can be folded.
    normalisation: of the inputs that our first layer sees (`interop.normalisation.CONVENTIONS`).
    fill: what stands in for a key that a file of fewer blocks lacks, and how it was made; None for a key that it ought
      to have.
    note: what people should know who judge by such weights.
  """

  name: str
  entries: tuple[Entry, ...]
  unused: tuple[tuple[str, str], ...] = ()
  prepare: Callable[[Mapping[str, np.ndarray]], dict[str, np.ndarray]] | None = None
  export: bool = False
  first_layer: str = ""
  normalisation: str = "imagenet"
  fill: Callable[[str, Mapping[str, np.ndarray]], tuple[np.ndarray, str] | None] | None = None
  note: str = ""

  def place(self, name: str) -> Place | None:
    """Where our leaf `name` lies, None if the file has no such thing."""
    module, _, leaf = name.rpartition("/")
    for entry in self.entries:
      if leaf in LEAVES and (match := re.fullmatch(entry.pattern, module)):
        return Place(f"{match.expand(entry.key)}.{LEAVES[leaf]}", entry, leaf)
      if leaf not in LEAVES and (match := re.fullmatch(entry.pattern, name)):
        return Place(match.expand(entry.key), entry, leaf)
    return None

  def why_unused(self, key: str) -> str | None:
    """The reason to leave the file's array `key`, None if there is none."""
    return next((why for pattern, why in self.unused if re.fullmatch(pattern, key)), None)
