"""The start of a run from weights that are there: converted ones, for whatever variant, or those of another run."""

import pathlib
from collections.abc import Mapping
from typing import Any

import flax.traverse_util
import jax
import ml_collections
import numpy as np

from dfdetect_jax import methods
from dfdetect_jax.errors import UserError
from dfdetect_jax.interop import checkpoint, files, names, transfer
from dfdetect_jax.runs.restore import restore_run
from dfdetect_jax.runs.run_config import read_config
from dfdetect_jax.runs.trained_videos import TrainedVideo, trained_videos

RANDOM = "random"  # as `config.init`: from scratch, although the paper starts from weights


def from_scratch(config: ml_collections.ConfigDict) -> bool:
  """Whether a run starts from random weights, because its config says so or names no others.

  Raises:
    UserError: its paper starts from weights, and neither are given nor is it said that they shall be random.
  """
  if config.init == RANDOM:
    return True
  if config.init:
    return False
  if missing := missing_weights(config):
    raise UserError(missing)
  return True


def missing_weights(config: ml_collections.ConfigDict) -> str:
  """What must be said of a config whose paper starts from weights that are not given; "" where all is well."""
  if config.init or not config.get("starts_from"):
    return ""
  return (
    f"{config.method} starts from {config.starts_from}, and config.init names no weights. Convert a file that you have "
    f"(python -m dfdetect_jax.interop.convert --method={config.method} --from=FILE --to=weights/{config.method}) and "
    f"give --config.init=weights/{config.method}; or say that it shall start from random weights, which is not what "
    f"the paper does: --config.init={RANDOM}"
  )


def initial_variables(
  directory: str | pathlib.Path, config: ml_collections.ConfigDict, rng: jax.Array
) -> tuple[dict[str, Any], transfer.Report]:
  """Variables for the start of a run: random, but for those that a folder of weights has to offer.

  Converted weights are mapped from the file's own arrays by the key table of this very variant, so that one folder
  serves all of them: other ratios of blocks, any number of branches, with and without modules that the file lacks. Of a
  run all arrays count, and all must fit.

  Args:
    directory: as for `interop.load`.
    config: of the run that starts.
    rng: key of the random ones.

  Returns:
    NumPy arrays with the tree of the model's variables, and what became of each.

  Raises:
    UserError: the weights are damaged, or do not fit.
  """
  method = methods.build(config)
  offered, partial = _offered(directory, shapes_only=False)
  shapes = jax.eval_shape(method.init, jax.random.key(0))
  values, report = _fitting(directory, config, shapes, offered, partial)
  return fill_at_random(method, shapes, values, report, rng), report


def fill_at_random(
  method: methods.Method, shapes: Any, values: Mapping[str, np.ndarray], report: transfer.Report, rng: jax.Array
) -> dict[str, Any]:
  """Variables of which those that came from no file are random; only these are computed.

  Args:
    method: whose they are.
    shapes: of its variables.
    values: by name, from `transfer.transfer`.
    report: of it.
    rng: key of the random ones.
  """
  taken = {*report.loaded, *report.adapted}
  leaves = flax.traverse_util.flatten_dict(dict(shapes), sep="/")
  parts = {name: names.slices(name, leaf.shape[0] if leaf.shape else 0) or [name] for name, leaf in leaves.items()}
  wanted = [name for name in leaves if not taken.issuperset(parts[name])]

  def draw(key: jax.Array) -> dict[str, jax.Array]:
    variables = flax.traverse_util.flatten_dict(dict(method.init(key)), sep="/")
    return {name: variables[name] for name in wanted}

  drawn = jax.device_get(jax.jit(draw)(rng)) if wanted else {}
  drawn = names.flatten(flax.traverse_util.unflatten_dict(drawn, sep="/"))
  return names.unflatten({**values, **{n: v for n, v in drawn.items() if n not in taken}}, shapes)


def mapping(directory: str | pathlib.Path, config: ml_collections.ConfigDict, shapes: Any = None) -> transfer.Report:
  """What would become of each weight at the start of a run; by shapes alone, no array is read.

  Args:
    directory, config: as for `initial_variables`.
    shapes: of the model's variables, where they are known already.

  Raises:
    UserError: the weights do not fit.
  """
  if shapes is None:
    shapes = jax.eval_shape(methods.build(config).init, jax.random.key(0))
  offered, partial = _offered(directory, shapes_only=True)
  return _fitting(directory, config, shapes, offered, partial)[1]


def inherited_videos(directory: str | pathlib.Path) -> tuple[list[TrainedVideo], str]:
  """What the weights in a folder have seen, which the run that starts from them has seen too.

  Returns:
    The videos, and what must be told where they are not known; "" where they are.
  """
  directory = pathlib.Path(directory)
  conversion = checkpoint.read_conversion(directory)
  if conversion is not None and not conversion.source.seen:
    return [], conversion.source.about
  seen = trained_videos(directory, read_config(directory))
  if seen is None:
    return [], (
      f"what the weights in {directory} have seen is not known (no list, and their shards are gone): leaks from there "
      "cannot be looked for."
    )
  return seen, ""


def _offered(directory: str | pathlib.Path, shapes_only: bool) -> tuple[dict[str, np.ndarray], bool]:
  """Arrays of a folder by the names of its file, or by ours if it is a run; and whether some may be left."""
  conversion = checkpoint.read_conversion(directory)
  if conversion is not None:
    return (conversion.shapes() if shapes_only else conversion.read()), conversion.source.partial
  if shapes_only:
    config = read_config(directory)
    shapes = names.flatten(jax.eval_shape(methods.build(config).init, jax.random.key(0)))
    return names.shadows(shapes), False
  arrays = names.flatten(jax.device_get(restore_run(str(directory)).variables))
  files.check_finite(arrays, str(directory))
  return arrays, False


def _fitting(
  directory: str | pathlib.Path,
  config: ml_collections.ConfigDict,
  shapes: Any,
  offered: Mapping[str, np.ndarray],
  partial: bool,
) -> tuple[dict[str, np.ndarray], transfer.Report]:
  """`transfer` onto a model of which only the shapes are there."""
  flat = names.shadows(names.flatten(shapes))
  known = methods.weight_tables(config)
  if known and not offered.keys() & flat.keys() and not any(t.place(n.partition("/")[2]) for t in known for n in flat):
    # A variant without the part that such files know, as a row of an ablation may be: all of it is random, and named.
    return flat, transfer.Report(f"{known[0].name}, of which this variant has no part", fresh=list(flat))
  try:
    table = transfer.choose(offered, known, flat)
  except UserError as error:
    raise UserError(f"the weights in {directory} (config.init) are not for {config.method}: {error}") from error
  values, report = transfer.transfer(offered, table, flat)
  if (problems := report.problems()) and not partial:
    raise UserError(
      f"the weights in {directory} (config.init) do not fit the model that the config describes in {len(problems)} "
      f"places: {report.misfit()}. Give config.model the size that the weights have, or convert a file of this size."
    )
  return values, report
