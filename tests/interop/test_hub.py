"""A model as a folder: written from a run, read back by `load`, its program run without the project."""

import jax
import jax.export
import numpy as np
import pytest

import dfdetect_jax
from dfdetect_jax.errors import UserError
from dfdetect_jax.interop import export
from dfdetect_jax.runs.config import override
from dfdetect_jax.runs.trained_videos import read_trained_videos
from dfdetect_jax.training import loop


@pytest.fixture(scope="module")
def run(toy, toy_dataset, tmp_path_factory):
  """The workdir of a toy that was trained for a few steps."""
  workdir = tmp_path_factory.mktemp("hub") / "run"
  config = override(toy.get_config().unlock(), {"data": str(toy_dataset), "total_steps": 3, "eval_every": 0})
  with jax.numpy_dtype_promotion("standard"):  # Adam's bias correction
    loop.train_and_evaluate(config, workdir)
  return workdir


def test_an_exported_folder_is_the_run(run, toy_dataset, tmp_path):
  """Guards weights, scores and the leak guard through export and `load`; the card names data and limits."""
  export.main([f"--from={run}", f"--to={tmp_path / 'model'}", "--licence=apache-2.0", "--stablehlo"])
  before, after = dfdetect_jax.load(run), dfdetect_jax.load(tmp_path / "model")
  clips = np.random.default_rng(0).integers(0, 256, (3, *before.clip_spec.shape(train=False))).astype(np.uint8)
  np.testing.assert_array_equal(before.score(clips), after.score(clips))
  assert (after.run.step, after.run.weights) == (before.run.step, "teacher")
  assert after.evaluate(toy_dataset).summary.overall.video == before.evaluate(toy_dataset).summary.overall.video
  assert read_trained_videos(tmp_path / "model") == read_trained_videos(run)  # what no test of it may hold
  card = (tmp_path / "model" / "README.md").read_text()
  assert "license: apache-2.0" in card and "| toy | DF | c23 | train | 8 |" in card and "Not evidence by itself" in card
  logits = before.outputs(clips)["logit"]
  program = jax.export.deserialize(bytearray((tmp_path / "model" / "predict.stablehlo").read_bytes()))
  np.testing.assert_allclose(program.call(clips), logits, atol=1e-4)
  np.testing.assert_allclose(program.call(clips[:1]), logits[:1], atol=1e-4)  # any number of clips


def test_folders_that_cannot_be(run, tmp_path, monkeypatch):
  """Guards an existing target, a damaged file, weights of another architecture, and the hub's missing package."""
  (tmp_path / "there").mkdir()
  with pytest.raises(SystemExit):
    export.main([f"--from={run}", f"--to={tmp_path / 'there'}"])
  assert not list((tmp_path / "there").iterdir())
  export.main([f"--from={run}", f"--to={tmp_path / 'model'}"])
  config = tmp_path / "model" / "config.json"
  (tmp_path / "model" / "provenance.json").unlink()  # it would tell that the config is another
  config.write_text(config.read_text().replace('"width": 16', '"width": 8'))
  with pytest.raises(UserError, match=r"another architecture.*BatchNorm_0.* and 2 more"):
    dfdetect_jax.load(tmp_path / "model")
  model = tmp_path / "model" / "model.safetensors"
  model.write_bytes(model.read_bytes()[:100])
  with pytest.raises(UserError, match="cut off"):
    dfdetect_jax.load(tmp_path / "model")
  monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", None)
  with pytest.raises(UserError, match=r"pip install 'dfdetect_jax\[hub\]'"):
    dfdetect_jax.load("hf://owner/name")
