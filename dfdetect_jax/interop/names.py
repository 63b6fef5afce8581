"""Variables as flat dicts of arrays by name, the same names however a model runs.

A name is the collection and the path, joined by "/": `params/layer1_0/conv1/kernel`. Modules that run as one program
over a leading parameter axis (`nn.scan`, `nn.vmap`) get a name for each of their slices, so that a file does not depend
on how the model that it came from was run.
"""

import re
from collections.abc import Mapping
from typing import Any

import flax.traverse_util
import jax
import numpy as np

# Modules whose parameters are stacked, and the names of their slices: DIP's scanned units, SDR's branches.
STACKED = (
  (r"(params/ste)/units/(.*)", "{0}/unit{1}/{2}"),
  (r"(params|batch_stats)/branches/(.*)", "{0}/branch{1}/{2}"),
)


def slices(name: str, count: int) -> list[str] | None:
  """Names of the slices of a stacked leaf, None for any other leaf."""
  for pattern, slice_name in STACKED:
    if match := re.fullmatch(pattern, name):
      return [slice_name.format(match[1], i, match[2]) for i in range(count)]
  return None


def flatten(variables: Mapping[str, Any]) -> dict[str, Any]:
  """Arrays, or abstract arrays, by name; stacked ones slice by slice.

  Args:
    variables: collections of nested dicts; leaves are arrays or `jax.ShapeDtypeStruct`.

  Returns:
    NumPy arrays, or `jax.ShapeDtypeStruct` where the leaves are.
  """
  flat = {}
  for name, value in flax.traverse_util.flatten_dict(dict(variables), sep="/").items():
    abstract = isinstance(value, jax.ShapeDtypeStruct)
    value = value if abstract else np.asarray(value)
    parts = slices(name, value.shape[0] if value.shape else 0)
    if parts is None:
      flat[name] = value
    elif abstract:
      flat |= dict.fromkeys(parts, jax.ShapeDtypeStruct(value.shape[1:], value.dtype))
    else:
      flat |= dict(zip(parts, value))
  return flat


def shadows(arrays: Mapping[str, Any]) -> dict[str, np.ndarray]:
  """Arrays of the same names, shapes and dtypes that hold zeros and take no memory, to see what fits where."""
  return {name: np.broadcast_to(np.zeros((), a.dtype), a.shape) for name, a in arrays.items()}


def unflatten(flat: Mapping[str, np.ndarray], like: Mapping[str, Any]) -> dict[str, Any]:
  """Variables with the tree of `like`, of the arrays in `flat`; the inverse of `flatten`."""
  tree = {}
  for name, value in flax.traverse_util.flatten_dict(dict(like), sep="/").items():
    parts = slices(name, value.shape[0] if value.shape else 0)
    tree[name] = flat[name] if parts is None else np.stack([flat[part] for part in parts])
  return flax.traverse_util.unflatten_dict(tree, sep="/")
