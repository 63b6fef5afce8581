"""Every file of a build × every damage × every way to go on: the right bytes, or a sentence that names the file.

CI runs a sample, drawn by a seed; `-m exhaustive` runs all of it. Units are built in this process: workers are no part
of what is damaged.
"""

import hashlib
import pathlib
import random
import shutil

import pytest
from helpers.damages import DAMAGES, call, file_of

from data_pipelines import build as program
from data_pipelines import merge
from data_pipelines.building import build
from data_pipelines.building.unit import build_unit
from data_pipelines.faces.detectors import detector as detectors
from dfdetect_jax.errors import exit_on_user_error

SHARD = "faces-train.array_record-00000-of-00003"
BEGUN = ("build/plan.json", "build/train-00000.json", "build/train-00001.json", SHARD, f"{SHARD}.77.partial")
FINISHED = ("dataset.json", "tracks.jsonl", "failures.csv", "source_files.json", "features.json", "dataset_info.json")
PARTS = tuple(f"part{n}/{name}" for n, name in ((1, "build/plan.json"), (1, "build/train-00000.json"), (1, SHARD),
                                                (2, "build/plan.json"), (2, "build/train-00001.json")))  # fmt: skip
CASES = [
  *(("begun", file, damage, "build") for file in BEGUN for damage in DAMAGES),
  *(("finished", file, damage, how) for how in ("build", "retry") for file in FINISHED for damage in DAMAGES),
  *(("parts", file, damage, "merge") for file in PARTS for damage in DAMAGES),
]
SAMPLE = random.Random(2).sample(CASES, 4)


class Stop(Exception):
  """The build is interrupted."""


def serial(most: int):
  """Builds at most so many units, here; then the build is interrupted."""

  def run(job, own, undone, options):
    detector = detectors.create(job.settings.detector, job.settings.detector_model)
    for unit in undone[:most]:
      build_unit(job, unit, detector)
    if most < len(undone):
      raise Stop
    return 0

  return run


def go(arguments: list[str], most: int = 100) -> int:
  """The program, with units built in this process."""
  with exit_on_user_error("data_pipelines.build"):
    return build.build(program.options_of(program.parser().parse_args(arguments)), run=serial(most)).status


def contents(root: pathlib.Path) -> dict[str, str]:
  """Every file with the checksum of its bytes."""
  return {
    path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
    for path in root.rglob("*") if path.is_file()
  }  # fmt: skip


@pytest.fixture
def world(tmp_path, dataset):
  """A begun build, a finished one, two parts; the arguments, and the right bytes."""
  arguments = dataset(4, [("text.mp4", b"no video" * 100)])
  root = tmp_path / "world"
  with pytest.raises(Stop):
    go([*arguments, f"--output={root / 'begun'}"], most=2)
  (root / "begun" / f"{SHARD}.77.partial").write_bytes(bytes(1000))
  assert go([*arguments, f"--output={root / 'finished'}"]) == 0
  for n in (1, 2):
    assert go([*arguments, f"--output={root / 'parts' / f'part{n}'}", f"--part={n}/2"]) == 0
  return root, arguments, contents(root / "finished")


def judged(world, root: pathlib.Path, case: tuple[str, str, str, str]) -> str:
  """What is wrong with how a program took a damage; "" if nothing is."""
  original, arguments, expected = world
  place, name, damage, how = case
  if root.exists():
    shutil.rmtree(root)
  shutil.copytree(original / place, root)
  path = file_of(root, name, random.Random(str(case)))
  DAMAGES[damage](path, random.Random(str(case)))
  output = root / "whole" if how == "merge" else root
  if how == "merge":
    status, told = call(lambda: merge.main([str(output), str(root / "part1"), str(root / "part2")]))
  else:
    flags = ["--retry=all"] if how == "retry" else []
    status, told = call(lambda: go([*arguments, *flags, f"--output={output}"]))
  if isinstance(status, str):
    return f"traceback: {status[-900:]}"
  if status == 2:
    named = path.name in told or any(word in told for word in (pathlib.Path(name).name, "shard", "not a finished"))
    return "" if "error:" in told and named else f"no sentence that names it: {told[-500:]}"
  if status != 0:
    return f"status {status}: {told[-500:]}"
  found = contents(output)
  wrong = [file for file in {**expected, **found} if expected.get(file) != found.get(file)]
  # A finished dataset is not read again by a build that has nothing to do; what is damaged in it is said elsewhere.
  wrong = [file for file in wrong if not (how == "build" and place == "finished" and file == name)]
  return f"other bytes in {wrong}: {told[-500:]}" if wrong else ""


@pytest.mark.parametrize("case", SAMPLE, ids=["/".join(case) for case in SAMPLE])
def test_a_sample_of_damages(world, tmp_path, case):
  """Guards against tracebacks and wrong shards from damaged files of a build; the draw is the same each time."""
  assert judged(world, tmp_path / "case", case) == ""


@pytest.mark.exhaustive
@pytest.mark.slow
def test_all_damages(world, tmp_path):
  """Guards as the sample does, with every file and every damage."""
  wrong = {case: why for case in CASES if (why := judged(world, tmp_path / "case", case))}
  print(f"\n{len(CASES) - len(wrong)} of {len(CASES)} held")
  for case, why in wrong.items():
    print("WRONG", "/".join(case), "\n   ", why.replace("\n", "\n    "))
  assert not wrong
