"""How long a training step takes on the devices at hand: a few steps of the real config on a made-up batch."""

import pathlib
import time
from collections.abc import Iterable

import jax
import numpy as np
import tqdm

from dfdetect_jax.devices.compiled import keep_compiled
from dfdetect_jax.errors import UserError
from dfdetect_jax.files import damaged, make, read_json, sealed
from dfdetect_jax.folders import write_json
from dfdetect_jax.studies.forecast import Speed
from dfdetect_jax.studies.recipe import Recipe
from dfdetect_jax.training.program import make_program

FILE = "step_seconds.json"
STEPS = 3


def step_seconds(recipe: Recipe, steps: int = STEPS) -> float:
  """Mean seconds of a step after the first one, whose time is not counted.

  Raises:
    UserError: the config contradicts itself or does not fit the devices.
  """
  program = make_program(recipe.config, recipe.config.total_steps or 1)
  compiled = program.compile_step()

  def made_up(shape: jax.ShapeDtypeStruct) -> jax.Array:
    rng = np.random.default_rng(0)
    if shape.dtype == np.float32:  # landmarks
      values = rng.random(shape.shape, np.float32)
    else:
      values = rng.integers(2 if len(shape.shape) == 1 else 256, size=shape.shape).astype(shape.dtype)
    return jax.device_put(values, shape.sharding)

  batch = {name: made_up(shape) for name, shape in program.batch_shapes().items()}
  state, _ = compiled(program.initial_state(), batch, program.run_key)
  jax.block_until_ready(state)
  start = time.monotonic()
  for _ in range(steps):
    state, metrics = compiled(state, batch, program.run_key)
  jax.block_until_ready((state, metrics))
  return (time.monotonic() - start) / steps


def measure(recipes: Iterable[Recipe], workdir: pathlib.Path) -> dict[str, Speed]:
  """Measures the step time of each training whose like was not measured in this working folder yet.

  Returns:
    By `Recipe.speed`; what does not fit the device is told and left out.
  """
  keep_compiled()
  known = read(workdir)
  wanted = {recipe.speed: recipe for recipe in recipes if recipe.speed not in known}
  for speed, recipe in tqdm.tqdm(wanted.items(), desc="measuring steps", unit="config"):
    try:
      seconds = step_seconds(recipe)
    except (UserError, jax.errors.JaxRuntimeError) as error:
      tqdm.tqdm.write(f"{recipe.shown}: cannot be measured here: {str(error).splitlines()[0]}")
      continue
    known[speed] = Speed(0, seconds, jax.device_count(), jax.devices()[0].device_kind)
    workdir.mkdir(parents=True, exist_ok=True)
    content = {s: {"seconds": v.seconds, "devices": v.devices, "kind": v.kind} for s, v in known.items()}
    write_json(workdir / FILE, sealed(content))
  return known


def read(workdir: pathlib.Path) -> dict[str, Speed]:
  """What was measured in this working folder before."""
  path = workdir / FILE
  if not path.is_file():
    return {}
  cure = "remove it and measure again"
  kept = read_json(path, cure)
  for speed, values in kept.items():
    if not isinstance(values, dict):
      raise damaged(path, f"'{speed}' is {values!r:.40}", cure)
  return {speed: make(Speed, values, path, cure) for speed, values in kept.items()}
