"""Weights that SDR starts from: FTCN's, in each branch."""

import dataclasses

import ml_collections

from dfdetect_jax.layers.weight_table import WeightTable
from dfdetect_jax.methods.ftcn import weights as ftcn


def weight_tables(config: ml_collections.ConfigDict) -> tuple[WeightTable, ...]:
  """See `methods.weight_tables`."""
  return tuple(map(_for_branches, ftcn.weight_tables(config)))


def _for_branches(table: WeightTable) -> WeightTable:
  """FTCN's table for SDR, each of whose branches starts as FTCN's trunk (and which is FTCN where TRFI is off)."""
  entries = [
    dataclasses.replace(e, pattern=e.pattern.replace("trunk/", r"(?:branch\d*|trunk)/")) for e in table.entries
  ]
  # One array for several branches: files that SDR writes keep our names.
  return dataclasses.replace(table, entries=tuple(entries), export=False)
