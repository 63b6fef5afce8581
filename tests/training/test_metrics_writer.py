"""What a run writes of its metrics: lines of JSON, and event files as TensorBoard reads them."""

import errno
import json
import os
import struct

import pytest
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.record_writer import masked_crc32c

from dfdetect_jax.errors import UserError
from dfdetect_jax.training.metrics_writer import MetricsWriter


def events_of(path) -> list[Event]:
  """The events of a file: each record is its length, that number's checksum, the event, its checksum."""
  data, events = path.read_bytes(), []
  while data:
    (length,) = struct.unpack("<Q", data[:8])
    assert struct.unpack("<I", data[8:12]) == (masked_crc32c(data[:8]),)
    body, data = data[12 : 12 + length], data[12 + length :]
    assert struct.unpack("<I", data[:4]) == (masked_crc32c(body),)
    events.append(Event.FromString(body))
    data = data[4:]
  return events


def test_event_files_hold_what_the_lines_hold(tmp_path):
  writer = MetricsWriter(tmp_path, 4)
  scalars = {5: {"train/loss": 1.5, "speed/clips": 7.0}, 6: {"train/loss": 0.25}}
  for step, values in scalars.items():
    writer.write(step, values)
  writer.close()
  lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
  assert lines == [{"step": step, **values} for step, values in scalars.items()]

  (path,) = (tmp_path / "tensorboard").glob("*.out.tfevents.*")
  version, start, *rest = events_of(path)
  assert version.file_version == "brain.Event:2"
  assert (start.step, start.session_log.status) == (5, SessionLog.START)  # from there on earlier files are forgotten
  shown = {}
  for event in rest:
    (value,) = event.summary.value
    shown.setdefault(event.step, {})[value.tag] = value.simple_value
    assert event.wall_time > 1e9
  assert shown == scalars


def test_the_lines_after_the_checkpoint_are_forgotten(tmp_path):
  (tmp_path / "metrics.jsonl").write_text('{"step": 1, "a": 1}\n{"step": 3, "a": 3}\n{"step": 4, "a')
  MetricsWriter(tmp_path, 2).close()
  assert (tmp_path / "metrics.jsonl").read_text() == '{"step": 1, "a": 1}\n'


class FullDisk:
  """An open file on a disk without room."""

  def write(self, data):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

  def flush(self):
    self.write(b"")


@pytest.mark.parametrize("full", ["metrics.jsonl", "tensorboard"])
def test_a_full_disk_is_told(tmp_path, monkeypatch, full):
  """Guards against a hang: a thread that writes events would die of it, and its queue would never be emptied."""
  writer = MetricsWriter(tmp_path, 0)
  where, name = (writer, "_file") if full == "metrics.jsonl" else (writer._board._py_recordio_writer, "_writer")
  with monkeypatch.context() as patch:
    patch.setattr(where, name, FullDisk())
    for step in range(1, 20):  # more than any queue holds
      with pytest.raises(UserError, match="cannot be written .No space left on device.: make room"):
        writer.write(step, {"train/loss": 0.0})
  writer.close()
