"""Checkpoints that were changed on the disk: never restored without a word, never a wrong number."""

import random
import shutil

import jax
import numpy as np
import pytest
from helpers.damages import flip

from dfdetect_jax.errors import UserError
from dfdetect_jax.files import read_json, sealed
from dfdetect_jax.folders import write_json
from dfdetect_jax.runs import checksums, run_config
from dfdetect_jax.runs.checkpoints import Checkpoints
from dfdetect_jax.runs.restore import restore_run
from dfdetect_jax.training.program import make_program


@pytest.fixture(scope="module")
def program(toy):
  """Shapes of the toy's state."""
  return make_program(toy.get_config(), 20, jax.devices()[:1])


@pytest.fixture(scope="module")
def saved(program, toy, tmp_path_factory):
  """A run with checkpoints 1 and 2, and 1 as its best; the parameters of each are its step."""
  workdir = tmp_path_factory.mktemp("run")
  run_config.save_config(workdir, toy.get_config())
  checkpoints = Checkpoints(workdir, 3)
  with jax.numpy_dtype_promotion("standard"):
    state = program.initial_state()
  for step in (1, 2):
    fill = lambda tree: jax.tree.map(lambda x: np.full(x.shape, step, x.dtype), tree)  # noqa: B023, E731
    state = state.replace(step=np.int32(step), params=fill(state.params), teacher=fill(state.teacher))
    checkpoints.save(state)
    if step == 1:
      checkpoints.save_best(state)
  checkpoints.close()
  return workdir


@pytest.fixture
def run(saved, tmp_path):
  """A copy to be hurt."""
  shutil.copytree(saved, tmp_path / "run")
  return tmp_path / "run"


def files_of(checkpoint):
  return sorted(file for item in checkpoint.iterdir() if item.is_dir() for file in item.rglob("*") if file.is_file())


def first_parameter(tree):
  return float(jax.tree.leaves(tree)[0].ravel()[0])


def test_every_flipped_bit_is_noticed(saved, run, program, caplog):
  """Guards against silent corruption: 40 of 40 single bits, in any file of any item, cost the checkpoint."""
  draw = random.Random(0)
  files = [file for file in files_of(run / "checkpoints/2") if file.stat().st_size]
  for _ in range(40):
    file = draw.choice(files)
    whole = file.read_bytes()
    flip(file, draw)
    with pytest.raises(UserError, match="its size or checksum differs"):
      checksums.verify(run / "checkpoints/2", [file.relative_to(run / "checkpoints/2").parts[0]])
    file.write_bytes(whole)
  assert checksums.verify(run / "checkpoints/2", ["params", "opt_state"])
  flip(draw.choice(files), draw)
  checkpoints = Checkpoints(run, 3)
  state = checkpoints.restore(program.abstract)
  checkpoints.close()
  assert int(state.step) == 1 and first_parameter(state.params) == 1
  assert "checkpoint 2 cannot be read" in caplog.text
  assert (run / "damaged_checkpoints" / "2").is_dir()


def crc(content, polynomial):
  """A CRC of 32 bits as its definition has it, bit by bit."""
  value = 0xFFFFFFFF
  for byte in content:
    value ^= byte
    for _ in range(8):
      value = value >> 1 ^ (polynomial if value & 1 else 0)
  return value ^ 0xFFFFFFFF


@pytest.mark.parametrize("kind, polynomial", [("crc32c", 0x82F63B78), ("crc32", 0xEDB88320)])
def test_the_sums_of_this_version_and_of_older_ones(run, kind, polynomial):
  """Guards the format: what is written are CRC-32C, and the CRC-32 of older checkpoints are still compared."""
  checkpoint = run / "checkpoints/2"
  files = files_of(checkpoint)
  sums = {f.relative_to(checkpoint).as_posix(): [f.stat().st_size, crc(f.read_bytes(), polynomial)] for f in files}
  content = read_json(checkpoint / checksums.FILE, "")
  assert content == {"crc32c": sums} or kind != "crc32c"
  write_json(checkpoint / checksums.FILE, sealed({kind: sums}))
  assert checksums.verify(checkpoint, ["params", "opt_state", "run"])
  flip(max(files, key=lambda file: file.stat().st_size), random.Random(0))
  with pytest.raises(UserError, match="its size or checksum differs"):
    checksums.verify(checkpoint, [path.name for path in checkpoint.iterdir()])


HURTS = {
  "flipped": lambda best: flip(max(files_of(best / "1"), key=lambda f: f.stat().st_size), random.Random(1)),
  "truncated": lambda best: [f.write_bytes(f.read_bytes()[: f.stat().st_size // 2]) for f in files_of(best / "1")],
  "zeroed": lambda best: [f.write_bytes(bytes(f.stat().st_size)) for f in files_of(best / "1")],
  "item gone": lambda best: shutil.rmtree(best / "1" / "params"),
  "emptied": lambda best: [shutil.rmtree(best / "1"), (best / "1").mkdir()],
  "a file": lambda best: [shutil.rmtree(best / "1"), (best / "1").write_text("x")],
  "checksums half": lambda best: (best / "1" / checksums.FILE).write_text('{"crc32": {'),
}


@pytest.mark.parametrize("hurt", HURTS.values(), ids=HURTS.keys())
def test_best_falls_back_to_the_last_good_checkpoint(run, caplog, hurt):
  """Guards `best/`: whatever became of it, other weights are taken loudly, and the result says which."""
  hurt(run / "best")
  restored = restore_run(run)
  assert restored.step == 2 and restored.checkpoint == str(run / "checkpoints" / "2")
  assert first_parameter(restored.variables["params"]) == 2
  assert f"the weights in {run}/best/1 cannot be read" in caplog.text and "last good checkpoint" in caplog.text


def test_without_a_best_or_with_nothing_whole(run, caplog):
  """Guards the ends of the fall-back: no best at all is the latest, which is said, and nothing whole is a sentence."""
  shutil.rmtree(run / "best")
  assert restore_run(run).step == 2
  assert f"{run} has no best step (it has not been validated): its latest one, 2, is taken." in caplog.text
  for step in (1, 2):
    HURTS["truncated"](run / "checkpoints") if step == 1 else shutil.rmtree(run / "checkpoints/2/params")
  with pytest.raises(UserError, match=r"the weights 'best' of .* cannot be read: .* Choose another --step"):
    restore_run(run)
  with pytest.raises(UserError, match="the weights '1' of .* cannot be read"):
    restore_run(run, "1")


def test_a_checkpoint_without_checksums_is_read(run):
  """Guards checkpoints from before there were any."""
  (run / "best/1" / checksums.FILE).unlink()
  assert not checksums.verify(run / "best/1", ["params"])
  assert restore_run(run).step == 1


def test_weights_that_are_no_numbers_are_named(run, program, saved):
  """Guards against scores of NaN: the arrays are named before anything is scored."""
  shutil.rmtree(run / "best")
  checkpoints = Checkpoints(run, 3)
  state = checkpoints.restore(program.abstract)
  spoilt = jax.tree.map(lambda x: np.asarray(x), state.teacher)
  spoilt["Dense_0"]["kernel"] = np.full_like(spoilt["Dense_0"]["kernel"], np.nan)
  checkpoints.save(state.replace(step=np.int32(3), teacher=spoilt))
  checkpoints.close()
  with pytest.raises(UserError, match=r"1 of \d+ arrays in .*/checkpoints/3 hold NaN .*params/Dense_0/kernel.*--step"):
    restore_run(run)
  assert restore_run(run, "2").step == 2
