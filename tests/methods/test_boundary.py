"""The second head: its target and loss in float64, what it reaches, where it is refused."""

import importlib

import flax.linen as nn
import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dfdetect_jax import methods
from dfdetect_jax.augment.forged_batch import UNKNOWN
from dfdetect_jax.augment.pipeline import AUGMENTATIONS
from dfdetect_jax.errors import UserError
from dfdetect_jax.interop import transfer
from dfdetect_jax.layers.weight_table import WeightTable
from dfdetect_jax.methods import boundary
from dfdetect_jax.methods.method import ClipSpec, Method
from dfdetect_jax.runs.config import override


class Maps(nn.Module):
  """A convolution, and the mean of its map as the logit."""

  @nn.compact
  def __call__(self, clips, train: bool = False):
    x = nn.Conv(4, (4, 4), strides=4, name="conv")(clips.astype(jnp.float32) / 255)
    return {"logit": jnp.mean(x, axis=(1, 2, 3, 4)), "feature_map": x}


def config(name, variant, **changes):
  card = importlib.import_module(f"configs.{name}").get_config(variant)
  return override(card, {"boundary_weight": 1.0, **changes})


def means(maps, sizes):
  """Area means by counting: every pixel is repeated as often as there are new places, then cut into as many parts."""
  for axis, size in enumerate(sizes, start=1):
    old = maps.shape[axis]
    parts = np.repeat(maps, size, axis=axis).reshape(*maps.shape[:axis], size, old, *maps.shape[axis + 1 :])
    maps = parts.mean(axis=axis + 1)
  return maps


@pytest.mark.parametrize(
  "clip, features",
  [((4, 9, 12), (3, 3)), ((4, 9, 12), (4, 2, 5)), ((4, 9, 12), (2, 9, 12)), ((2, 3, 8, 8), (2, 3, 2, 2)),
   ((2, 3, 8, 8), (2, 2))],
)  # fmt: skip
def test_the_loss_is_the_formula(clip, features):
  """Guards target and loss, in float64: maps with and without time, halved time, snippets, sizes that do not
  divide each other; clips of which nothing is known take no part."""
  rng = np.random.default_rng(0)
  maps, inputs = rng.uniform(size=(3, *clip)), rng.normal(size=(3, *features, 5))
  maps[1] = UNKNOWN
  kernel, bias = rng.normal(size=(5, 1)), rng.normal(size=1)
  params = {"kernel": jnp.asarray(kernel, jnp.float32), "bias": jnp.asarray(bias, jnp.float32)}
  loss = jax.jit(boundary.loss)(params, jnp.asarray(inputs, jnp.float32), jnp.asarray(maps, jnp.float32))
  times = features[:-2] or (1,) * (len(clip) - 2)
  target = means(maps, (*times, *features[-2:])).reshape(3, *features)
  share = 1 / (1 + np.exp(-(inputs @ kernel + bias)[..., 0]))
  each = -target * np.log(share) - (1 - target) * np.log(1 - share)
  np.testing.assert_allclose(loss, np.mean(each[[0, 2]]), rtol=1e-5)
  nothing = boundary.loss(params, jnp.asarray(inputs, jnp.float32), jnp.full((3, *clip), UNKNOWN))
  assert float(nothing) == 0


def test_it_teaches_head_and_trunk():
  """Guards the objective: λ times the loss on the map that goes with the augmented clip is added, and its gradient
  reaches the head and the network below it. Clips that show their own map tell whether it went along."""
  flip = (AUGMENTATIONS["flip"], AUGMENTATIONS["crop"])
  spec = ClipSpec(frames=2, size=8)
  plain, both = (Method(Maps(), spec, augmentations=flip, boundary_weight=weight) for weight in (0.0, 0.5))
  params, key = both.init(jax.random.key(0))["params"], jax.random.key(1)
  grey = np.random.default_rng(0).integers(0, 256, (4, 2, 8, 8))
  clips = jnp.asarray(np.repeat(grey[..., None], 3, axis=-1), jnp.uint8)
  batch = {"clip": clips, "label": jnp.array([0, 1, 0, 1], jnp.int32), "boundary": jnp.asarray(grey / 255, jnp.float32)}

  loss, (metrics, _) = both.loss(params, {}, None, batch, key)
  augmented = both.augment(jax.random.split(key)[0], clips)
  assert np.abs(np.asarray(augmented) - np.asarray(clips)).mean() > 10
  features = both.model.apply({"params": params}, augmented)["feature_map"]
  alone = boundary.loss(params["boundary"], features, augmented[..., 0] / 255)
  np.testing.assert_allclose(metrics["boundary_loss"], alone, rtol=1e-5)
  np.testing.assert_allclose(loss, plain.loss(params, {}, None, batch, key)[0] + 0.5 * alone, rtol=1e-5)
  gradient = jax.grad(lambda p: both.loss(p, {}, None, batch, key)[1][0]["boundary_loss"])(params)
  assert all(np.abs(leaf).max() > 1e-4 for leaf in jax.tree.leaves(gradient))


def test_it_is_off_by_default():
  """Guards runs without it: the same parameters bit for bit, and two beside them where it is on."""
  spec = ClipSpec(frames=2, size=8)
  without, with_head = (
    flax.traverse_util.flatten_dict(Method(Maps(), spec, boundary_weight=weight).init(jax.random.key(0)), sep="/")
    for weight in (0.0, 1.0)
  )
  assert with_head.keys() - without.keys() == {"params/boundary/kernel", "params/boundary/bias"}
  assert all(np.array_equal(with_head[name], value) for name, value in without.items())


@pytest.mark.parametrize(
  "name, variant, changes, words",
  [
    ("st_ilif", "test", {}, "config.forgeries is given. Set config.forgeries=self_made"),
    ("dip", "test_reals", {}, r"dip \(DipMethod\) has a loss of its own"),
    ("sdr", "test_reals", {}, r"sdr \(SdrMethod\) has a loss and an augment of its own"),
    ("baselines", "gend_test", {"forgeries": "self_made"}, r"baselines \(GenD\) has a loss of its own"),
    ("ftcn", "test_reals", {}, r"FTCN does not give that \(it has none\)"),
  ],
)
def test_where_nothing_could_teach_it_it_is_refused(name, variant, changes, words):
  """Guards the user's wish against silence: a head that no mask, no map or no objective reaches is a sentence."""
  with pytest.raises(UserError, match=f"boundary_weight.*{words}"):
    jax.eval_shape(methods.build(config(name, variant, **changes)).init, jax.random.key(0))


def test_weights_without_it_start_runs_with_it_and_the_other_way_round():
  """Guards `config.init`: the head's absence is named as random, its presence as unused, neither is a problem; another
  array that is missing still is one."""
  table, zeros = WeightTable("own names", ()), np.zeros(3, np.float32)
  model, head = {"params/fc/bias": zeros, "params/fc/kernel": zeros}, {"params/boundary/bias": zeros}
  _, report = transfer.transfer(model, table, model | head)
  assert report.fresh == [*head] and report.random_modules() == ["boundary"] and not report.problems()
  _, report = transfer.transfer(model | head, table, model)
  assert report.unused == dict.fromkeys(head, "of a second head") and not report.problems()
  _, report = transfer.transfer(model | head, table, model | head)
  assert len(report.loaded) == 3
  _, report = transfer.transfer(head | {"params/fc/bias": zeros}, table, model | head)
  assert report.missing
