"""ResNet weights from PyTorch in a detector, and back: conversion, start of a run, export, and what is refused."""

import importlib.util
import json
import pathlib
import re
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
import torch

import dfdetect_jax
from configs import dil as dil_config
from dfdetect_jax import interop, methods
from dfdetect_jax.errors import UserError
from dfdetect_jax.interop import convert, export

pytestmark = pytest.mark.slow  # each compiles ResNets

_spec = importlib.util.spec_from_file_location("torch_resnet", pathlib.Path(__file__).with_name("torch_resnet.py"))
torch_resnet = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(torch_resnet)


def config(**overrides):
  config = dil_config.get_config("test").unlock()
  config.update_from_flattened_dict(overrides)
  return config.lock()


def resnet_only():
  return config(**{"model.intra": False, "model.inter": False})


@pytest.fixture(scope="module")
def resnets(tmp_path_factory):
  """Two PyTorch networks like DIL's test size, of one class and of seven, and the files with their weights."""
  torch.manual_seed(0)
  folder, networks = tmp_path_factory.mktemp("resnets"), {}
  for classes in (1, 7):
    network = torch_resnet.ResNet(bottleneck=True, depths=(2, 2), width=8, classes=classes)
    networks[classes] = network.eval(), folder / f"resnet_{classes}.pth"
    torch.save(networks[classes][0].state_dict(), networks[classes][1])
  return networks


@pytest.fixture(scope="module")
def converted(resnets, tmp_path_factory):
  """DIL with both modules, on the weights of the network with seven classes."""
  folder = tmp_path_factory.mktemp("converted") / "dil"
  return folder, convert.convert(config(), resnets[7][1], folder)


def test_logits_equal_pytorch(resnets, tmp_path):
  """Guards names and layouts of all of a ResNet's weights: the frames' logits are PyTorch's."""
  network, file = resnets[1]
  report = convert.convert(resnet_only(), file, tmp_path / "dil")
  assert not report.fresh and not report.adapted and set(report.unused.values()) == {"a counter"}
  model, variables = interop.load(tmp_path / "dil")
  clips = np.random.default_rng(0).integers(0, 256, (2, 2, 4, 32, 32, 3), np.uint8)
  have = model.apply(variables, jnp.asarray(clips))["frame_logits"]
  mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
  frames = ((clips.reshape(-1, 32, 32, 3) / 255 - mean) / std).transpose(0, 3, 1, 2).astype(np.float32)
  with torch.no_grad():
    want = network(torch.from_numpy(frames)).numpy().reshape(have.shape)
  assert np.linalg.norm(have - want) < 1e-4 * np.linalg.norm(want)


def test_report_says_what_became_of_each_weight(converted):
  """Guards the report: modules and head are fresh, the classifier of seven classes is left, nothing else is."""
  folder, report = converted
  assert not report.problems()
  assert all("/intra/" in n or "/inter/" in n or n.startswith("params/fc/") for n in report.fresh)
  assert {"params/fc/kernel", "params/layer1_0/intra/kernel/phi1/kernel"} <= set(report.fresh)
  assert {k for k in report.unused if "num_batches" not in k} == {"fc.weight", "fc.bias"}
  assert json.loads((folder / "conversion.json").read_text())["loaded"] == report.loaded
  assert "fresh: params/fc/bias" in str(report) and "unused (shape [7], the model's is [1]): fc.bias" in str(report)


def test_one_folder_starts_all_variants(converted, resnets):
  """Guards `config.init`: weights of the file in every variant, all else drawn anew from the run's own seed."""
  folder, _ = converted
  kernel = resnets[7][0].layer1[0].conv1.weight.detach().numpy().transpose(2, 3, 1, 0)
  starts = []
  for seed, overrides in enumerate(({"model.stages": (1,)}, {"model.learnable_kernel": False})):
    shapes = jax.eval_shape(methods.build(config(**overrides)).init, jax.random.key(0))
    variables, report = interop.initial_variables(folder, config(**overrides), jax.random.key(seed))
    assert "fc" in report.random_modules() and not report.problems()
    starts.append(variables)
    assert all(jax.tree.leaves(jax.tree.map(lambda a, s: a.shape == s.shape, starts[-1], shapes)))
    np.testing.assert_array_equal(starts[-1]["params"]["layer1_0"]["conv1"]["kernel"], kernel)
  assert np.any(starts[0]["params"]["fc"]["kernel"] != starts[1]["params"]["fc"]["kernel"])


def test_start_names_each_weight_that_does_not_fit(converted):
  """Guards the refusal of weights of another size: one paragraph with the folder, the number of places, the first of
  them with both shapes, and what to do."""
  with pytest.raises(UserError) as error:
    interop.initial_variables(converted[0], config(**{"model.size": "small"}), jax.random.key(0))
  told = str(error.value)
  assert "\n" not in told and len(told) < 700 and str(converted[0]) in told and "Give config.model" in told
  found = re.search(r" in (\d+) places: .*?(\d+) of another shape: (.*?); (.*?) and (\d+) more", told)
  assert int(found[1]) >= int(found[2]) == 2 + int(found[5]) > 20
  assert re.fullmatch(r"[\w/]+: [\w.]+ in the file has \[[\d, ]+\], the model needs \[[\d, ]+\]", found[3])


def test_export_and_conversion_are_inverse(converted, tmp_path, capsys):
  """Guards the round trip through both programs and into `dfdetect_jax.load`, bit by bit, and PyTorch's names and
  layouts in the file."""
  export.main([f"--from={converted[0]}", f"--to={tmp_path / 'dil.safetensors'}"])
  arrays = safetensors.numpy.load_file(tmp_path / "dil.safetensors")
  assert arrays["layer2.0.downsample.0.weight"].shape == (64, 32, 1, 1) and "layer1.0.bn1.running_var" in arrays
  assert "params/layer1_0/intra/kernel/phi1/kernel" in arrays
  convert.main(
    ["--method=dil", "--variant=test", f"--from={tmp_path / 'dil.safetensors'}", f"--to={tmp_path / 'back'}"]
  )
  assert "0 fresh" in capsys.readouterr().out
  detector = dfdetect_jax.load(tmp_path / "back")
  assert detector.config.method == "dil"
  for variables in (interop.load(tmp_path / "back")[1], detector.variables):
    for before, after in zip(*map(jax.tree.leaves, (interop.load(converted[0])[1], variables)), strict=True):
      np.testing.assert_array_equal(before, after)


def test_names_what_is_missing_left_over_or_misshaped(resnets, tmp_path):
  """Guards the message about a file that does not fit, in one paragraph; with `partial` the rest is taken."""
  state = {k: v.numpy() for k, v in resnets[7][0].state_dict().items()}
  state["layer9.0.conv1.weight"] = state.pop("layer2.1.conv2.weight")
  state["bn1.weight"] = state["bn1.weight"][:4]
  file = tmp_path / "odd.safetensors"
  safetensors.numpy.save_file(state, file)
  with pytest.raises(UserError, match="3 places") as error:
    convert.convert(config(), file, tmp_path / "dil")
  assert "\n" not in str(error.value) and str(file) in str(error.value)
  for part in (
    "1 missing: layer2.1.conv2.weight (for params/layer2_1/conv2/kernel)",
    "1 left over: layer9.0.conv1.weight",
    "1 of another shape: params/bn1/scale: bn1.weight in the file has [4], the model needs [8]",
  ):
    assert part in str(error.value)
  assert not (tmp_path / "dil").exists()
  report = convert.convert(config(), file, tmp_path / "dil", partial=True)
  assert len(report.problems()) == 3 and "params/layer1_0/conv1/kernel" in report.loaded


def test_refuses_weights_of_something_else(tmp_path):
  """Guards the message about a file that no table of the method knows."""
  safetensors.numpy.save_file({"encoder.weight": np.zeros(3, np.float32)}, tmp_path / "x.safetensors")
  with pytest.raises(UserError, match=r"is not for dil.*encoder\.weight.*torchvision ResNet-50"):
    convert.convert(config(), tmp_path / "x.safetensors", tmp_path / "dil")


def test_does_not_overwrite(converted, resnets):
  """Guards a run or converted weights against a second conversion into their folder."""
  with pytest.raises(UserError, match="already"):
    convert.convert(config(), resnets[7][1], converted[0])


def test_mistakes_end_the_program_with_a_sentence(tmp_path, capsys):
  """Guards the programs' exit status and message: no traceback for a user's mistake."""
  for main, argv in ((convert.main, ["--method=dil", "--variant=test"]), (export.main, [])):
    with pytest.raises(SystemExit) as stop:
      main([*argv, f"--from={tmp_path / 'nothing.pth'}", f"--to={tmp_path / 'x'}"])
    assert stop.value.code == 2 and "nothing.pth" in capsys.readouterr().err


def test_importing_interop_does_not_import_torch():
  """Guards the optional extra: who has no PyTorch can start from safetensors and npz."""
  code = "import sys, dfdetect_jax.interop.convert, dfdetect_jax.interop.export; assert 'torch' not in sys.modules"
  subprocess.run([sys.executable, "-c", code], check=True)
