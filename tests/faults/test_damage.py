"""Every file × every damage × every program that reads it: a right result, or a sentence that names the file.

Never a traceback, never a wrong number. CI runs a sample, drawn by a seed; `-m exhaustive` runs all of it.
"""

import pathlib
import random
import shutil

import jax
import pytest
from helpers.damages import DAMAGES, file_of
from helpers.world import World

RUN_FILES = (
  "config.json", "provenance.json", "train_videos.csv", "dataset.json", "metrics.jsonl", "best/*/params",
  "best/*/teacher", "best/*/model_state", "best/*/checksums.json", "checkpoints/6/params", "checkpoints/6/teacher",
  "checkpoints/6/opt_state", "checkpoints/6/run", "checkpoints/6/checksums.json", "checkpoints/6/_CHECKPOINT_METADATA",
)  # fmt: skip
DATA_FILES = (
  "dataset.json", "tracks.jsonl", "failures.csv", "features.json", "dataset_info.json",
  "faces-train.array_record-00000-of-00002", "faces-val.array_record-00001-of-00002",
  "faces-test.array_record-00000-of-00002",
)  # fmt: skip
SCORE_FILES = ("scores.csv", "provenance.json")
PAPERS, BEST = (*RUN_FILES[:4], "reliability.json"), RUN_FILES[5:9]
SEED = "trainings/*/seed1"
# program -> the folders of a world that it reads, with their files
PROGRAMS = {
  "train": {"run": RUN_FILES[:5] + RUN_FILES[9:], "data": DATA_FILES[:7]},
  "evaluate": {"run": RUN_FILES[:4] + BEST, "data": (*DATA_FILES[:5], DATA_FILES[7])},
  "verify": {"data": DATA_FILES},
  "report": {"scores": SCORE_FILES},
  "predict": {"run": PAPERS + BEST},
  "export": {"run": RUN_FILES[:3] + BEST},
  "hub": {"run": (*PAPERS, "clean/metrics.json", *BEST)},
  "model": {"model": (*PAPERS, "model.safetensors")},
  "convert_safetensors": {"weights": ("own.safetensors",)},
  "convert_npz": {"weights": ("own.npz",)},
  "convert_pth": {"weights": ("own.pth",)},
  "init": {"converted": ("conversion.json", "source.safetensors", "config.json", "train_videos.csv")},
  "figures": {"data": (*DATA_FILES[:2], *DATA_FILES[3:5], DATA_FILES[7]), "scores": SCORE_FILES},
  "curves": {"run": (RUN_FILES[0], "robustness/metrics.json", *BEST)},
  "collect": {
    "study": ("study.json", "networks.json", f"{SEED}/provenance.json", f"{SEED}/scores/clean/toy/scores.csv",
              f"{SEED}/scores/clean/toy/provenance.json"),
  },
}  # fmt: skip
CASES = [
  (place, file, damage, name)
  for name, reads in PROGRAMS.items() for place, files in reads.items() for file in files for damage in DAMAGES
]  # fmt: skip
SAMPLE = random.Random(16).sample(CASES, 14)


def judged(world: World, root: pathlib.Path, case: tuple[str, str, str, str]) -> str:
  """What is wrong with how a program took a damage; "" if nothing is."""
  place, name, damage, program = case
  draw = random.Random(str(case))
  if root.exists():
    shutil.rmtree(root)
  shutil.copytree(world.root, root, ignore=shutil.ignore_patterns("out", "report"))
  path = file_of(root / place, name, draw)
  DAMAGES[damage](path, draw)
  with jax.numpy_dtype_promotion("standard"):
    status, output, right = getattr(world, program)(root)
  if isinstance(status, str):
    return f"traceback: {status[-600:]}"
  if status == 2:
    named = [str(path), path.name, name.split("/")[-1], str(root / place), "checkpoint", "shard"]
    last = [line for line in output.splitlines() if "error:" in line]
    return "" if last and any(word in output for word in named) else f"no sentence that names it: {output[-400:]}"
  return "" if status in (0, 1) and right else f"status {status}, wrong result: {output[-400:]}"


@pytest.mark.slow  # each case is a program
@pytest.mark.parametrize("case", SAMPLE, ids=["/".join(case) for case in SAMPLE])
def test_a_sample_of_damages(world, tmp_path, case):
  """Guards against tracebacks and wrong numbers from damaged files; the draw is the same each time."""
  assert judged(world, tmp_path / "case", case) == ""


@pytest.mark.exhaustive
@pytest.mark.slow  # so that a -m of one's own leaves it out too
@pytest.mark.parametrize("program", PROGRAMS)
def test_all_damages(world, tmp_path, program):
  """Guards as the sample does, with every file and every damage."""
  cases = [case for case in CASES if case[-1] == program]
  wrong = {case: why for case in cases if (why := judged(world, tmp_path / "case", case))}
  print(f"\n{program}: {len(cases) - len(wrong)} of {len(cases)} held")
  for case, why in wrong.items():
    print("WRONG", "/".join(case), "\n   ", why.replace("\n", "\n    "))
  assert not wrong
