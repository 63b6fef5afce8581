"""What the user is told: mistakes in a paragraph, warnings in a line that a library's user can silence."""

import logging
import subprocess
import sys

import pytest

from dfdetect_jax.errors import exit_on_user_error, show_warnings, unknown

WARN = "import logging; logging.getLogger('dfdetect_jax.runs.checkpoints').warning('checkpoint 3 is gone')"


def test_programs_show_a_warning_once_in_a_line_on_stderr(capsys, monkeypatch):
  """Guards how programs look, the command around them included: `WARNING: ` in front, nothing on stdout, not twice."""
  monkeypatch.setattr(logging.root, "handlers", [logging.StreamHandler()])  # as some libraries leave it
  for name in ("dfdetect_jax.runs.checkpoints", "data_pipelines.building.retry"):
    with exit_on_user_error("dfdetect"), exit_on_user_error("train"):
      logging.getLogger(name).warning("100% is not told in a % format")
    assert capsys.readouterr() == ("", "WARNING: 100% is not told in a % format\n")
  assert not logging.getLogger("dfdetect_jax").handlers  # a caller's own logging is as it was


def test_warnings_end_with_the_program(capsys):
  """Guards a program that is called as a function and ends in an error: its handler goes with it."""
  with pytest.raises(ValueError), show_warnings():
    raise ValueError
  assert not logging.getLogger("data_pipelines").handlers


@pytest.mark.parametrize(
  "before, told",
  [
    ("", "checkpoint 3 is gone\n"),
    ("import logging; logging.getLogger('dfdetect_jax').setLevel('ERROR')", ""),
    ("import logging; logging.basicConfig(format='%(name)s %(message)s')", "dfdetect_jax.runs.checkpoints checkpoint"),
  ],
)
def test_a_library_leaves_warnings_to_its_user(before, told):
  """Guards Python users: they see warnings, can silence them, and can send them where they want."""
  done = subprocess.run(
    [sys.executable, "-c", f"{before}\nimport dfdetect_jax\n{WARN}"], capture_output=True, text=True, timeout=60
  )
  assert done.stderr.startswith(told) and bool(done.stderr) == bool(told)


def test_a_name_that_nothing_is_called_by():
  """Guards the one sentence of all such mistakes: place, name, the nearest one, all, and what else helps."""
  told = unknown("network", "dpi", ("dip", "dil"), "--init: ", "See docs.")
  assert str(told) == "--init: there is no network 'dpi'. Did you mean 'dip'? There are: dip, dil. See docs."
  assert str(unknown("level", 9, (1, 2))) == "there is no level '9'. There are: 1, 2."
