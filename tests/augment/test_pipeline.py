"""The pipeline of augmentations: keys by name, probabilities, snippets, any detector under any of them."""

import importlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dfdetect_jax import methods
from dfdetect_jax.augment import pipeline
from dfdetect_jax.augment.pipeline import AUGMENTATIONS, Augmentation
from dfdetect_jax.errors import UserError
from dfdetect_jax.runs.config import base_config, override

KEY = jax.random.key(0)


def digit(place):
  """An augmentation that adds a random digit at a decimal place, so that a result tells what each one drew."""

  def function(key, clips, span):
    drawn = jax.random.randint(key, (len(clips), 1, 1, 1, 1), int(span[0]), int(span[1]) + 1)
    return clips + 10.0**place * drawn.astype(jnp.float32)

  return Augmentation(f"digit{place}", function, (1, 9))


def digits(names, key=KEY):
  """What the augmentations of those places drew for 20 clips, `[20, places]`."""
  out = pipeline.apply([digit(place) for place in names], key, jnp.zeros((20, 1, 1, 1, 3)))
  values = np.asarray(out[:, 0, 0, 0, 0]).astype(int)
  return np.stack([values // 10**place % 10 for place in range(3)], axis=1)


def test_switching_one_off_leaves_the_others_draws_alone():
  """Guards the keys: an ablation's rows differ by what they are named after; order and neighbours do not matter."""
  everything = digits((0, 1, 2))
  assert len(np.unique(everything[:, 0])) > 3
  assert not np.array_equal(everything[:, 0], everything[:, 1])
  for off in range(3):
    rest = [place for place in range(3) if place != off]
    np.testing.assert_array_equal(digits(rest)[:, rest], everything[:, rest])
    assert not digits(rest)[:, off].any()
  np.testing.assert_array_equal(digits((2, 0, 1)), everything)
  assert not np.array_equal(digits((0, 1, 2), jax.random.key(1)), everything)


def test_probability_chooses_whole_clips():
  """Guards the probability, and that a clip is taken whole: 0 and 1 exactly, 0.3 within four standard errors."""
  clips = jnp.zeros((2000, 2, 1, 1, 3))
  one = lambda p: Augmentation("one", lambda key, x, _: x + 1, probability=p)(KEY, clips)  # noqa: E731
  per_clip = np.asarray(one(0.3)).mean(axis=(1, 2, 3, 4))
  assert set(np.unique(per_clip)) == {0.0, 1.0}
  assert abs(per_clip.mean() - 0.3) < 4 * np.sqrt(0.3 * 0.7 / 2000)
  assert not one(0.0).any() and one(1.0).all()


@pytest.mark.parametrize("name", [name for name in AUGMENTATIONS if name != "noise"])
def test_snippets_are_augmented_like_their_clip(name):
  """Guards clips with snippets: in space all snippets alike, in time each within itself; the result is a clip's."""
  snippet = np.random.default_rng(0).uniform(0, 255, (3, 1, 4, 12, 12, 3))
  clips = jnp.repeat(jnp.asarray(snippet, jnp.float32), 2, axis=1)
  out = np.asarray(AUGMENTATIONS[name](KEY, clips))
  assert out.shape == clips.shape and out.dtype == np.float32
  if name == "temporal":  # every frame of a snippet is one of its own
    assert all(any(np.array_equal(f, g) for g in clips[b, u]) for b in range(3) for u in range(2) for f in out[b, u])
  elif name != "color_jitter":  # whose contrast turns about the clip's mean
    np.testing.assert_allclose(out[:, 0], out[:, 1], atol=1e-4)
    np.testing.assert_allclose(out[:, 0], AUGMENTATIONS[name](KEY, clips[:, 0]), atol=1e-4)
  else:
    np.testing.assert_allclose(out[:, 0], AUGMENTATIONS[name](KEY, clips[:, 0]), atol=1e-2)


def test_a_map_goes_where_its_clip_goes():
  """Guards what is known of pixels: grey clips that show their own map still show it after all that moves pixels, with
  colours changed in between; of what only alters or hides pixels the map sees nothing."""
  everything = pipeline.from_config({"saturation": (1.0,), "crop": (0.7,), "flip": (0.5,), "temporal": (0.7,)})
  moves = pipeline.geometric(everything)
  assert (
    [a.name for a in moves] == ["crop", "flip", "temporal"] == [a.name for a in AUGMENTATIONS.values() if a.geometric]
  )
  maps = jnp.asarray(np.random.default_rng(0).uniform(size=(8, 2, 4, 12, 12, 1)), jnp.float32)
  moved = np.asarray(pipeline.apply(moves, KEY, maps))
  shown = np.asarray(pipeline.apply(everything, KEY, jnp.repeat(255 * maps, 3, axis=-1))) / 255
  np.testing.assert_allclose(shown, np.repeat(moved, 3, axis=-1), atol=1e-5)
  assert (np.abs(moved - np.asarray(maps)).mean(axis=(1, 2, 3, 4, 5)) > 0.05).mean() > 0.5


@pytest.mark.parametrize("name", ["dip", "st_ilif", "ftcn", "sdr", "dil", "baselines"])
def test_any_detector_trains_under_any_augmentation(name):
  """Guards `config.augment` in every method: the loss traces with all of them on, and each is in the pipeline."""
  config = importlib.import_module(f"configs.{name}").get_config("test")
  override(config, {f"augment.{a}": (0.5,) for a in AUGMENTATIONS})
  method = methods.build(config)
  assert [a.name for a in method.augmentations] == list(AUGMENTATIONS)
  clips = jax.ShapeDtypeStruct((2, *method.clip_spec.shape(train=True)), jnp.uint8)
  out = jax.eval_shape(method.augment, KEY, clips)
  views = (config.model.branches,) if name == "sdr" else ()
  assert out.shape == (2, *views, *clips.shape[1:]) and out.dtype == jnp.float32


def test_config_names_every_augmentation():
  """Guards the run cards' list against the table: the same names, all off."""
  assert base_config().augment.to_dict() == dict.fromkeys(AUGMENTATIONS, ())
  assert pipeline.from_config(base_config().augment) == ()


def test_ranges_come_from_the_config():
  """Guards what a run card says against the defaults of the table."""
  blur, noise = pipeline.from_config({"noise": (0.25,), "flip": (0,), "blur": (0.5, 1.0, 3.0)})
  assert (blur.name, blur.range, blur.probability) == ("blur", (1.0, 3.0), 0.5)
  assert (noise.range, noise.probability) == (AUGMENTATIONS["noise"].range, 0.25)


@pytest.mark.parametrize(
  ("augment", "words"),
  [
    ({"blurr": (0.5,)}, "there is no augmentation .blurr.. Did you mean .blur..*There are: blur, saturation"),
    ({"blur": (0.5, 2.0)}, r"augment.blur is \(0.5, 2.0\).*for example \(0.5, 0.5, 2.0\)"),
    ({"crop": (0.5, 0.9, 0.7)}, "smallest, largest"),
    ({"flip": (2,)}, r"in \[0, 1\]"),
    ({"crop": (0.5, 0.9, 1.7)}, "cannot draw from"),
    ({"blur": (0.5, 0.0, 1.0)}, "cannot draw from"),
  ],
)
def test_descriptions_that_make_no_sense_are_refused(augment, words):
  """Guards the user's mistakes: one sentence with what would do."""
  with pytest.raises(UserError, match=words):
    pipeline.from_config(augment)
