"""The examples in docstrings, whose values a reader can check by hand."""

import doctest
import importlib
import pkgutil

import pytest

import dfdetect_jax.augment

MODULES = (
  "dfdetect_jax.evaluation.metrics",
  "dfdetect_jax.methods.dip.diffusion",
  "dfdetect_jax.methods.st_ilif.phase",
  *(module.name for module in pkgutil.iter_modules(dfdetect_jax.augment.__path__, "dfdetect_jax.augment.")),
)


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
  """Guards against an example that no longer says what the code does, and a module of these without any."""
  module = importlib.import_module(name)
  own = {key: value for key, value in vars(module).items() if getattr(value, "__module__", None) == name}
  own |= {f"{key}.{k}": v for key, value in own.items() if isinstance(value, type) for k, v in vars(value).items()}
  # Not `testmod`, to which a function that the import hook has wrapped is another module's.
  finder, runner = doctest.DocTestFinder(recurse=False), doctest.DocTestRunner()
  for key, value in own.items():
    for test in finder.find(value, key, module=module, globs=vars(module).copy()):
      runner.run(test)
  assert runner.tries and not runner.failures
