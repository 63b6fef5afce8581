"""Sends a program a signal when it comes to a place for the nth time. Python itself runs this, from PYTHONPATH.

SIGNAL_AT is `MODULE FUNCTION N SIGNAL`, FUNCTION "-" for the moment in which the module begins to be imported. A
Ctrl-C goes to the whole process group, as a terminal sends it. STAND_IN is a file that takes Python's place where this
program starts others.
"""

import functools
import importlib.abc
import importlib.util
import os
import signal
import sys
import threading
import time

place = os.environ.pop("SIGNAL_AT", "").split(" ")  # of this process alone
if stand_in := os.environ.pop("STAND_IN", ""):
  sys.executable = stand_in


def strike(word: str) -> None:
  print("the place is reached", file=sys.stderr, flush=True)
  if word == "SIGKILL" or word == "SIGTERM":
    os.kill(os.getpid(), signal.Signals[word])
    return

  def again() -> None:
    time.sleep(0.3)
    os.killpg(0, signal.SIGINT)

  if word == "twice":
    threading.Thread(target=again, daemon=True).start()
  os.killpg(0, signal.SIGINT)


class Finder(importlib.abc.MetaPathFinder):
  """Changes modules once they have been imported; and hides torch, whose import is a third of a start."""

  def __init__(self):
    self.changes = {DETECTOR: one_face}
    if len(place) == 4 and place[1] != "-":
      self.changes[place[0]] = lambda made: wrap(made, *place[1:])

  def find_spec(self, name, path=None, target=None):
    if name == "torch":
      raise ModuleNotFoundError("hidden", name=name)
    if name == place[0] and place[1] == "-":
      place[0] = ""
      strike(place[3])
    if name not in self.changes:
      return None
    change = self.changes.pop(name)
    spec = importlib.util.find_spec(name)
    run = spec.loader.exec_module

    def exec_module(made):
      run(made)
      change(made)

    spec.loader.exec_module = exec_module
    return spec


DETECTOR = "data_pipelines.faces.detectors.dlib"


def one_face(made) -> None:
  """The detector finds one face in every picture, always at the same place."""
  import numpy as np

  class OneFace:
    version = "one face"

    def detect(self, images):
      return [[made.Face(np.array([40.0, 30.0, 80.0, 70.0]), 1.0)] for _ in images]

  made.create = lambda model="": OneFace()


def wrap(owner, function: str, n: str, word: str) -> None:
  *parents, last = function.split(".")
  for parent in parents:
    owner = getattr(owner, parent)
  real, calls = getattr(owner, last), []

  @functools.wraps(real)
  def counted(*args, **kwargs):
    calls.append(1)
    if len(calls) == int(n):
      strike(word)
    return real(*args, **kwargs)

  setattr(owner, last, counted)


sys.meta_path.insert(0, Finder())
