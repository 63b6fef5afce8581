"""The roll call of a job: who is missing is named, in the time that is stated; who is there goes on together."""

import socket
import threading
import time

import pytest

from dfdetect_jax.devices.roll_call import roll_call
from dfdetect_jax.errors import UserError


@pytest.fixture
def port():
  """A free port."""
  with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    return probe.getsockname()[1]


def call(port, processes, timeout=10.0):
  """What each of (count, number) processes hears: "" or its error."""
  heard = {}

  def one(place, count, me):
    try:
      roll_call(f"127.0.0.1:{port}", count, me, timeout)
      heard[place] = ""
    except UserError as error:
      heard[place] = str(error)

  threads = [threading.Thread(target=one, args=(i, *process)) for i, process in enumerate(processes)]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join(60)
  return heard


def test_all_go_on_when_all_are_there(port):
  """Guards the ordinary start, whatever the order in which they come; the port is free again afterwards."""
  assert call(port, [(3, 2), (3, 0), (3, 1)]) == {0: "", 1: "", 2: ""}
  assert call(port, [(2, 0), (2, 1)]) == {0: "", 1: ""}


def test_the_missing_are_named_to_all_that_are_there(port):
  """Guards against five minutes of waiting and an abort that names nobody."""
  began = time.monotonic()
  heard = call(port, [(4, 0), (4, 2)], timeout=1.0)
  assert all("process 1, 3 of 4 did not come within 1 s (--join-timeout)" in text for text in heard.values()), heard
  assert time.monotonic() - began < 10


def test_an_absent_first_process_is_told(port):
  """Guards the others' side: where it was looked for, and what to check."""
  heard = call(port, [(2, 1)], timeout=0.5)
  assert f"process 0 of the job was not found at 127.0.0.1:{port} within 0.5 s" in heard[0]


def test_who_counts_otherwise_or_comes_twice_stops_all(port):
  """Guards one process too many, and commands of different jobs."""
  heard = call(port, [(3, 0), (2, 1)])
  assert all("process 1 was started with --num-processes=2, process 0 with 3" in text for text in heard.values())
  heard = call(port, [(3, 0), (3, 1), (3, 1)])
  assert "two processes have --process-id=1" in heard[0]


@pytest.mark.parametrize(
  "where, count, me", [("here", 2, 0), (":3", 2, 0), ("a:b", 2, 0), ("a:1", 2, 2), ("a:1", 2, -1)]
)
def test_settings_that_cannot_be_are_told_at_once(where, count, me):
  """Guards the flags."""
  with pytest.raises(UserError, match="must "):
    roll_call(where, count, me, 1)
