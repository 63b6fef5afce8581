"""The run of every method: loaded as a model with its variables, exported as safetensors, and taken back."""

import importlib
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import safetensors.numpy

from dfdetect_jax import interop, methods
from dfdetect_jax.interop import convert, export
from dfdetect_jax.runs import run_config
from dfdetect_jax.runs.checkpoints import Checkpoints
from dfdetect_jax.runs.config import override
from dfdetect_jax.runs.state import init_state

# Method, variant, what differs from it; some arrays of the exported file; which of its keys are names of our own.
NOT_IN_VIT = r"params/(?!ste/).*|.*/temporal_embedding|.*/temporal\d/attention/out/.*"
CASES = [
  ("dil", "test", {}, {"layer2.0.downsample.0.weight": (64, 32, 1, 1), "fc.bias": (1,)}, r".*/(intra|inter)/.*"),
  ("dip", "test", {}, {"blocks.0.attn.qkv.weight": (96, 32)}, NOT_IN_VIT),
  ("dip", "test", {"model.scan": True, "model.units": 2}, {"blocks.3.mlp.fc1.bias": (64,)}, NOT_IN_VIT),
  ("ftcn", "test", {}, {"resnet.s1.pathway0_stem.conv.weight": (4, 3, 5, 1, 1)}, "-"),
  ("baselines", "resnet18_test", {}, {"layer4.1.bn2.running_var": (32,)}, "-"),
  ("baselines", "resnet50_test", {}, {"layer4.2.conv3.weight": (128, 32, 1, 1), "fc.weight": (1, 128)}, "-"),
  ("baselines", "i3d_r50_test", {}, {"params/conv1/kernel": (5, 7, 7, 3, 4)}, ".*"),
  ("st_ilif", "test", {}, {}, ".*"),
  ("sdr", "test", {}, {"params/branch3/stem/conv/kernel": (5, 3, 4)}, ".*"),
  ("sdr", "test", {"model.shared": True}, {"params/branch/stem/conv/kernel": (5, 3, 4)}, ".*"),
  ("sdr", "test", {"model.trfi": False}, {"params/trunk/stem/conv/kernel": (5, 3, 4)}, ".*"),
]


def case_id(case):
  return "-".join([*case[:2], *case[2]])


def halved(variables):
  return jax.tree.map(lambda v: v * jnp.float32(0.5), variables)


def assert_equal(have, want):
  jax.tree.map(np.testing.assert_array_equal, jax.device_get(have), jax.device_get(dict(want)))


@pytest.fixture(scope="module", params=CASES, ids=case_id)
def run(request, randomised, tmp_path_factory):
  """A workdir as training leaves it, its method, its best state and its latest one, the rest of the case."""
  name, variant, changes, arrays, own_names = request.param
  config = override(importlib.import_module(f"configs.{name}").get_config(variant), changes)
  method = methods.build(config)
  folder = tmp_path_factory.mktemp("run")
  best = init_state(method, optax.identity(), jax.random.key(0), randomised(method))
  best = best.replace(step=jnp.int32(4), teacher=halved(best.teacher))  # None stays None
  latest = best.replace(step=jnp.int32(8), params=halved(halved(best.params)))
  run_config.save_config(folder, config)
  checkpoints = Checkpoints(folder, keep=1)
  checkpoints.save(latest)
  checkpoints.save_best(best)
  checkpoints.close()
  return folder, method, best, latest, arrays, own_names


@pytest.mark.slow
def test_load_and_apply(run):
  """Guards the two lines that a user writes: the best weights (the teacher's, if any), a model that takes clips."""
  folder, method, best, *_ = run
  model, variables = interop.load(folder)
  assert_equal(variables, best.evaluated(method))
  clips = np.random.default_rng(0).integers(0, 256, (2, *method.clip_spec.shape(train=False)), np.uint8)
  logit = jax.jit(model.apply)(variables, clips)["logit"]
  assert logit.shape == (2,) and np.isfinite(logit).all() and logit[0] != logit[1]


@pytest.mark.slow
def test_export_and_conversion_are_inverse(run, tmp_path, monkeypatch):
  """Guards the round trip bit by bit, PyTorch's names wherever a method has them, and that no other file is needed."""
  folder, method, best, _, arrays, own_names = run
  export.export(folder, tmp_path / "run.safetensors")
  written = safetensors.numpy.load_file(tmp_path / "run.safetensors")
  assert {key: written[key].shape for key in arrays} == arrays
  own = [key for key in written if key.startswith(("params/", "batch_stats/"))]
  assert not [key for key in own if not re.fullmatch(own_names, key)]
  assert own_names != ".*" or len(own) == len(written)
  # Conversion starts from a fresh model; one of zeros need not be compiled, and what is not taken from the file shows.
  shapes = jax.eval_shape(method.init, jax.random.key(0))
  zeros = jax.tree.map(lambda s: np.zeros(s.shape, s.dtype), shapes)
  monkeypatch.setattr(type(method), "init", lambda self, rng: jax.tree.map(jnp.asarray, zeros))
  report = convert.convert(run_config.read_config(folder), tmp_path / "run.safetensors", tmp_path / "back")
  assert not report.problems() and not report.fresh and not report.adapted
  assert_equal(interop.load(tmp_path / "back")[1], best.evaluated(method))


@pytest.mark.slow
@pytest.mark.parametrize("run", [CASES[1]], ids=case_id, indirect=True)
def test_step_and_weights_are_chosen(run, tmp_path):
  """Guards `--step` and `--weights`: best or latest, teacher or student, and the file's note of the step."""
  folder, _, best, latest, *_ = run
  key = "blocks.0.mlp.fc1.weight"
  for options, params in (
    ([], best.teacher),
    (["--weights=student"], best.params),
    (["--step=latest"], latest.teacher),
    (["--step=8", "--weights=student"], latest.params),
  ):
    file = tmp_path / "run.safetensors"
    export.main([f"--from={folder}", f"--to={file}", *options])
    kernel = params["ste"]["unit0"]["spatial0"]["mlp"]["fc1"]["kernel"]
    np.testing.assert_array_equal(safetensors.numpy.load_file(file)[key], kernel.T)
