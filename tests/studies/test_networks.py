"""Sizes of networks in a study's page, against counts that others published."""

import pytest

from configs import baselines
from dfdetect_jax.studies import networks
from dfdetect_jax.studies.definition import Training
from dfdetect_jax.studies.recipe import resolve


@pytest.mark.slow
def test_size_of_resnet18():
  """Guards parameters and operations: at 224 px ResNet-18 takes 1.81 G multiply-adds with its classifier's half
  million, of which those on padding's zeros are no operations to XLA."""
  size = networks.size_of(baselines.get_config("resnet18"))
  assert size.parameters == 11_689_512 - 513_000 + 513 and size.clip == (1, 224, 224, 3)
  assert 0.9 < size.flop / (2 * 1.814e9) < 1.02
  assert str(size).startswith("11.2 M parameters, 3.") and str(size).endswith("GFLOP a clip of 1×224×224")


def test_sizes_are_computed_once(tmp_path, monkeypatch, toy_study):
  """Guards the cache of a working folder: kept, read again, made anew where it is broken; unknown detectors skipped."""
  calls = []

  def size_of(config):
    calls.append(config.model.width)
    return networks.Size(config.model.width, 2e9, (4, 16, 16, 3))

  monkeypatch.setattr(networks, "size_of", size_of)
  recipes = [resolve(t, v) for t, v in {part[0]: part for c in toy_study.cells for part in c.parts}.values()]
  first = networks.sizes(recipes, tmp_path)
  assert calls == [16, 24] and [s.parameters for s in first.values()] == [16, 24]
  assert networks.sizes(recipes, tmp_path) == first and len(calls) == 2
  (tmp_path / networks.FILE).write_text("[1")
  assert networks.sizes(recipes, tmp_path) == first and len(calls) == 4
  monkeypatch.undo()
  recipe = resolve(Training("dip:test", recipes[0].videos), recipes[0].videos, changes={"model.k_n": 4})
  assert networks.sizes([recipe], tmp_path) == {}
