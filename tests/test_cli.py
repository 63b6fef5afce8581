"""The one command `dfdetect`: every program is behind it, and a mistyped name is told."""

import contextlib
import importlib
import os
import pathlib
import re
import subprocess
import sys

import pytest

from dfdetect_jax import cli, evaluate, show_configs
from dfdetect_jax.runs.config_files import shipped
from dfdetect_jax.training import command_line

ROOT = pathlib.Path(__file__).resolve().parents[1]


def test_every_program_is_a_sub_command():
  """Guards programs that the README names and the command does not know, or the other way round."""
  behind = {module.removesuffix(".__main__") for module, _ in cli.PROGRAMS.values()}
  readme = set(re.findall(r"python -m ((?:dfdetect_jax|data_pipelines)[\w.]*\w)", (ROOT / "README.md").read_text()))
  assert readme <= behind
  for module, _ in cli.PROGRAMS.values():
    if module != "data_pipelines.beam":
      assert callable(importlib.import_module(module).main)


def test_a_mistyped_program_is_told(capsys):
  """Guards the nearest name and exit status 2."""
  assert cli.main(["trian"]) == 2
  assert "Did you mean 'train'?" in capsys.readouterr().err


def test_train_through_the_command(capsys):
  """Guards absl's flags behind the command: the config is found by name, a missing workdir is told, status 2."""
  code = "import sys; from dfdetect_jax.cli import main; sys.exit(main(sys.argv[1:]))"
  done = subprocess.run(
    [sys.executable, "-c", code, "train", "--config=dip:test"],
    cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=120,
  )  # fmt: skip
  assert done.returncode == 2 and "train: error: --workdir is missing" in done.stderr


def test_flags_have_one_style_and_the_earlier_spelling_is_taken(capsys):
  """Guards job files of before: `--num_processes` of evaluate and `--dry_run` of train, which --help hides."""
  for words in (["--num-processes=2", "--process-id=1"], ["--num_processes=2", "--process_id=1"]):
    args = evaluate._parser().parse_args(words)
    assert (args.num_processes, args.process_id) == (2, 1)
  assert command_line._resolved(["train", "--dry-run"]) == command_line._resolved(["train", "--dry_run"])
  for program in cli.PROGRAMS:
    with contextlib.suppress(SystemExit):
      cli.main([program, "--help"])
    assert not re.search(r"^ *--\w+_", capsys.readouterr().out, re.MULTILINE), program


def test_configs_are_listed_and_resolved(capsys):
  """Guards the list of run cards, and the resolved fields of one."""
  show_configs.main([])
  listed = capsys.readouterr().out
  assert all(f"{name}: " in listed for name in shipped()) and "table7_idm" in listed
  show_configs.main(["dip:small"])
  fields = capsys.readouterr().out.splitlines()
  assert "clips.size = 64" in fields and "method = 'dip'" in fields
  with pytest.raises(SystemExit):
    show_configs.main(["dip:smal"])
  assert "Did you mean 'small'?" in capsys.readouterr().err
