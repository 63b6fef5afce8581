"""Every method can learn: eight clips by heart, at its test size, through the optimizer and step of real training."""

import csv
import importlib
import itertools

import av
import cv2
import jax
import numpy as np
import pytest

from dfdetect_jax import methods
from dfdetect_jax.runs.state import init_state
from dfdetect_jax.training.optimizers import make_optimizer
from dfdetect_jax.training.step import make_train_step

FRAMES = 12
# Metric that holds the cross-entropy where the loss has terms that do not go to zero.
CROSS_ENTROPY = {"dip": "cce", "sdr": "cross_entropy"}


def real_clips(folder, size):
  """First frames of four real clips and their four forged twins, centre squares `[8, FRAMES, size, size, 3]`."""
  clips, labels = [], []
  with open(folder / "manifest.csv") as file:
    rows = [row for row in csv.DictReader(file) if row["video_id"].startswith("swap")][:8]
  for row in rows:
    with av.open(str(folder / row["path"])) as video:
      frames = [f.to_ndarray(format="rgb24") for f in itertools.islice(video.decode(video=0), FRAMES)]
    side = min(frames[0].shape[:2])
    top, left = ((length - side) // 2 for length in frames[0].shape[:2])
    clips.append([cv2.resize(f[top : top + side, left : left + side], (size, size)) for f in frames])
    labels.append(row["label"] == "fake")
  return np.array(clips), np.array(labels, np.int32)


def drawn_clips(size):
  """Eight different moving patterns: what stands for the real clips where they are absent."""
  rng = np.random.default_rng(0)
  small = rng.uniform(0, 255, (8, FRAMES + 8, 8, 8, 3))
  smooth = np.stack([small[:, k : k + FRAMES] for k in range(8)]).mean(0)
  clips = [[cv2.resize(f, (size, size), interpolation=cv2.INTER_CUBIC) for f in clip] for clip in smooth]
  return np.clip(np.array(clips), 0, 255).astype(np.uint8), np.arange(8, dtype=np.int32) % 2


def batch_of(spec, clips, labels):
  """The clips as the method asks for them."""
  if spec.example == "triplet":
    real, fake = clips[labels == 0][:, : spec.frames], clips[labels == 1][:, : spec.frames]
    return {"anchor": real, "positive": real, "negative": fake, "forged": fake}
  if spec.snippets:
    clips = np.stack([clips[:, u : u + spec.frames] for u in range(spec.snippets)], axis=1)
    return {"clip": clips, "label": labels}
  return {"clip": clips[:, : spec.frames], "label": labels}


@pytest.mark.slow
@pytest.mark.parametrize("source", ["drawn", pytest.param("real", marks=pytest.mark.realfaces)])
@pytest.mark.parametrize("name", ["dip", "st_ilif", "ftcn", "sdr", "dil"])
def test_overfits_eight_clips(name, source, request):
  """Guards that the whole can learn: cross-entropy < 0.05 within 250 steps, then 8 of 8 right at test."""
  config = importlib.import_module(f"configs.{name}").get_config("test")
  with config.unlocked():
    if name == "dip":  # at a constant rate its attention is thrown off now and then
      config.model.temporal_init, config.optimizer.schedule = "difference", "cosine"
    else:
      config.optimizer.learning_rate, config.optimizer.schedule = 2e-3, "constant"
  method = methods.build(config)
  spec = method.clip_spec
  clips, labels = (
    real_clips(request.getfixturevalue("realfaces"), spec.size) if source == "real" else drawn_clips(spec.size)
  )
  assert labels.sum() == 4 and len(labels) == 8
  shapes = jax.eval_shape(method.init, jax.random.key(0))
  optimizer, _ = make_optimizer(config.optimizer, shapes["params"], 250)
  state = init_state(method, optimizer, jax.random.key(0))
  step = jax.jit(make_train_step(method, optimizer), donate_argnums=0)
  batch = batch_of(spec, clips, labels)
  recent, learned_for = [], 0
  for i in range(250):
    with jax.numpy_dtype_promotion("standard"):  # optax counts in int32 and raises floats to that power
      state, metrics = step(state, batch, jax.random.key(1))
    recent = [*recent[-9:], float(metrics[CROSS_ENTROPY.get(name, "loss")])]
    learned_for = learned_for + 1 if np.mean(recent) < 0.04 else 0
    if i >= 150 and learned_for > 30:  # running statistics have followed
      break
  assert np.mean(recent) < 0.05
  if name == "dip":  # IDM is no ornament: D varies between nodes, and so does what DiCA gets of it
    assert metrics["diffusion_median"] > 0.01 and metrics["bias_spread"] > 0.01
  learned = np.concatenate([batch["anchor"], batch["forged"]]) if spec.example == "triplet" else batch["clip"]
  truth = np.sort(labels) if spec.example == "triplet" else labels
  predict = jax.jit(method.predict)
  found = predict({"params": state.params, **state.model_state}, learned)
  np.testing.assert_array_equal(found > 0.5, truth > 0)
  if name == "dip":  # and the bias reaches the logit
    other = state.params | {"tau_1": 3 * state.params["tau_1"]}
    assert np.abs(predict({"params": other, **state.model_state}, learned) - found).max() > 1e-6
