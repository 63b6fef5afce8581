"""Any mesh computes the same; FSDP holds its share and no more."""

import importlib
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from dfdetect_jax.devices import mesh as sharding
from dfdetect_jax.errors import UserError
from dfdetect_jax.methods import METHODS
from dfdetect_jax.runs.config import base_config, override
from dfdetect_jax.training import dry_run
from dfdetect_jax.training.program import make_program

MESHES = ((2, 1), (1, 2), (4, 1), (2, 2), (1, 4), (8, 1), (4, 2), (2, 4), (1, 8))  # (data, fsdp)
CONFIGS = [
  path.stem
  for path in sorted((pathlib.Path(__file__).resolve().parents[2] / "configs").glob("*.py"))
  if path.stem in METHODS
]


def first_step(config, data, fsdp, state=None, remat=""):
  """Metrics of the first step, and the gradient as the optimizer's moments keep it.

  Args:
    config: of the run.
    data, fsdp: the mesh.
    state: on the host, to start from; None: initialised on this mesh.
    remat: policy of the step.
  """
  config = override(config, {"mesh.data": data, "mesh.fsdp": fsdp, "remat": remat})
  program = make_program(config, 10, jax.devices()[: data * fsdp])
  rng = np.random.default_rng(0)

  def draw(x):
    if x.dtype == jnp.uint8:
      return rng.integers(0, 256, x.shape).astype(np.uint8)
    return (np.arange(x.shape[0]) % 2).astype(np.int32)

  shapes = program.batch_shapes()
  batch = {name: jax.device_put(draw(shapes[name]), shapes[name].sharding) for name in sorted(shapes)}
  state = program.initial_state() if state is None else jax.device_put(state, program.sharding)
  state, metrics = program.compile_step()(state, batch, program.run_key)
  return jax.device_get(metrics), jax.device_get(state.opt_state)


def compare(config, meshes, rtol, state=None):
  """Loss and gradients of the first step on each mesh against one device."""
  metrics, moments = first_step(config, 1, 1, state)
  # Scaled by the largest: a gradient that is zero but for rounding has no relative precision.
  scale = max(np.abs(x).max() for x in jax.tree.leaves(moments) if x.dtype == np.float32)
  assert scale > 0
  for data, fsdp, *remat in meshes:
    found, other = first_step(config, data, fsdp, state, *remat)
    for name in metrics:
      np.testing.assert_allclose(found[name], metrics[name], rtol=rtol, atol=1e-6, err_msg=f"{name} on {data}x{fsdp}")
    for a, b in zip(jax.tree.leaves(moments), jax.tree.leaves(other), strict=True):
      np.testing.assert_allclose(b, a, rtol=rtol, atol=rtol * scale)


@pytest.mark.slow  # ten compilations
def test_loss_and_gradients_do_not_depend_on_the_mesh(toy_config, monkeypatch):
  """Guards data parallelism and FSDP on 1, 2, 4 and 8 devices in every layout, BatchNorm's statistics, dropout and the
  initialisation included: float32 reduction error only.
  """
  monkeypatch.setattr(sharding, "FSDP_MIN_SIZE", 16)
  compare(toy_config, MESHES, 5e-5)  # jax 0.10 stays below 2e-5, jax 0.12 sums in another order: 2.7e-5


@pytest.fixture
def quick_compilation(monkeypatch):
  """Leaves LLVM's optimisations out: they do not see the devices, and are half of the time."""
  compile = jax.stages.Lowered.compile
  options = {"xla_backend_optimization_level": 0}
  monkeypatch.setattr(jax.stages.Lowered, "compile", lambda lowered: compile(lowered, options))


@pytest.mark.slow  # each method is compiled three times
@pytest.mark.parametrize("name", CONFIGS)
def test_every_method_computes_the_same_on_eight_devices(name, randomised, quick_compilation, monkeypatch):
  """Guards each method against couplings between examples that break when a batch or a parameter is cut up: eight
  devices as data parallel, and as data 2 x fsdp 4, the latter with activations recomputed in the backward pass, which
  must not change the gradient either.
  """
  monkeypatch.setattr(sharding, "FSDP_MIN_SIZE", 2048)
  config = override(importlib.import_module(f"configs.{name}").get_config("test").unlock(), {"batch_size": 8})
  one = make_program(override(config, {"mesh.data": 1, "mesh.fsdp": 1}), 10, jax.devices()[:1])
  state = jax.device_get(one.initial_state(randomised(one.method)))
  compare(config, ((8, 1), (2, 4, "nothing_saveable")), 1e-3, state)


@pytest.mark.parametrize("fsdp", [2, 8])
def test_fsdp_keeps_its_share_of_the_state(toy_config, monkeypatch, fsdp):
  """Guards memory: parameters, teacher and optimizer are cut alike, to their part plus what cannot be cut."""
  monkeypatch.setattr(sharding, "FSDP_MIN_SIZE", 16)
  config = override(toy_config, {"model.width": 512, "mesh.data": 8 // fsdp, "mesh.fsdp": fsdp})
  abstract = make_program(config, 10).abstract
  whole = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(abstract))
  assert dry_run.bytes_per_device(abstract) <= whole / fsdp * 1.05
  kernel = abstract.params["Dense_0"]["kernel"].sharding.spec
  assert kernel == PartitionSpec(None, "fsdp")
  assert abstract.teacher["Dense_0"]["kernel"].sharding.spec == kernel
  assert abstract.opt_state[0].mu["Dense_0"]["kernel"].sharding.spec == kernel


@pytest.mark.slow
@pytest.mark.parametrize("name", CONFIGS)
def test_paper_sized_models_are_cut_to_an_eighth(name):
  """Guards the memory of each method on eight devices: parameters and optimizer at most 1/8 of the whole plus 5 %."""
  config = importlib.import_module(f"configs.{name}").get_config().unlock()
  abstract = make_program(override(config, {"mesh.fsdp": 8, "batch_size": 8}), 10).abstract
  held = (abstract.params, abstract.opt_state)
  whole = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(held))
  assert whole > 100e6
  assert dry_run.bytes_per_device(held) <= whole / 8 * 1.05


def test_which_dimension_is_cut():
  """Guards the rule: the largest dimension that divides, none for small leaves or where nothing divides."""
  mesh = sharding.make_mesh(override(base_config(), {"mesh.fsdp": 4}).mesh)
  shapes = {"a": (256, 512), "b": (512, 254), "c": (257, 255), "d": (16, 16), "e": (3, 3, 128, 64)}
  tree = {name: jax.ShapeDtypeStruct(shape, jnp.float32) for name, shape in shapes.items()}
  found = {name: s.spec for name, s in sharding.state_sharding(mesh, tree).items()}
  assert found == {
    "a": PartitionSpec(None, "fsdp"),
    "b": PartitionSpec("fsdp", None),
    "c": PartitionSpec(),
    "d": PartitionSpec(),
    "e": PartitionSpec(None, None, "fsdp", None),
  }


def test_meshes_that_do_not_fit():
  """Guards the messages for a mesh or a batch that the devices cannot carry."""
  with pytest.raises(UserError, match="does not fit 8 devices"):
    sharding.make_mesh(override(base_config(), {"mesh.fsdp": 3}).mesh)
  mesh = sharding.make_mesh(base_config().mesh)
  with pytest.raises(UserError, match="batch_size=12 cannot be cut into equal parts for 8 devices"):
    sharding.batch_sharding(mesh, 12)


def test_dry_run_reports_what_a_step_needs(toy_config):
  """Guards --dry-run: parameters, memory and operations from the compiled step, without data."""
  text = dry_run.report(override(toy_config, {"data": "", "mesh.fsdp": 2}))
  assert text.startswith("toy_method: 817 parameters\ndevices: 8 x cpu, mesh data 4 x fsdp 2\n")
  for part in ("state per device: ", "memory per device: ", "work per step: ", "nothing was trained"):
    assert part in text
