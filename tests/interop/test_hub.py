"""A model as a folder: written from a run, read back by `load`, its program run without the project."""

import json
import shutil

import jax
import jax.export
import numpy as np
import pytest

import dfdetect_jax
from dfdetect_jax.errors import UserError
from dfdetect_jax.evaluation import metrics, statistics
from dfdetect_jax.evaluation.scores import VideoScore
from dfdetect_jax.evaluation.summary import to_json
from dfdetect_jax.interop import export, hub
from dfdetect_jax.runs.config import override
from dfdetect_jax.runs.restore import restore_run
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


def test_the_card_has_this_checkpoints_figures_alone(run, tmp_path):
  """Guards the card's claims: figures of another step are left out by name, videos that were trained on are marked, and
  an interval that there is not is not made up."""
  shutil.copytree(run, tmp_path / "run")
  rows = [VideoScore(video_id=f"v{i}", label=i % 2, score=0.1 + 0.2 * (i % 2)) for i in range(6)]
  summary = to_json(metrics.summarise(rows, "half", None, statistics.bootstrap_intervals))
  for name, step, contaminated in (("test_toy", 3, 0), ("test_seen", 3, 4), ("test_earlier", 1, 0)):
    (tmp_path / "run" / name).mkdir()
    content = summary | {"contaminated": contaminated, "run": {"step": step, "weights": "teacher"}}
    (tmp_path / "run" / name / "metrics.json").write_text(json.dumps(content))
  card = hub.model_card(restore_run(str(tmp_path / "run")), tmp_path / "run", [], "", "")
  assert "| test_toy | 6 | 1.0000, no interval | 0.5000 |" in card
  assert "| test_seen | 6 (CONTAMINATED: 4 of them seen in training) |" in card
  assert "| test_earlier" not in card and "Of another checkpoint, and left out: test_earlier." in card


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
