"""The direction of the arrows between the rooms of the house."""

import ast
import functools
import graphlib
import pathlib

ROOT = pathlib.Path(__file__).resolve().parents[1]
# A room may import itself and those before it.
FLOORS = {
  "dfdetect_jax": (
    "signals", "errors", "files", "folders", "locks", "datasets", "schema", "layers", "augment", "methods", "devices",
    "data", "runs", "evaluation", "interop", "training", "prediction", "programs", "figures", "studies",
  ),
  "data_pipelines": ("video", "faces", "sources", "synthetic", "building"),
}  # fmt: skip
# What each package may know of the other: the schema of shards, and for judging a video how faces are found in it.
ACROSS = {
  "data_pipelines": {"signals", "errors", "files", "folders", "locks", "datasets", "schema", "programs"},
  "prediction": {"video", "faces"},
  "figures": {"video", "faces"},
  "studies": {"sources"},  # a demo's study lists the videos that it made
}


@functools.cache
def _imports(file):
  names = []
  for node in ast.walk(ast.parse(file.read_text())):
    if isinstance(node, ast.Import):
      names += [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom) and node.module:
      names += [f"{node.module}.{alias.name}" for alias in node.names]
  return names


def _arrows():
  """(file, its package, its room, the other package, the other room); programs and __init__ have the room ""."""
  for package, rooms in FLOORS.items():
    for file in sorted((ROOT / package).rglob("*.py")):
      own = file.relative_to(ROOT / package).with_suffix("").parts[0]
      for name in _imports(file):
        other, _, rest = name.partition(".")
        if other in FLOORS and rest not in ("", "__version__"):
          room = rest.split(".")[0]
          yield file, package, own if own in rooms else "", other, room if room in FLOORS[other] else ""


def test_arrows_point_one_way():
  """Guards the house: no room imports one above it, and the two packages share the schema alone."""
  wrong = []
  for file, package, own, other, room in _arrows():
    where = f"{file.relative_to(ROOT)} ({own or 'a program'}) imports {other}.{room or '(a program)'}"
    if package == other:
      order = FLOORS[package]
      if own and (not room or order.index(room) > order.index(own)):
        wrong.append(where)
    elif own not in ACROSS.get(package, set()) and own and room not in ACROSS.get(own, ACROSS.get(package, set())):
      wrong.append(where)
  assert not wrong, "\n".join(wrong)


def test_no_file_needs_itself():
  """Guards against circles, inside a room too: some order of the files has each after all that it imports."""
  files = {}
  for package in FLOORS:
    for file in (ROOT / package).rglob("*.py"):
      name = ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
      files[name] = file
  del files["dfdetect_jax"]  # the Python door, which every file lies behind
  needs = {}
  for name, file in files.items():
    found = {imported if imported in files else imported.rpartition(".")[0] for imported in _imports(file)}
    needs[name] = {other for other in found if other in files}
  assert sum(map(len, needs.values())) > 1000
  graphlib.TopologicalSorter(needs).prepare()  # an error names the circle
