"""FTCN's published weights, through both programs: `ftcn_tt.pth` in, the same keys out."""

import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
import torch

from benchmarks.twins import ftcn
from dfdetect_jax import interop
from dfdetect_jax.interop import convert, export
from dfdetect_jax.methods.ftcn.model import SIZES


@pytest.mark.slow
def test_weights_come_in_and_go_out(tmp_path, capsys):
  """Guards the authors' checkpoint: converted, its logits are PyTorch's; exported, its arrays are what they were."""
  torch.manual_seed(0)
  theirs = ftcn.FTCN(4, **SIZES["test"]).eval()
  state = theirs.state_dict()
  torch.save(state, tmp_path / "ftcn_tt.pth")
  convert.main(["--method=ftcn", "--variant=test", f"--from={tmp_path / 'ftcn_tt.pth'}", f"--to={tmp_path / 'ftcn'}"])
  assert "0 adapted, 0 fresh" in capsys.readouterr().out
  model, variables = interop.load(tmp_path / "ftcn")
  clips = np.random.default_rng(0).integers(0, 256, (2, 4, 32, 32, 3), np.uint8)
  with torch.no_grad():
    want = theirs(torch.from_numpy(clips).float().permute(0, 4, 1, 2, 3)).numpy()
  have = model.apply(variables, jnp.asarray(clips))["logit"]
  assert np.linalg.norm(have - want) < 1e-4 * np.linalg.norm(want)

  export.main([f"--from={tmp_path / 'ftcn'}", f"--to={tmp_path / 'ftcn.safetensors'}"])
  arrays = safetensors.numpy.load_file(tmp_path / "ftcn.safetensors")
  assert arrays.keys() == {key for key in state if "num_batches_tracked" not in key}
  for key, array in arrays.items():
    np.testing.assert_array_equal(array, state[key].numpy(), err_msg=key)
  # PyTorch takes the file as it is: counters of batches are not among the keys that it misses.
  theirs.load_state_dict({key: torch.from_numpy(array) for key, array in arrays.items()}, strict=True)
