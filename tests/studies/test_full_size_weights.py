"""Every training of every study starts from converted weights of full size: by shapes, no array is made."""

import dataclasses
import importlib.util
import json
import pathlib
import re

import jax
import numpy as np
import pytest

from dfdetect_jax import methods
from dfdetect_jax.files import sealed
from dfdetect_jax.interop import checkpoint, names, start
from dfdetect_jax.methods.baselines import xception_weights
from dfdetect_jax.runs.config_files import load_config
from dfdetect_jax.studies import check, registry

_path = pathlib.Path(__file__).parents[1] / "interop" / "test_tables.py"
_spec = importlib.util.spec_from_file_location("full_size_files", _path)
full_size = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(full_size)

# What each network's file has no place for; all else must come from it. DIP's temporal attention starts at zero, its
# blocks past the file's twelfth as copies that do nothing (they are adapted, not random).
RANDOM = {
  "dip": r"params/(?!ste/).*|params/ste/(temporal_embedding|.*/temporal\d/attention/out/.*)",
  "dil": r"params/fc/.*|.*/(intra|inter)/.*",
  "resnet50": r"params/fc/.*",
  "i3d_r50": r"params/fc/.*",
  "sdr": full_size.NOT_IN_RESNET,
  "xception": r"params/fc/.*",
  "st_ilif": r".*/(phase|cafim\d|affm|gru\d)/.*|params/head/.*",
  "ftcn": full_size.NOT_IN_RESNET,
}


def folder_of(arrays, directory):
  """A folder of converted weights as far as a plan reads it: shapes alone."""
  directory.mkdir()
  source = checkpoint.Source("weights.pth", "0" * 64, "imagenet", "made up", False)
  listed = {n: {"shape": list(a.shape), "dtype": a.dtype.name, "sha256": ""} for n, a in arrays.items()}
  content = {"format": checkpoint.FORMAT, "source": dataclasses.asdict(source), "arrays": listed}
  (directory / checkpoint.CONVERSION_FILE).write_text(json.dumps(sealed(content)))
  return str(directory)


@pytest.fixture
def weights(tmp_path):
  """A folder for each network of the studies."""
  resnet50 = folder_of(full_size.resnet_file(bottleneck=True), tmp_path / "resnet50")
  resnet18 = folder_of(full_size.resnet_file(bottleneck=False), tmp_path / "resnet18")
  vit = folder_of(full_size.vit_file(), tmp_path / "vit")
  own = {"dip": vit, "st_ilif": resnet18, "xception": folder_of(xception_file(), tmp_path / "xception")}
  return own | dict.fromkeys(RANDOM.keys() - own.keys(), resnet50)


def xception_file():
  """Shapes of Cadene's file: those of our leaves in its layout."""
  shapes = jax.eval_shape(methods.build(load_config("baselines:xception")).init, jax.random.key(0))
  places = {n: xception_weights.table().place(n.partition("/")[2]) for n in names.flatten(shapes)}
  found = {p.key: np.zeros(p.shape(names.flatten(shapes)[n].shape), np.float32) for n, p in places.items()}
  return found | {"fc.weight": np.zeros((1000, 2048), np.float32), "fc.bias": np.zeros(1000, np.float32)}


def expected(network):
  return RANDOM.get(network, r"params/(fc|head)/.*")


@pytest.mark.slow  # traces the initialisation of each distinct model, some forty
def test_every_training_of_every_study_takes_full_size_weights(settings, weights):
  """Guards all studies, every variant, against a refusal and against a block that is left random: one folder for each
  network, whatever the ratio of blocks, the number of branches and the modules that are switched off."""
  settings = dataclasses.replace(settings, init=weights)
  assert len(registry.STUDIES) >= 28
  trainings = {t for study in registry.STUDIES.values() for cell in study.cells for t, _ in cell.parts}
  recipes = {recipe.name: recipe for recipe in map(settings.recipe, trainings)}
  reports, models = {}, {}
  for recipe in recipes.values():
    assert not recipe.unweighted, recipe.unweighted
    if recipe.config.init:
      model = check.model_key(recipe)
      models[recipe.network] = models.get(recipe.network, set()) | {model}
      if model not in reports:
        reports[model] = start.mapping(recipe.config.init, recipe.config, check.shapes(recipe))
      report = reports[model]
      wrong = [name for name in report.fresh if not re.fullmatch(expected(recipe.network), name)]
      assert not report.problems() and not wrong, (recipe.shown, wrong)
      # The phase-aware stream alone has no ResNet-18: that no array has a place is said.
      assert report.loaded or (recipe.config.model.get("stream") == "phase" and "no part" in report.table)
  assert {network for network, found in models.items() if len(found) > 1} >= {"dip", "sdr", "dil", "st_ilif"}
  ratios = [
    r for r in recipes.values() if r.network == "dip" and (r.config.model.spatial, r.config.model.temporal) != (3, 1)
  ]
  assert len(ratios) >= 5  # Tables IV and V


@pytest.mark.parametrize("variant", ["dip:table4_sa6_ta1", "dip:table4_sa1_ta1"])
def test_blocks_beyond_the_file_and_beyond_the_model(variant, weights):
  """Guards the two ratios of Table IV whose depth is not the file's: 21 blocks start from 12 with nine that do nothing,
  six take the first six, and the file's others are named as left."""
  report = start.mapping(weights["dip"], load_config(variant))
  spatial, temporal = (6, 1) if "sa6" in variant else (1, 1)
  blocks = [f"params/ste/unit{u}/spatial{i}" if i < spatial else f"params/ste/unit{u}/temporal{i - spatial}"
            for u in range(3) for i in range(spatial + temporal)]  # fmt: skip
  taken = [b for b in blocks if f"{b}/mlp/fc1/kernel" in report.loaded]
  copied = [b for b in blocks if "a copy of the last" in report.adapted.get(f"{b}/mlp/fc1/kernel", "")]
  assert taken == blocks[:12] and copied == blocks[12:]
  assert all("does nothing at first" in report.adapted[f"{b}/mlp/fc2/kernel"] for b in copied)
  left = {int(key.split(".")[1]) for key, why in report.unused.items() if "the model takes" in why}
  assert left == set(range(len(blocks), 12))
