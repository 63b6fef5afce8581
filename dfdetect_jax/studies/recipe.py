"""What a training of a study comes down to: a resolved config and the videos it is trained on.

Two trainings are the same if these are equal, whatever their variants are called: their runs are made once.
"""

import dataclasses
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import ml_collections

from dfdetect_jax.data.videos import VideoSet
from dfdetect_jax.datasets import FOUR
from dfdetect_jax.errors import UserError
from dfdetect_jax.runs.config import override
from dfdetect_jax.runs.config_files import config_module, find_config
from dfdetect_jax.runs.fields import check_fields, is_identity, is_scale, is_speed
from dfdetect_jax.studies.definition import Training


@dataclasses.dataclass(frozen=True)
class Recipe:
  """A training up to its seed, resolved.

  Attributes:
    file: config file, as `Training.config` names it.
    variant: of it, which `--config` takes; "" is the paper's setting.
    changes: (field, value) set after it.
    videos: trained on (train split) and selected on (val split).
    name: of its folder, readable and with a hash; equal names are equal trainings.
    speed: hash of what decides how long a step takes.
    config: all fields.
  """

  file: str
  variant: str
  changes: tuple[tuple[str, Any], ...]
  videos: VideoSet
  name: str
  speed: str
  config: ml_collections.ConfigDict = dataclasses.field(compare=False, repr=False)

  @property
  def network(self) -> str:
    """What `--init` calls it."""
    return network_of(self.config)

  @property
  def unweighted(self) -> str:
    """Why the training cannot start: the paper's weights are not given; "" if it can."""
    from dfdetect_jax.interop.start import missing_weights  # jax takes a while

    if not missing_weights(self.config):
      return ""
    method, variant = self.config.method, f" --variant={self.variant}" if self.network != self.config.method else ""
    return (
      f"{self.network} starts from {self.config.starts_from}: give --init={self.network}=DIR (made by python -m "
      f"dfdetect_jax.interop.convert --method={method}{variant} --from=FILE --to=DIR), or --from-scratch for random "
      "weights, which is not what the paper does."
    )

  @property
  def shown(self) -> str:
    """`configs/dip.py:table7_idm`, and what is changed."""
    file = self.file if self.file.endswith(".py") else f"configs/{self.file}.py"
    return f"{file}:{self.variant}" if self.variant else file

  def flags(self, shown: bool = False) -> list[str]:
    """Flags of dfdetect_jax.train, but for data, workdir and seed.

    Args:
      shown: with the config file as people write it, instead of where it lies.
    """
    path, _ = find_config(self.file)
    fields = {f"videos.{name}": getattr(self.videos, name) for name in ("dataset", "manipulations", "compressions")}
    fields = {name: value for name, value in fields.items() if value} | dict(self.changes)
    config = self.shown if shown else f"{path}:{self.variant}" if self.variant else str(path)
    # Words of a tuple in double quotes, so that a shell's single ones go round them.
    texts = {name: str(v).replace("'", '"') if isinstance(v, tuple) else str(v) for name, v in fields.items()}
    return [f"--config={config}", *(f"--config.{name}={text}" for name, text in texts.items())]


def resolve(
  training: Training,
  videos: VideoSet,
  size: str = "",
  changes: Mapping[str, Any] | None = None,
  init: Mapping[str, str] | None = None,
  from_scratch: bool = False,
) -> Recipe:
  """Resolves a training of a study.

  Args:
    training: as the study has it.
    videos: what it is trained on (a demo's stand-in for `training.videos`).
    size: "" for the table's setting; else a variant (small, test) that gives the size, under the table's own switches.
    changes: further fields, set last.
    init: weights to start from, by network (see `network_of`).
    from_scratch: random weights for what is given none, although its paper starts from some.

  Raises:
    UserError: no such variant or field.
  """
  from dfdetect_jax.interop.start import RANDOM, missing_weights

  file, _, own = training.config.partition(":")
  module = config_module(find_config(file)[0])
  overrides = dict(training.overrides)
  variant = own
  if size:
    variants = module.VARIANTS
    if own and own not in variants:
      module.get_config(own)  # says so
    variant = f"{own}_{size}" if f"{own}_{size}" in variants else size
    switches = ({} if variant != size else variants[own] if own else {}) | overrides
    overrides = {name: value for name, value in switches.items() if not is_scale(name)}
  config = module.get_config(variant or None).copy_and_resolve_references().unlock()
  overrides |= changes or {}
  override(config, overrides)
  given = (init or {}).get(network_of(config)) or (RANDOM if from_scratch and missing_weights(config) else "")
  if given and "init" not in overrides:
    overrides["init"] = str(given)
    override(config, {"init": str(given)})
  check_fields(config)
  if size and config.optimizer.warmup_steps > config.total_steps // 4:  # a short run warms up in a quarter of it
    overrides["optimizer.warmup_steps"] = config.total_steps // 4
    override(config, {"optimizer.warmup_steps": config.total_steps // 4})
  config.lock()
  identity = _part(config.to_dict(), is_identity)
  wanted = {
    "dataset": videos.dataset,
    "manipulations": sorted(videos.manipulations),
    "compressions": videos.compressions,
  }
  method = config.method if config.method == file or file.endswith(".py") else f"{file}-{config.method}"
  switches = _switches(config, module.get_config(size or None))
  name = "-".join(part for part in (method, _readable(videos), switches, _hash([identity, wanted])) if part)
  speed = _hash([_part(identity, is_speed), config.remat])
  return Recipe(file, variant, tuple(overrides.items()), videos, name, speed, config)


def network_of(config: ml_collections.ConfigDict) -> str:
  """What `--init` of a study calls a config's network: its method, or where one has several their own name."""
  return config.model.get("network") or config.method.rpartition(".")[2]


def _readable(videos: VideoSet) -> str:
  short = "+".join("".join(c for c in m if c.isupper() or c.isdigit()) for m in sorted(videos.manipulations))
  parts = [videos.dataset or "any", *videos.compressions]
  return "-".join([*parts, short] if videos.manipulations and set(videos.manipulations) != set(FOUR) else parts)


def _switches(config: ml_collections.ConfigDict, setting: ml_collections.ConfigDict) -> str:
  """In what a config differs from the paper's setting, as far as a folder's name can say."""
  words = []
  for part in ("model", "objective", "clips", "augment"):
    for field, value in config[part].items():
      if not is_scale(f"{part}.{field}") and value != setting[part].get(field):
        words.append(re.sub(r"[^\w.]+", "", f"{field}={value}".replace("=", "_")))
  return "-".join(words)[:60].rstrip("-_.")


def _part(tree: dict[str, Any], wanted: Callable[[str], bool], prefix: str = "") -> dict[str, Any]:
  """The fields of a tree that are wanted, without the groups that none is left of."""
  part = {}
  for key, value in tree.items():
    if isinstance(value, dict) and value:
      if inner := _part(value, wanted, f"{prefix}{key}."):
        part[key] = inner
    elif wanted(f"{prefix}{key}"):
      part[key] = value
  return part


def _hash(value: Any) -> str:
  return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:8]


def parse_change(text: str) -> tuple[str, Any]:
  """FIELD=VALUE of a command line; the value is a Python literal or a word.

  Raises:
    UserError: there is no "=".
  """
  import ast

  name, equals, value = text.partition("=")
  if not equals or not name:
    raise UserError(f"--set={text} must be FIELD=VALUE, for example --set=dtype=bfloat16.")
  try:
    return name, ast.literal_eval(value)
  except (SyntaxError, ValueError):
    return name, value
