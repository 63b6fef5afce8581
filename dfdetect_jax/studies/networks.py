"""Parameters and operations of the networks that a study trains, from their shapes alone (as ST-ILIF's Table 9)."""

import dataclasses
import pathlib
from collections.abc import Iterable

import ml_collections
import tqdm

from dfdetect_jax.errors import UserError
from dfdetect_jax.files import DamagedFile, read_json, sealed
from dfdetect_jax.folders import write_json
from dfdetect_jax.studies.recipe import Recipe

FILE = "networks.json"


@dataclasses.dataclass(frozen=True)
class Size:
  """How large a network is.

  Attributes:
    parameters: trained ones.
    flop: floating-point operations of scoring one test clip by XLA's count, a multiplication and an addition each
      counting as one (papers often count the two as one); a loop's body counts once.
    clip: shape of that clip.
  """

  parameters: int
  flop: float
  clip: tuple[int, ...]

  def __str__(self) -> str:
    clip = "×".join(map(str, self.clip[:-1]))
    return f"{self.parameters / 1e6:.3g} M parameters, {self.flop / 1e9:.3g} GFLOP a clip of {clip}"


def size_of(config: ml_collections.ConfigDict) -> Size:
  """The size of the network that a config describes; nothing is compiled or run.

  Raises:
    UserError: the config contradicts itself, or its detector cannot be found here.
  """
  import jax  # takes a while, and most of a study does without
  import jax.numpy as jnp

  from dfdetect_jax import methods

  method = methods.build(config)
  shape = method.clip_spec.shape(train=False)
  variables = jax.eval_shape(method.init, jax.random.key(0))
  lowered = jax.jit(method.predict).lower(variables, jax.ShapeDtypeStruct((1, *shape), jnp.uint8))
  flop = (lowered.cost_analysis() or {}).get("flops", 0.0)
  return Size(sum(x.size for x in jax.tree.leaves(variables["params"])), float(flop), tuple(shape))


def sizes(recipes: Iterable[Recipe], workdir: pathlib.Path) -> dict[str, Size]:
  """Sizes by name of recipe, computed once for a working folder, which keeps them; what cannot be built is left out."""
  named = {recipe.name: recipe for recipe in recipes}
  path = workdir / FILE
  try:
    kept = {n: Size(**(s | {"clip": tuple(s["clip"])})) for n, s in read_json(path, "it is made again").items()}
  except (DamagedFile, TypeError, KeyError, AttributeError):
    kept = {}  # a cache: what is wrong with it does not matter
  missing = [name for name in named if name not in kept]
  for name in tqdm.tqdm(missing, desc="networks", unit="network", leave=False, disable=len(missing) < 2):
    try:
      kept[name] = size_of(named[name].config)
    except UserError:
      continue
  if missing and workdir.is_dir():
    try:
      write_json(path, sealed({name: dataclasses.asdict(size) for name, size in kept.items()}))
    except OSError:
      pass
  return {name: kept[name] for name in named if name in kept}
