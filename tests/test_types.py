"""The judge of the type checker's errors (`.ci/check_types.py`); CI runs the checker itself."""

import importlib.util
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parent.parent
_spec = importlib.util.spec_from_file_location("check_types", ROOT / ".ci" / "check_types.py")
check_types = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(check_types)

STRICT = "dfdetect_jax/methods/method.py:1: error: Name 'x' is not defined  [name-defined]"
LOOSE = "dfdetect_jax/figures/heat.py:1: error: Name 'x' is not defined  [name-defined]"


@pytest.mark.parametrize(
  "found, right, said",
  [
    ([], True, "2 are mended: please write ELSEWHERE = 0"),
    ([LOOSE] * 2, True, "strict rooms: 0; elsewhere: 2 (at most 2)."),
    ([LOOSE] * 3, False, "1 are new"),
    ([STRICT], False, STRICT),
    ([STRICT, LOOSE, LOOSE], False, "strict rooms: 1; elsewhere: 2"),
  ],
)
def test_errors_are_judged_by_their_room(found, right, said):
  """Guards against a false annotation that lands: in a strict room any, elsewhere one more than there were."""
  verdict, text = check_types.judge(found, most=2)
  assert verdict is right
  assert said in text


def test_strict_rooms_exist():
  """Guards against a room that is renamed and from then on checked by nobody."""
  assert all((ROOT / room).is_dir() and any((ROOT / room).glob("*.py")) for room in check_types.STRICT)


def test_packages_say_that_they_are_typed():
  """Guards against annotations that checkers of other people's code do not read."""
  assert all((ROOT / package / "py.typed").is_file() for package in check_types.PACKAGES)
