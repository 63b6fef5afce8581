"""Optimizers and schedules from a config, with per-parameter factors by regex rules."""

import re
from collections.abc import Sequence

import jax
import ml_collections
import optax

from dfdetect_jax.errors import UserError
from dfdetect_jax.runs.state import path_name

Rule = tuple[str, float, float]


def rule_factors(params, rules: Sequence[Rule]):
  """Factors on weight decay and learning rate of every parameter.

  Args:
    params: parameter tree.
    rules: (regex over the whole path name, factor on weight decay, factor on learning rate); the first match counts.

  Returns:
    Two trees of floats like `params`.

  Raises:
    UserError: a parameter is matched by no rule, or a rule's regex is broken.
  """
  try:
    compiled = [(re.compile(pattern), decay, rate) for pattern, decay, rate in rules]
  except (re.error, ValueError, TypeError) as error:
    raise UserError(f"optimizer.rules must be (regex, decay factor, rate factor) triples: {error}.") from error
  missed = []

  def factors(path, _):
    name = path_name(path)
    for pattern, decay, rate in compiled:
      if pattern.fullmatch(name):
        return float(decay), float(rate)
    missed.append(name)
    return 0.0, 0.0

  both = jax.tree_util.tree_map_with_path(factors, params)
  if missed:
    raise UserError(f"optimizer.rules match no rule for: {', '.join(missed)}. Add a rule (r'.*', 1.0, 1.0) at the end.")
  pick = lambda i: jax.tree.map(lambda pair: pair[i], both, is_leaf=lambda x: isinstance(x, tuple))  # noqa: E731
  return pick(0), pick(1)


def make_schedule(config: ml_collections.ConfigDict, total_steps: int) -> optax.Schedule:
  """Learning rate by step: linear warm-up, then constant or cosine. (`plateau` is constant; the loop scales it.)

  A cosine begins where the warm-up ends, or with `cosine_over` = "run" at step 0: the warm-up then rises to what it has
  come down to by then.

  Args:
    config: `config.optimizer`.
    total_steps: length of the run; cosine ends there.

  Raises:
    UserError: unknown names.
  """
  peak, warmup = config.learning_rate, config.warmup_steps
  whole = config.get("cosine_over", "rest") == "run"
  if config.schedule in ("constant", "plateau"):
    after = optax.constant_schedule(peak)
  elif config.schedule == "cosine":
    length = total_steps if whole else total_steps - warmup
    after = optax.cosine_decay_schedule(peak, max(1, length), alpha=config.final_factor)
    if whole and warmup:
      cosine, after = after, lambda step: cosine(step + warmup)
  else:
    raise UserError(f"optimizer.schedule is '{config.schedule}', it must be constant, cosine or plateau.")
  if config.get("cosine_over", "rest") not in ("rest", "run"):
    raise UserError(f"optimizer.cosine_over is '{config.cosine_over}', it must be rest or run.")
  if not warmup:
    return after
  rise = optax.linear_schedule(peak * config.warmup_factor, float(after(0)), warmup)
  return optax.join_schedules([rise, after], [warmup])


def make_optimizer(
  config: ml_collections.ConfigDict, params, total_steps: int
) -> tuple[optax.GradientTransformation, optax.Schedule]:
  """Builds the optimizer that `config.optimizer` describes.

  AdamW decays weights apart from the gradient (Loshchilov and Hutter, 2019); Adam and SGD, as in PyTorch, add the decay
  to the gradient.

  Args:
    config: `config.optimizer`.
    params: parameter tree (or its shapes), for the rules.
    total_steps: length of the run.

  Returns:
    The transformation, and its learning-rate schedule.

  Raises:
    UserError: unknown names, or rules that do not cover every parameter.
  """
  decay_factor, rate_factor = rule_factors(params, config.rules)
  schedule = make_schedule(config, total_steps)
  decay = optax.stateless(
    lambda updates, p: jax.tree.map(lambda u, w, f: u + config.weight_decay * f * w, updates, p, decay_factor)
  )
  decay = decay if config.weight_decay else optax.identity()
  if config.name == "adamw":
    core = [optax.scale_by_adam(config.b1, config.b2), decay]
  elif config.name == "adam":
    core = [decay, optax.scale_by_adam(config.b1, config.b2)]
  elif config.name == "sgd":
    nesterov = config.get("nesterov", False)
    core = [decay, optax.trace(config.momentum, nesterov) if config.momentum else optax.identity()]
  else:
    raise UserError(f"optimizer.name is '{config.name}', it must be adamw, adam or sgd.")
  clip = [optax.clip_by_global_norm(config.clip_norm)] if config.clip_norm else []
  rates = optax.stateless(lambda updates, _: jax.tree.map(lambda u, f: f * u, updates, rate_factor))
  return optax.chain(*clip, *core, rates, optax.scale_by_learning_rate(schedule)), schedule
