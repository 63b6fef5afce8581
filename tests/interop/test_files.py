"""Reading weight files: all three kinds, and nothing that could run code."""

import sys

import numpy as np
import pytest
import safetensors.torch
import torch

from dfdetect_jax.errors import UserError
from dfdetect_jax.interop import files


def test_all_kinds_hold_the_same_numbers(tmp_path):
  """Guards the three readers, and half-precision weights: everything floating comes back as float32."""
  weight = torch.arange(6, dtype=torch.bfloat16).reshape(2, 3)
  state = {"weight": weight, "half": weight.half(), "double": weight.double(), "steps": torch.tensor(3)}
  torch.save(state, tmp_path / "a.pth")
  safetensors.torch.save_file(state, tmp_path / "a.safetensors")
  np.savez(tmp_path / "a.npz", **{k: v.float().numpy() if k == "weight" else v.numpy() for k, v in state.items()})
  for name in ("a.pth", "a.safetensors", "a.npz"):
    arrays = files.read(tmp_path / name)
    assert set(arrays) == set(state) and arrays["steps"] == 3 and arrays["steps"].dtype == np.int64
    for key in ("weight", "half", "double"):
      assert arrays[key].dtype == np.float32
      np.testing.assert_array_equal(arrays[key], np.arange(6).reshape(2, 3))


def test_writes_any_layout_and_shape(tmp_path):
  """Guards transposed views, which safetensors would write in the order of their memory, and scalars."""
  arrays = {"transposed": np.arange(6, dtype=np.float32).reshape(2, 3).T, "scalar": np.float32(2.5).reshape(())}
  files.write(tmp_path / "a.safetensors", arrays, {"method": "dil"})
  for name, value in files.read(tmp_path / "a.safetensors").items():
    assert value.shape == arrays[name].shape
    np.testing.assert_array_equal(value, arrays[name])
  with pytest.raises(UserError, match="must end in .safetensors"):
    files.write(tmp_path / "a.npz", arrays, {})
  with pytest.raises(UserError, match="cannot be written"):
    files.write(tmp_path / "no" / "a.safetensors", arrays, {})


class Trap:
  """Writes a file when it is unpickled."""

  def __init__(self, path):
    self.path = path

  def __reduce__(self):
    return open, (str(self.path), "w")


def test_a_pickle_that_runs_code_is_refused_and_does_not_run(tmp_path):
  """Guards users against weight files that are programs."""
  torch.save({"weight": torch.ones(2), "trap": Trap(tmp_path / "sprung")}, tmp_path / "a.pth")
  with pytest.raises(UserError, match="was refused"):
    files.read(tmp_path / "a.pth")
  np.savez(tmp_path / "a.npz", trap=np.array([Trap(tmp_path / "sprung")], object))
  with pytest.raises(UserError, match="not an .npz archive of plain arrays"):
    files.read(tmp_path / "a.npz")
  assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
  "content, message",
  [
    ({"weight": torch.ones(2), "epoch": 3}, r"epoch \(int\)"),
    ({"state_dict": {"weight": torch.ones(2)}}, r"state_dict \(dict\)"),
    ([torch.ones(2)], "a list, not a state dict"),
    ({}, "holds no weights"),
  ],
)
def test_anything_but_tensors_is_refused(content, message, tmp_path):
  """Guards the rule that a .pth file is a state dict and nothing else, and that what else it holds is named."""
  torch.save(content, tmp_path / "a.pth")
  with pytest.raises(UserError, match=message):
    files.read(tmp_path / "a.pth")


@pytest.mark.parametrize("name", ["a.pth", "a.npz", "a.safetensors"])
def test_broken_files_are_refused(name, tmp_path):
  """Guards against tracebacks for downloads that were cut off, empty files and files of another kind."""
  torch.save({"weight": torch.ones(2000)}, tmp_path / "whole.pth")
  np.savez(tmp_path / "whole.npz", weight=np.ones(2000))
  safetensors.torch.save_file({"weight": torch.ones(2000)}, tmp_path / "whole.safetensors")
  whole = (tmp_path / name.replace("a.", "whole.")).read_bytes()
  for content in (whole[: len(whole) // 2], b"", b"<html>not found</html>"):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=name):
      files.read(tmp_path / name)


def test_unknown_and_missing_files_are_named(tmp_path):
  """Guards the messages about a wrong path and a wrong kind of file."""
  with pytest.raises(UserError, match="no weight file"):
    files.read(tmp_path / "a.pth")
  (tmp_path / "a.h5").write_bytes(b"x")
  with pytest.raises(UserError, match="must end in .safetensors, .npz, .pth"):
    files.read(tmp_path / "a.h5")


def test_parameters_that_require_gradients(tmp_path):
  """Guards files that were saved from a module's parameters instead of its state."""
  torch.save({"weight": torch.nn.Parameter(torch.ones(2))}, tmp_path / "a.pth")
  np.testing.assert_array_equal(files.read(tmp_path / "a.pth")["weight"], [1, 1])


def test_an_old_pytorch_reads_nothing(tmp_path, monkeypatch):
  """Guards against `weights_only` before PyTorch 2.6, which could be talked into running code (CVE-2025-32434)."""
  torch.save({"weight": torch.ones(2)}, tmp_path / "a.pth")
  monkeypatch.setattr(torch, "__version__", "2.5.1+cpu")
  with pytest.raises(UserError, match=r"needs PyTorch 2\.6 or later, here is 2\.5\.1"):
    files.read(tmp_path / "a.pth")


def test_weights_that_are_no_numbers_are_named(tmp_path):
  """Guards against a model that is NaN from its first step, without a word."""
  np.savez(tmp_path / "a.npz", fine=np.ones(3), bad=np.array([1, np.nan, np.inf]))
  with pytest.raises(UserError, match=r"a\.npz holds weights that are NaN or infinite, in 1 arrays: bad \(2 of 3\)"):
    files.read(tmp_path / "a.npz")


def test_a_path_that_is_none_is_told_in_a_sentence():
  """Guards against a traceback for a path of 5,000 characters, and for one with a zero byte."""
  for path in ("x" * 5000 + ".pth", "a\0b.pth"):
    with pytest.raises(UserError, match="no path of a weight file|no weight file") as error:
      files.read(path)
    assert len(str(error.value)) < 300


def test_pth_without_pytorch_says_what_to_install(tmp_path, monkeypatch):
  """Guards the optional extra's message."""
  (tmp_path / "a.pth").write_bytes(b"x")
  monkeypatch.setitem(sys.modules, "torch", None)
  with pytest.raises(UserError, match=r"pip install 'dfdetect_jax\[torch\]'"):
    files.read(tmp_path / "a.pth")
