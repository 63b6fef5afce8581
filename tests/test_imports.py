"""The direction of the arrows between the rooms of the house."""

import ast
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


def _imports(file):
  for node in ast.walk(ast.parse(file.read_text())):
    if isinstance(node, ast.Import):
      yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module:
      yield from (f"{node.module}.{alias.name}" for alias in node.names)


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
      if own and (not room or order.index(room) > order.index(own)) and not file.name == "__init__.py":
        wrong.append(where)
    elif own not in ACROSS.get(package, set()) and own and room not in ACROSS.get(own, ACROSS.get(package, set())):
      wrong.append(where)
  assert not wrong, "\n".join(wrong)
