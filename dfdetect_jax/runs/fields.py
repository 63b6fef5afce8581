"""What each field of a config may be, and what a change of it means to a run: the one table of config fields.

A field is *fixed* unless it `may_change` when a run goes on; it is part of a run's *identity* (two runs that agree in
all of these are one) unless it only says where and how comfortably it runs; `scale` says how large and how long,
`speed` whether a step's time depends on it. Fields of `model`, `objective` and `clips` are their method's, which checks
them itself, as `augment.pipeline` does its own.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

import ml_collections

from dfdetect_jax.errors import UserError, did_you_mean
from dfdetect_jax.runs.config import base_config

METHODS_OWN = ("model", "objective", "clips", "augment")


@dataclasses.dataclass(frozen=True)
class Field:
  """One field of a config.

  Attributes:
    allowed: what it may be, in words.
    holds: whether a value is that.
    may_change: a run may go on with another value.
    identity: it decides what is computed.
    scale: a reduced size has its own value, whatever a table's row says.
    speed: the time of a step depends on it.
  """

  allowed: str
  holds: Callable[[Any], bool]
  may_change: bool = False
  identity: bool = True
  scale: bool = False
  speed: bool = True


def _whole(least: int, *but: int, **meaning: bool) -> Field:
  words = f"a whole number of at least {least}" + "".join(f", or {value}" for value in but)
  return Field(words, lambda v: type(v) is int and (v >= least or v in but), **meaning)


def _number(least: float, most: float = math.inf, **meaning: bool) -> Field:
  words = f"a number of at least {least:g}" + (f" and at most {most:g}" if most < math.inf else "")
  return Field(words, lambda v: type(v) in (int, float) and least <= v <= most and v < math.inf, **meaning)


def _one_of(*names: str, **meaning: bool) -> Field:
  return Field(f"one of {', '.join(names)}", lambda v: v in names, **meaning)


def _text(**meaning: bool) -> Field:
  return Field("text", lambda v: isinstance(v, str), **meaning)


def _texts(**meaning: bool) -> Field:
  return Field("a tuple of texts", lambda v: isinstance(v, tuple) and all(isinstance(x, str) for x in v), **meaning)


def _rules(value: Any) -> bool:
  return isinstance(value, tuple) and all(
    isinstance(rule, tuple) and len(rule) == 3 and isinstance(rule[0], str)
    and all(type(x) in (int, float) and 0 <= x < math.inf for x in rule[1:])
    for rule in value
  )  # fmt: skip


# What says where, and how comfortably.
_COMFORT = {"may_change": True, "identity": False}

FIELDS: Mapping[str, Field] = {
  "method": Field("the name of a method", lambda v: isinstance(v, str) and bool(v)),
  "model.size": Field("the method's own", lambda v: True, scale=True),
  "model.width": Field("the method's own", lambda v: True, scale=True),
  "clips.size": _whole(1, scale=True),
  **{  # from what number on, methods.method.ClipSpec says
    f"clips.{name}": Field("a whole number", lambda v: type(v) is int)
    for name in (
      "frames",
      "snippets",
      "test_snippets",
      "train_clips",
      "test_clips",
      "test_stride",
      "val_stride",
      "shortest",
    )
  },  # fmt: skip
  "init": _text(speed=False),
  "starts_from": _text(speed=False, **_COMFORT),  # words
  "seed": Field("a whole number from 0 to 2^32 - 1", lambda v: type(v) is int and 0 <= v < 2**32, identity=False),
  "dtype": _one_of("float32", "bfloat16"),
  "remat": Field('"" or a name in layers.remat.POLICIES', lambda v: isinstance(v, str | bool), **_COMFORT),
  "batch_size": _whole(1, scale=True),
  "skip_nonfinite": _whole(0),
  "accumulate": _whole(1),
  "total_steps": _whole(0, may_change=True, scale=True, speed=False),
  "epochs": _number(0, may_change=True, scale=True, speed=False),
  "optimizer.name": _one_of("adamw", "adam", "sgd"),
  "optimizer.learning_rate": _number(0),
  "optimizer.schedule": _one_of("constant", "cosine", "plateau"),
  "optimizer.warmup_steps": _whole(0),
  "optimizer.warmup_factor": _number(0),
  "optimizer.final_factor": _number(0),
  "optimizer.cosine_over": _one_of("rest", "run"),
  "optimizer.plateau_factor": _number(0, 1),
  "optimizer.plateau_patience": _whole(1),
  "optimizer.weight_decay": _number(0),
  "optimizer.b1": _number(0, 1),
  "optimizer.b2": _number(0, 1),
  "optimizer.momentum": _number(0, 1),
  "optimizer.nesterov": Field("True or False", lambda v: isinstance(v, bool)),
  "optimizer.clip_norm": _number(0),
  "optimizer.rules": Field("a tuple of (regex, factor of at least 0, factor of at least 0)", _rules),
  "data": _text(**_COMFORT),
  "videos.dataset": _text(identity=False),  # a run's videos are compared by themselves
  "videos.manipulations": _texts(identity=False),
  "videos.compressions": _texts(identity=False),
  "workers": _whole(0, **_COMFORT),
  "prefetch": _whole(1, **_COMFORT),
  "data_timeout": _number(0, **_COMFORT),
  "max_unreadable": _whole(0, **_COMFORT),
  "balanced": Field("True or False", lambda v: isinstance(v, bool)),
  "unpaired": _one_of("random", "drop"),
  "forgeries": _one_of("given", "self_made", "both"),
  "forging.landmarks": Field("5 or 68", lambda v: v in (5, 68)),
  "forging.ratios": Field(
    "a tuple of numbers from 0 to 1",
    lambda v: isinstance(v, tuple) and bool(v) and all(type(x) in (int, float) and 0 <= x <= 1 for x in v),
  ),
  "forging.swap": _number(0, 1),
  **{
    f"forging.{name}": _number(0, 3)
    for name in (
      "strength",
      "photometric",
      "geometric",
      "elastic",
      "drift",
      "fitting_error",
      "flicker",
      "post_processing",
    )
  },
  "boundary_weight": _number(0),
  "log_every": _whole(1, scale=True, **_COMFORT),
  "loggers": _texts(speed=False, **_COMFORT),  # training.loggers.LOGGERS
  "eval_every": _whole(0, may_change=True, scale=True, speed=False),
  "eval_batch_size": _whole(1, scale=True, **_COMFORT),
  "select_metric": _text(),  # evaluation.protocols.SELECTABLE
  "checkpoint_every": _whole(1, scale=True, **_COMFORT),
  "checkpoint_keep": _whole(1, **_COMFORT),  # 0 would leave nothing to go on from
  "tracks": _one_of("max", "mean"),
  "mesh.data": _whole(1, -1, **_COMFORT),
  "mesh.fsdp": _whole(1, **_COMFORT),
}


def flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
  """A tree of settings by dotted name."""
  names: dict[str, Any] = {}
  for key, value in tree.items():
    names |= flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
  return names


def field_lines(config: ml_collections.ConfigDict) -> str:
  """All fields of a config by dotted name, a line each."""
  return "\n".join(f"{name} = {value!r}" for name, value in flat(config.to_dict()).items())


def may_change(name: str) -> bool:
  """Whether a run may go on with another value of a field."""
  return name in FIELDS and FIELDS[name].may_change


def is_identity(name: str) -> bool:
  """Whether a field decides what is computed."""
  return name not in FIELDS or FIELDS[name].identity


def is_scale(name: str) -> bool:
  """Whether a field says how large or how long."""
  return name in FIELDS and FIELDS[name].scale


def is_speed(name: str) -> bool:
  """Whether the time of a step depends on a field."""
  return name not in FIELDS or FIELDS[name].speed


def check_fields(config: ml_collections.ConfigDict, where: str = "") -> None:
  """Checks names and ranges of all fields.

  Args:
    config: of a run.
    where: its file, for the message; "" for that of the command.

  Raises:
    UserError: a field is missing, unknown, or none of the values that it may have; all of these are named.
  """
  values = flat(config.to_dict())
  wrong = []
  for name, field in FIELDS.items():
    if name.split(".")[0] in METHODS_OWN and name not in values:
      continue
    if name not in values:
      wrong.append(f"{name} is missing (it must be {field.allowed})")
    elif not field.holds(values[name]):
      wrong.append(f"{name}={values[name]!r} must be {field.allowed}")
  for part in METHODS_OWN:
    if not isinstance(config.get(part), ml_collections.ConfigDict):
      wrong.append(f"{part} must be a group of fields")
  known = {*FIELDS, *flat(base_config().to_dict())}
  for name in values:
    if name not in known and name.split(".")[0] not in METHODS_OWN:
      wrong.append(f"there is no field {name}.{did_you_mean(name, known)}")
  if wrong:
    cure = f"Correct {where}, or take it from a copy." if where else "Set it with --config.FIELD=VALUE."
    raise UserError(f"{where + ': ' if where else ''}config: {'; '.join(wrong)}. {cure}")
