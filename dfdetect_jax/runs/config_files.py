"""Run cards: the files in configs/, found and loaded by path, so that no other folder of that name can shadow them."""

import functools
import importlib.util
import pathlib
import types
from collections.abc import Mapping
from typing import Any

import ml_collections

import dfdetect_jax
from dfdetect_jax.errors import UserError, did_you_mean
from dfdetect_jax.runs.config import override

# Beside the package, in a checkout as in an installation.
CONFIGS = pathlib.Path(dfdetect_jax.__file__).resolve().parents[1] / "configs"


def shipped() -> list[str]:
  """Names of the run cards that come with the project."""
  return sorted(path.stem for path in CONFIGS.glob("*.py") if path.stem != "__init__")


def find_config(name: str) -> tuple[pathlib.Path, str]:
  """The file and the variant that a name stands for.

  Args:
    name: `dip`, `dip:small`, `configs/dip.py:small`, or a file of your own with or without a variant after a colon. A
      file that exists is taken before a shipped one.

  Raises:
    UserError: there is no such file; the message says where it was looked for.
  """
  file, _, variant = name.partition(":")
  if file.endswith(".py") and pathlib.Path(file).is_file():
    return pathlib.Path(file), variant
  path = pathlib.Path(file)
  inside = path.parts[0] == "configs" if len(path.parts) == 2 else len(path.parts) == 1
  if inside and (CONFIGS / path.with_suffix(".py").name).is_file():
    return CONFIGS / path.with_suffix(".py").name, variant
  raise UserError(
    f"there is no config '{file}': looked for {path.with_suffix('.py')} (from {pathlib.Path.cwd()}) and in {CONFIGS}."
    f"{did_you_mean(path.stem, shipped())} Shipped are: {', '.join(shipped())}."
  )


@functools.cache
def config_module(path: pathlib.Path) -> types.ModuleType:
  """The module of a config file: `get_config(variant)`, `VARIANTS`, and a docstring that is its run card."""
  spec = importlib.util.spec_from_file_location(f"config_{path.stem}", path)
  assert spec is not None and spec.loader is not None
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


def load_config(name: str, overrides: Mapping[str, Any] | None = None) -> ml_collections.ConfigDict:
  """The config of a run, locked.

      config = load_config("dip:small", {"total_steps": 10, "data": "shards/mine"})

  Args:
    name: see `find_config`.
    overrides: fields to set, by dotted name.

  Raises:
    UserError: no such file, variant or field; the nearest name is suggested.
  """
  path, variant = find_config(name)
  config = config_module(path).get_config(variant or None).copy_and_resolve_references().unlock()
  return override(config, overrides or {}).lock()
