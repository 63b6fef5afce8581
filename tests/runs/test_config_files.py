"""Run cards are found by path: as shipped, from a folder of one's own, and never through another `configs`."""

import pytest

from dfdetect_jax import methods
from dfdetect_jax.errors import UserError
from dfdetect_jax.runs.config_files import CONFIGS, find_config, load_config


@pytest.mark.parametrize("name", ["dip:small", "configs/dip.py:small", "dip.py:small", str(CONFIGS / "dip.py:small")])
def test_a_config_has_several_names(name, tmp_path, monkeypatch):
  """Guards finding a shipped card from any folder, one with a `configs` of its own included."""
  (tmp_path / "configs").mkdir()
  (tmp_path / "configs" / "mine.py").write_text("")
  monkeypatch.chdir(tmp_path)
  assert find_config(name) == (CONFIGS / "dip.py", "small")
  assert load_config(name, {"total_steps": 7}).to_dict()["total_steps"] == 7


def test_a_file_of_ones_own_comes_first(tmp_path, monkeypatch):
  """Guards a user's card of a shipped name, and its docstring's own variants."""
  (tmp_path / "configs").mkdir()
  card = "from dfdetect_jax.runs.config import base_config, variant\n\n\ndef get_config(arg=None):\n"
  card += "  return variant(base_config(), arg, {'mine': {'batch_size': 3}})\n"
  (tmp_path / "configs" / "dip.py").write_text(card)
  monkeypatch.chdir(tmp_path)
  assert load_config("configs/dip.py:mine").batch_size == 3
  assert load_config("dip:small").batch_size == 16


@pytest.mark.parametrize("name", ["dpi", "configs/dpi.py", "elsewhere/dpi.py:small"])
def test_a_missing_config_says_where_it_was_looked_for(name):
  """Guards the message: the places, the nearest name, and what there is."""
  with pytest.raises(UserError, match=r"dpi.*looked for .*dpi\.py.*Did you mean 'dip'\? Shipped are: baselines, dil"):
    find_config(name)


def test_a_detector_from_outside_needs_no_patch(toy):
  """Guards `config.method` naming any module: an importable one is built, others are told apart."""
  config = toy.get_config()
  assert isinstance(methods.build(config), toy.ToyMethod)
  for name, told in (("dpi", "Did you mean 'dip'"), ("my_lab.nothing", "PYTHONPATH"), ("json", "no function build")):
    with pytest.raises(UserError, match=told):
      methods.build(load_config("dip:test", {"method": name}))


def test_another_package_may_register_a_detector(toy, register):
  """Guards the entry point: a name that this package does not know, and that is told where there is none."""
  register("dfdetect_jax.methods", "my_detector", "toy_method")
  config = toy.get_config().unlock()
  config.method = "my_detector"
  assert isinstance(methods.build(config), toy.ToyMethod)
  with pytest.raises(UserError, match=r"Did you mean 'my_detector'\?"):
    methods.build(load_config("dip:test", {"method": "my_detectr"}))


def test_what_an_outside_detector_lacks_itself_is_not_hidden(tmp_path, monkeypatch):
  """Guards a detector whose own import fails from being called unknown."""
  (tmp_path / "lab_detector.py").write_text("import nothing_of_the_kind\n")
  monkeypatch.syspath_prepend(tmp_path)
  with pytest.raises(ModuleNotFoundError, match="nothing_of_the_kind"):
    methods.build(load_config("dip:test", {"method": "lab_detector"}))
