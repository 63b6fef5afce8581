"""The check before a study: what it finds, what it misses, and that nothing is started without a paper's weights."""

import dataclasses

import pytest

from configs import dip
from dfdetect_jax import study as program
from dfdetect_jax.datasets import DATASETS, Dataset
from dfdetect_jax.errors import UserError
from dfdetect_jax.studies import check, commands, registry
from dfdetect_jax.studies.plan import make_plan
from dfdetect_jax.studies.recipe import network_of
from dfdetect_jax.training import memory


@pytest.fixture
def plain(toy, toy_study):
  """The study's first row on the set that is there."""
  return dataclasses.replace(toy_study, cells=toy_study.cells[2:4])


def checked(study, settings, catalogue, gib=1.0):
  return check.check(make_plan([study], settings, catalogue), 8, gib, {})


def test_ready(plain, settings, catalogue, monkeypatch):
  """Guards the verdict, and the counts: five real videos, and five fakes of which no face was found in one."""
  monkeypatch.setitem(DATASETS, "toy", Dataset(name="toy", title="toy", counts=(("test", 5, 4 + 1),)))
  plain = dataclasses.replace(plain, cells=[dataclasses.replace(c, parts=((c.parts[0][0], ALL),)) for c in plain.cells])
  found = checked(plain, settings, catalogue)
  assert str(found).endswith("\nready"), str(found)
  assert "'all' (toy/*/*) test: 5 + 5, as published" in str(found)
  assert "toy_method: random" in str(found) and "fits in 8 GiB" in str(found) and "runs unknown" in str(found)


ALL = dataclasses.replace(program.commands.registry.get_study("dip_table1").cells[-1].parts[0][1], name="all",
                          dataset="toy", manipulations=(), compressions=())  # fmt: skip


def test_what_is_missing_is_listed(toy, toy_study, settings, catalogue, monkeypatch):
  """Guards each kind of lack: a set that is nowhere, too few videos, weights not given, too little memory."""
  monkeypatch.setitem(DATASETS, "toy", Dataset(name="toy", title="toy", counts=(("train", 20, 20),)))
  training = dataclasses.replace(toy_study.cells[2].parts[0][0], overrides=(("starts_from", "a great network"),))
  training = dataclasses.replace(training, videos=ALL)
  cells = [dataclasses.replace(c, parts=((training, c.parts[0][1]),)) for c in toy_study.cells[2:5]]
  found = checked(dataclasses.replace(toy_study, cells=tuple(cells)), settings, catalogue, gib=1e-6)
  for part in (
    "holds 'elsewhere'", "train: 9 + 8 of 20 + 20 that the authors publish", "needs 0.0 GiB of each device",
    "toy_method starts from a great network: give --init=toy_method=DIR",
  ):  # fmt: skip
    assert sum(part in told for told in found.missing) == 1, (part, str(found))
  assert len(found.missing) == 4 and [told for told in found.fatal if "a great network" in told] == found.fatal
  assert f"not ready, {len(found.missing)} things" in str(found)


def test_a_study_refuses_random_weights_that_nobody_asked_for(
  toy, toy_study, toy_dataset, tmp_path, monkeypatch, capsys
):
  """Guards plan and run, by the program: refused in a sentence, nothing written; asked for, they are taken."""
  overrides = (("starts_from", "a great network"),)
  cells = [
    dataclasses.replace(c, parts=((dataclasses.replace(c.parts[0][0], overrides=overrides), c.parts[0][1]),))
    for c in toy_study.cells[2:4]
  ]
  monkeypatch.setitem(registry.STUDIES, "toy_table", dataclasses.replace(toy_study, cells=tuple(cells)))
  monkeypatch.setattr("dfdetect_jax.studies.runner.execute", lambda runs, leaks: len(runs))
  where = (f"--workdir={tmp_path / 'w'}", f"--data={toy_dataset}", "--seeds=0")
  for command in ("plan", "run"):
    with pytest.raises(SystemExit) as stop:
      program.main([command, "toy_table", *where])
    printed = capsys.readouterr()
    assert stop.value.code == 2 and "toy_method starts from a great network: give --init=" in printed.err
    assert command == "run" or "no weights" in printed.out
  assert not (tmp_path / "w").exists()
  assert program.main(["check", "toy_table", *where]) == check.NOT_READY
  assert program.main(["check", "toy_table", *where, "--from-scratch"]) == check.READY
  assert program.main(["run", "toy_table", *where, "--from-scratch"]) == 1
  assert "ready" in capsys.readouterr().out


def test_networks_have_names_of_their_own():
  """Guards `--init`: ResNet-50 and I3D are both baselines, and start from different folders."""
  from dfdetect_jax.runs.config_files import load_config

  assert network_of(dip.get_config()) == "dip" and network_of(load_config("dil:table1_ffpp")) == "dil"
  assert network_of(load_config("baselines:i3d_r50")) == "i3d_r50"
  assert network_of(load_config("baselines")) == "resnet50"


def test_what_autodiff_keeps_is_what_jax_prints(toy, capsys):
  """Guards the estimate against JAX's own list of residuals, and the state by hand."""
  import re

  import jax
  import jax.ad_checkpoint
  import jax.numpy as jnp

  from dfdetect_jax import methods

  config = toy.get_config().unlock()
  config.batch_size = 8
  need = memory.estimate(config, 2)
  method = methods.build(config)
  variables = jax.jit(method.init)(jax.random.key(0))
  params = variables["params"]
  batch = {"clip": jnp.zeros((4, 4, 16, 16, 3), jnp.uint8), "label": jnp.zeros(4, jnp.int32)}
  state = {"batch_stats": variables["batch_stats"]}
  jax.ad_checkpoint.print_saved_residuals(lambda p: method.loss(p, state, params, batch, jax.random.key(0))[0], params)
  numbers = 0
  for line in capsys.readouterr().out.splitlines():
    kind, shape = re.match(r"\w?(f32|i32|u32|bool|f16|u8|i8)\[([\d,]*)\]", line).groups()
    size = 1
    for side in filter(None, shape.split(",")):
      size *= int(side)
    if "from the argument" not in line:
      numbers += size * {"f32": 4, "i32": 4, "u32": 4, "bool": 1, "u8": 1}[kind]
  weights = sum(p.size for p in jax.tree.leaves(params))
  statistics = sum(p.size for p in jax.tree.leaves(state))
  assert need.state == 4 * (weights * 4 + statistics) + 4 * 2  # parameters, teacher, two moments; two step counts
  assert need.gradient == 4 * weights and need.batch == 4 * 4 * 16 * 16 * 3
  assert 0 <= numbers - need.kept <= 8 < numbers  # JAX lists scalars that are literals


def test_recipes_say_what_devices_can_share():
  """Guards batches and their parts that leave devices without work: refused with what would do."""
  config = dip.get_config().copy_and_resolve_references().unlock()
  with pytest.raises(UserError, match="batch_size=16 cannot be cut into equal parts for 32 devices: take a multiple"):
    memory.check_rows(config, 32)
  config.accumulate = 4
  with pytest.raises(UserError, match="parts of 4 examples, which 8 devices cannot share equally: accumulate=2 is"):
    memory.check_rows(config, 8)
  memory.check_rows(config, 4)


def test_commands_have_the_check():
  """Guards the program's list of commands."""
  assert list(commands.COMMANDS) == ["list", "plan", "check", "run", "collect"]
