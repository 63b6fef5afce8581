"""Every file × every damage × every program that reads it: a right result, or a sentence that names the file.

Never a traceback, never a wrong number. CI runs a sample, drawn by a seed; `-m exhaustive` runs all of it.
"""

import dataclasses
import hashlib
import itertools
import json
import pathlib
import random
import shutil

import jax
import numpy as np
import pytest
import safetensors
from helpers.damages import DAMAGES, call, file_of

from data_pipelines import verify
from dfdetect_jax import evaluate, schema
from dfdetect_jax.errors import exit_on_user_error
from dfdetect_jax.evaluation import report
from dfdetect_jax.files import file_sha256, sealed
from dfdetect_jax.interop import export
from dfdetect_jax.prediction import judge
from dfdetect_jax.prediction.about import about
from dfdetect_jax.runs.config import override
from dfdetect_jax.training import loop

# --- what is hurt -----------------------------------------------------------------------------------------------------

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
CHOICES = {"detector": "dlib", "align": False, "size": 64, "margin": 1.3, "key-frames": 5}
SCORE_FILES = ("scores.csv", "provenance.json")


# --- what reads it ----------------------------------------------------------------------------------------------------


@dataclasses.dataclass
class World:
  """A run, its data and its scores, and the right results of the programs."""

  root: pathlib.Path
  config: object
  scores: dict[str, dict] = dataclasses.field(default_factory=dict)
  params: object = None
  report: str = ""
  judge: tuple | None = None
  exported: dict = dataclasses.field(default_factory=dict)

  def train(self, root: pathlib.Path):
    """Goes on for two steps from step 6; returns what is wrong with a result that came without a sentence."""
    result = {}

    def program():
      with exit_on_user_error("train"):
        config = override(self.config.copy_and_resolve_references().unlock(), {"data": str(root / "data")})
        config = override(config, {"total_steps": 8})
        result["params"] = jax.device_get(loop.train_and_evaluate(config, root / "run").params)

    status, output = call(program)
    if status == 0 and self.params is not None:
      same = jax.tree.map(np.array_equal, result["params"], self.params)
      return status, output, all(jax.tree.leaves(same))
    return status, output, result.get("params")

  def evaluate(self, root: pathlib.Path, step: str = "best"):
    """Scores the test split; right are the scores of the step that it says, and of another than the best only aloud."""
    arguments = [f"--workdir={root / 'run'}", f"--data={root / 'data'}", f"--output={root / 'out'}", f"--step={step}"]
    status, output = call(lambda: evaluate.main(arguments))
    if status != 0:
      return status, output, None
    found = {}
    for row in (root / "out/scores.csv").read_text().splitlines()[1:]:
      found[row.split(",")[0]] = row
    if not self.scores:
      return status, output, found
    said = json.loads((root / "out/metrics.json").read_text())["run"]["step"]
    right = found == self.scores.get(str(said)) and (str(said) == self.scores["best"] or "WARNING" in output)
    return status, output, right

  def verify(self, root: pathlib.Path):
    """Looks for what is wrong with the data; finding it is right."""
    status, output = call(lambda: verify.main([str(root / "data")]))
    return status, output, status in (0, 1) and ("problem" in output) == (status == 1)

  def reads(self, root: pathlib.Path):
    """Makes a report of the scores."""

    def program():
      with exit_on_user_error("report"):
        report.main([str(root / "scores/scores.csv"), f"--output={root / 'report'}"])

    status, output = call(program)
    if status != 0:
      return status, output, None
    [file] = json.loads((root / "report/report.json").read_text())["files"].values()
    figures = json.dumps(file["summary"], sort_keys=True)
    return status, output, (figures == self.report or "WARNING" in output) if self.report else figures

  def predict(self, root: pathlib.Path):
    """All that prediction reads of a run before its first video: weights, faces, threshold, what the run has seen."""
    found = {}

    def program():
      with exit_on_user_error("predict"):
        setup = judge.prepare(str(root / "run"), detector="dlib")
        facts = about(setup)
        arrays = jax.device_get(jax.tree.leaves(setup.run.variables))
        weights = hashlib.sha256(b"".join(np.asarray(x).tobytes() for x in arrays)).hexdigest()
        found["said"] = (weights, setup.faces, dataclasses.asdict(setup.decision), facts.trained_on)

    status, output = call(program)
    if self.judge is None:
      return status, output, found.get("said")
    told = "WARNING" in output or found.get("said", ((),) * 4)[2] != self.judge[2]  # without validation it says so
    return status, output, found.get("said") == self.judge or told

  def export(self, root: pathlib.Path):
    """Writes the weights as one file."""
    target = root / "exported.safetensors"
    status, output = call(lambda: export.main([f"--from={root / 'run'}", f"--to={target}"]))
    found = {}
    if target.is_file():
      with safetensors.safe_open(target, "numpy") as file:
        found = {name: file.get_tensor(name).tobytes() for name in file.keys()} | (file.metadata() or {})
    if not self.exported:
      return status, output, found
    return status, output, found == self.exported or "WARNING" in output


PROGRAMS = {
  "train": ("train", RUN_FILES[:5] + RUN_FILES[9:], DATA_FILES[:7]),
  "evaluate": ("evaluate", RUN_FILES[:4] + RUN_FILES[5:9], (*DATA_FILES[:5], DATA_FILES[7])),
  "verify": ("verify", (), DATA_FILES),
  "report": ("reads", (), ()),
  "predict": ("predict", (*RUN_FILES[:4], "reliability.json", *RUN_FILES[5:9]), ()),
  "export": ("export", (*RUN_FILES[:3], *RUN_FILES[5:9]), ()),
}
CASES = [
  *(("run", file, damage, name) for name, (_, run, _) in PROGRAMS.items() for file in run for damage in DAMAGES),
  *(("data", file, damage, name) for name, (_, _, data) in PROGRAMS.items() for file in data for damage in DAMAGES),
  *(("scores", file, damage, "report") for file, damage in itertools.product(SCORE_FILES, DAMAGES)),
]
SAMPLE = random.Random(16).sample(CASES, 12)


@pytest.fixture(scope="module")
def world(toy, toy_dataset, tmp_path_factory) -> World:
  """Six steps of the toy, its data as a build leaves them, its scores; nothing of it is hurt."""
  root = tmp_path_factory.mktemp("world")
  shutil.copytree(toy_dataset, root / "data")
  shards = [
    {"file": path.name, "bytes": path.stat().st_size, "sha256": file_sha256(path), "records": 0}
    for path in sorted((root / "data").glob("faces-*"))
  ]
  counts = {s: json.loads((root / "data/dataset_info.json").read_text())["splits"] for s in ("all",)}["all"]
  for split in counts:
    own = [shard for shard in shards if f"-{split['name']}." in shard["file"]]
    for shard, length in zip(own, split["shardLengths"], strict=True):
      shard["records"] = int(length)
  files = {name: file_sha256(root / "data" / name) for name in (schema.TRACKS_FILE, schema.FAILURES_FILE)}
  content = {"schema_version": schema.SCHEMA_VERSION, "size": 64, "choices": CHOICES, "shards": shards, "files": files}
  (root / "data/dataset.json").write_text(json.dumps(sealed(content)))
  config = override(toy.get_config().unlock(), {"data": str(root / "data"), "total_steps": 6, "eval_every": 3})
  config = override(config, {"checkpoint_every": 3, "log_every": 1})
  world = World(root, config)
  with jax.numpy_dtype_promotion("standard"):
    loop.train_and_evaluate(config, root / "run")
    shutil.copytree(root, root.with_name("goes_on"))
    status, output, world.params = world.train(root.with_name("goes_on"))
    assert status == 0 and world.params is not None, (status, output)
  scores = {}
  for step in ("best", "3", "6"):
    status, output, scores[step] = world.evaluate(root, step)
    assert status == 0, (status, output)
    if step == "best":
      scores["said"] = str(json.loads((root / "out/metrics.json").read_text())["run"]["step"])
      shutil.copytree(root / "out", root / "scores")
  world.scores = {"3": scores["3"], "6": scores["6"], scores["said"]: scores["best"], "best": scores["said"]}
  status, output = call(lambda: evaluate.main([f"--workdir={root / 'run'}", f"--data={root / 'data'}", "--split=val"]))
  assert status == 0, (status, output)
  status, output, world.judge = world.predict(root)
  assert status == 0 and world.judge, (status, output)
  status, output, world.exported = world.export(root)
  assert status == 0 and world.exported, (status, output)
  status, output, world.report = world.reads(root)
  assert status == 0 and "auc" in world.report, (status, output)
  return world


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
    status, output, right = getattr(world, PROGRAMS[program][0])(root)
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
