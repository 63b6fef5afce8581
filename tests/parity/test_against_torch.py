"""The benchmark against PyTorch: that its twins are the detectors, and that it would notice if they were not."""

import functools
import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from benchmarks import against_torch, torch_comparison
from benchmarks.twins import dip, ftcn

OPTIONS = ["--size=test", "--rounds=2", "--threads=1", "--compile-seconds=0"]


@pytest.fixture(autouse=True)
def as_a_program():
  """Standard dtype promotion, which Optax relies on; PyTorch's threads stay as they were."""
  import jax

  threads = torch.get_num_threads()
  with jax.numpy_dtype_promotion("standard"):
    yield
  torch.set_num_threads(threads)


@pytest.mark.slow
def test_a_step_of_sdr_and_a_forward_pass_of_dil(tmp_path, capsys):
  """Guards the program from end to end, and SDR's and DIL's whole networks: logits and, of SDR, all gradients."""
  assert against_torch.main(["step", "--method=sdr", f"--json={tmp_path / 'step.json'}", *OPTIONS]) == 0
  sdr = json.loads((tmp_path / "step.json").read_text())["methods"]["sdr"]
  assert max(sdr["from_float64"]["JAX"].values()) < 1e-4  # few layers; what deep ones may differ by is PyTorch's too
  assert sdr["flops"] > 0 and min(sdr["compile_seconds"].values()) > 0
  assert {len(seconds) for seconds in sdr["wall_seconds"].values()} == {2}
  assert sdr["ratio"]["least"] <= sdr["ratio"]["median"] <= sdr["ratio"]["most"]
  assert "| sdr | 4 × 4 × 32 × 32 |" in capsys.readouterr().out
  assert against_torch.main(["forward", "--method=dil", *OPTIONS]) == 0
  assert "| dil | 4 × 2 × 4 × 32 × 32 |" in capsys.readouterr().out


@pytest.mark.slow
def test_a_difference_is_named_and_not_timed(monkeypatch, capsys):
  """Guards the comparison before the timing: a GELU that is approximate is found out, and the exit status says so."""
  monkeypatch.setattr(dip.F, "gelu", functools.partial(F.gelu, approximate="tanh"))
  assert against_torch.main(["forward", "--method=dip", *OPTIONS]) == 1
  out = capsys.readouterr().out
  assert "NOT TIMED: dip: {'logits'" in out and "| dip |" not in out


def test_flops_of_layers_by_hand():
  """Guards that FLOPs are two for each multiply-add: of FTCN's stem, 5·3 for each pixel of each map; of attention."""
  twin = ftcn.FTCN(4, width=4, depths=(1, 2, 2), layers=1, heads=4, mlp=32)
  found = torch_comparison.counted_flops(lambda: twin.resnet.s1.pathway0_stem.conv(torch.zeros(2, 3, 4, 32, 32)))
  assert found == 2 * (2 * 4 * 32 * 32 * 4) * (5 * 3)
  q = torch.zeros(2, 4, 16, 8)
  found = torch_comparison.counted_flops(lambda: F.scaled_dot_product_attention(q, q, q))
  assert found == 2 * (2 * 4 * 16 * 16 * 8) * 2


def test_ratios_are_of_the_quickest_variant_round_by_round():
  """Guards what is printed as ours : PyTorch: pairs of one round, the variant by its median, both clocks."""
  wall = {"JAX": [2.0, 4.0, 3.0], "PyTorch": [1.0, 1.0, 1.0], "PyTorch, compiled": [1.0, 0.5, 0.5]}
  cpu = {name: [2 * s for s in seconds] for name, seconds in wall.items()} | {"JAX": [1.0, 1.0, 1.0]}
  found = torch_comparison.ratios(wall, cpu)
  assert found["against"] == "PyTorch, compiled"
  assert found["ratio"] == {"least": 2.0, "median": 6.0, "most": 8.0}
  assert found["processor_ratio"] == {"least": 0.5, "median": 1.0, "most": 1.0}


def test_peak_growth_sees_what_is_allocated_and_given_back():
  """Guards peak memory: 64 MiB that are free again after the call count."""
  peak = torch_comparison.peak_growth(lambda: np.ones(2**23).sum())
  if peak is None:
    pytest.skip("this system does not tell the peak of a call")
  assert 60 * 2**20 < peak < 100 * 2**20


def test_a_method_that_does_not_exist(capsys):
  """Guards the message and status of a wrong call."""
  with pytest.raises(SystemExit) as exit_:
    against_torch.main(["forward", "--method=dipp"])
  assert exit_.value.code == 2
  assert "'dipp'" in capsys.readouterr().err
