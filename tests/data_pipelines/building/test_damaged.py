"""Plans, notes and shards of an unfinished build that were changed on the disk: told, or built again."""

import pytest

from data_pipelines.building import finish, plan
from data_pipelines.building.plan import Unit
from data_pipelines.building.unit import UnitNote, note_path, shard_path
from dfdetect_jax.errors import UserError
from dfdetect_jax.files import DamagedFile, file_sha256

DAMAGES = {
  "empty": lambda path: path.write_bytes(b""),
  "half": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
  "flip": lambda path: path.write_bytes(path.read_bytes().replace(b"1", b"2", 1)),
  "other type": lambda path: path.write_bytes(b"[]"),
  "not text": lambda path: path.write_bytes(bytes(range(256))),
  "another file": lambda path: path.write_bytes(b'{"a": 1}'),
  "unreadable": lambda path: [path.unlink(), path.mkdir()],
}
UNIT = Unit("train", 0, 1)


@pytest.fixture
def begun(tmp_path):
  """A build of one unit, which is done."""
  plan.write_plan(tmp_path, {"choices": {"size": 21}, "missing": [], "shards": {"train": 1}})
  shard_path(tmp_path, UNIT).write_bytes(bytes(100))
  UnitNote(1, 100, file_sha256(shard_path(tmp_path, UNIT)), [], []).write(note_path(tmp_path, UNIT))
  assert plan.read_plan(tmp_path)["shards"] == {"train": 1}
  assert finish.undone_of(tmp_path, [UNIT]) == []
  return tmp_path


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_plan_is_a_sentence(begun, damage):
  """Guards against tracebacks, and against going on under another plan."""
  path = begun / plan.WORK_FOLDER / plan.PLAN_FILE
  damage(path)
  if path.is_file():
    with pytest.raises(DamagedFile, match=r"plan\.json cannot be read .*remove the output folder"):
      plan.read_plan(begun)
  else:
    with pytest.raises(Exception, match=r"plan\.json"):
      plan.read_plan(begun)


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_note_costs_its_unit(begun, caplog, damage):
  """Guards the resume: what cannot be read is built again, and said."""
  damage(note_path(begun, UNIT))
  assert finish.undone_of(begun, [UNIT]) == [UNIT]
  assert "train-00000.json" in caplog.text or not note_path(begun, UNIT).is_file()


def test_a_flipped_bit_in_a_finished_shard_costs_its_unit(begun, caplog):
  """Guards against damage that would survive a resumed build."""
  content = bytearray(shard_path(begun, UNIT).read_bytes())
  content[50] ^= 4
  shard_path(begun, UNIT).write_bytes(content)
  assert finish.undone_of(begun, [UNIT]) == [UNIT]
  assert "size or checksum differ" in caplog.text


@pytest.mark.parametrize("first, second, goes", [("", "1/2", False), ("1/2", "", False), ("1/2", "2/2", True)])
def test_a_whole_build_and_a_part_do_not_share_a_folder(tmp_path, first, second, goes):
  """Guards shards that two builds would write at once; parts of one build go side by side."""
  with finish.claimed(tmp_path, first):
    if goes:
      with finish.claimed(tmp_path, second):
        pass
    else:
      with pytest.raises(UserError, match=r"is in use: process \d+ on .*\.lock"):
        with finish.claimed(tmp_path, second):
          pass
  assert not tmp_path.exists() or not list(tmp_path.rglob("*"))
