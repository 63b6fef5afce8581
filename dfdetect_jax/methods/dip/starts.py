"""Starts of temporal attention that the paper does not have: functions of DIP's initial parameters (decisions)."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp


def _in_temporal_blocks(params: dict[str, Any], start: Callable[[dict[str, Any]], dict[str, Any]]) -> dict[str, Any]:
  """DIP's parameters with those of each temporal block replaced by what `start` makes of them."""

  def walk(name: str, tree: Any) -> Any:
    if not isinstance(tree, dict):
      return tree
    if name.startswith("temporal") and "attention" in tree:
      return start(tree)
    return {key: walk(key, value) for key, value in tree.items()}

  return walk("", params)


def difference(params: dict[str, Any]) -> dict[str, Any]:
  """Temporal attention that begins by taking each token's mean over time away.

  Its value projections become the identity and its output projections the identity's negative: attention over nearly
  equal frames is nearly their mean, so what is left of a token is its deviation from it. For training from scratch,
  where to find out that time matters would take most of the run.

  Args:
    params: of a `model.DIP`; its units may be scanned (kernels with a leading axis of units).

  Returns:
    The same tree.
  """

  def start(block: dict[str, Any]) -> dict[str, Any]:
    attention = block["attention"]
    qkv, out = attention["qkv"]["kernel"], attention["out"]["kernel"]  # [E, 3, heads, d], [heads, d, E]
    width, _, heads, size = qkv.shape[-4:]
    eye = jnp.eye(width)
    qkv = qkv.at[..., 2, :, :].set(eye.reshape(width, heads, size))
    out = jnp.broadcast_to(-eye.reshape(heads, size, width), out.shape)
    changed = {"qkv": {**attention["qkv"], "kernel": qkv}, "out": {**attention["out"], "kernel": out}}
    return {**block, "attention": {**attention, **changed}}

  return _in_temporal_blocks(params, start)


def identity(params: dict[str, Any]) -> dict[str, Any]:
  """Temporal blocks that do nothing at first, their MLPs neither.

  Image weights in the spatial blocks then start as the image network that they come from (`weights.py`).

  Args:
    params: of a `model.DIP`, whose temporal attention starts at zero.

  Returns:
    The same tree.
  """

  def start(block: dict[str, Any]) -> dict[str, Any]:
    fc2 = {**block["mlp"]["fc2"], "kernel": jnp.zeros_like(block["mlp"]["fc2"]["kernel"])}
    return {**block, "mlp": {**block["mlp"], "fc2": fc2}}

  return _in_temporal_blocks(params, start)


# By `config.model.temporal_init`; `zero` is how the modules start.
STARTS: dict[str, Callable[[Any], Any] | None] = {"zero": None, "difference": difference, "identity": identity}
