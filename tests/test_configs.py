"""Every shipped config, every variant: it builds, and its model, loss and gradient trace at full size."""

import importlib
import pathlib

import jax
import jax.numpy as jnp
import pytest

from dfdetect_jax import methods
from dfdetect_jax.errors import UserError

FILES = sorted(
  path.stem for path in (pathlib.Path(__file__).parent.parent / "configs").glob("*.py") if path.stem != "__init__"
)
# A method's clip is `clip`; a triplet's clips are named by their parts (see ClipSpec).
CLIPS = {"clip": ("clip",), "pair": ("clip",), "triplet": ("anchor", "positive", "negative", "forged")}


def module(name):
  return importlib.import_module(f"configs.{name}")


def cases():
  """Every variant of every file; the rows of the tables, most of the time spent here, are left to the full suite."""
  for name in FILES:
    for variant in ("", *module(name).VARIANTS):
      marks = () if variant in ("", "test") else (pytest.mark.slow,)
      yield pytest.param(name, variant, id=f"{name}:{variant}", marks=marks)


def trace(config):
  """Traces init, prediction, loss and gradient of a config, and checks shapes and dtypes."""
  method = methods.build(config)
  spec, batch = method.clip_spec, config.batch_size
  key = jax.eval_shape(lambda: jax.random.key(0))
  variables = jax.eval_shape(method.init, key)
  params = variables["params"]
  state = {name: tree for name, tree in variables.items() if name != "params"}
  assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype(jnp.float32)}
  example = {name: jax.ShapeDtypeStruct((batch, *spec.shape(train=True)), jnp.uint8) for name in CLIPS[spec.example]}
  if spec.example != "triplet":
    example["label"] = jax.ShapeDtypeStruct((batch,), jnp.int32)
  teacher = params if method.ema_decay is not None else None

  (loss, (metrics, new_state)), gradient = jax.eval_shape(
    lambda p, s, t, b, k: jax.value_and_grad(method.loss, has_aux=True)(p, s, t, b, k),
    params, state, teacher, example, key,
  )  # fmt: skip
  assert loss.shape == () and loss.dtype == jnp.float32
  assert all(m.shape == () for m in metrics.values())
  same = lambda a, b: a.shape == b.shape and a.dtype == b.dtype  # noqa: E731
  assert all(jax.tree.leaves(jax.tree.map(same, gradient, params)))
  assert all(jax.tree.leaves(jax.tree.map(same, dict(new_state), state)))

  clips = jax.ShapeDtypeStruct((2, *spec.shape(train=False)), jnp.uint8)
  probability = jax.eval_shape(method.predict, variables, clips)
  assert probability.shape == (2,) and probability.dtype == jnp.float32
  outputs = jax.eval_shape(method.model.apply, variables, clips)
  assert outputs["logit"].shape == (2,)
  assert {leaf.dtype for leaf in jax.tree.leaves(outputs)} == {jnp.dtype(jnp.float32)}


TRACED = set()


@pytest.mark.parametrize(("name", "variant"), list(cases()))
def test_traces(name, variant):
  """Guards every run card against settings that are gone or contradict each other, and shapes that do not fit."""
  config = module(name).get_config(variant)
  assert config.is_locked
  assert config.total_steps > 0 or config.epochs > 0, "the length of the run is not given"
  what = {field: config[field].to_dict() for field in ("model", "objective", "clips", "augment")}
  what |= {field: config[field] for field in ("method", "dtype", "remat", "batch_size")}
  if repr(what) not in TRACED:  # `table7_all`, say, is the paper's setting once more
    trace(config)
    TRACED.add(repr(what))


@pytest.mark.parametrize("name", FILES)
def test_every_config_has_a_small_and_a_test_variant(name):
  """Guards the two variants that a CPU can train, and the message for a name that does not exist."""
  assert {"small", "test"} <= set(module(name).VARIANTS)
  with pytest.raises(UserError, match="Did you mean 'small'"):
    module(name).get_config("smal")


@pytest.mark.parametrize("name", FILES)
def test_default_is_the_paper(name):
  """Guards `--config=configs/x.py` and `--config=configs/x.py:` against a difference."""
  assert module(name).get_config().to_json() == module(name).get_config("").to_json()


@pytest.mark.parametrize("name", FILES)
def test_run_card(name):
  """Guards the docstring that a run starts from: the command, and the paper's expected metric."""
  text = module(name).__doc__
  assert f"configs/{name}.py" in text and "python -m dfdetect_jax.train" in text and "%" in text


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("dtype", [pytest.param("float32", marks=pytest.mark.slow), "bfloat16"])
def test_remat_and_dtype_trace(name, dtype):
  """Guards rematerialisation and bfloat16 compute in every method, at the test size."""
  config = module(name).get_config("test")
  config.remat = "dots_saveable"
  config.dtype = dtype
  trace(config)
