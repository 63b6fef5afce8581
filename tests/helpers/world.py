"""A run, its data, its scores and what is made of them; every program that reads them, and its right result."""

import dataclasses
import functools
import hashlib
import json
import pathlib
import re
import shutil
from typing import Any

import jax
import numpy as np
import pytest
import safetensors
import safetensors.numpy
import torch
import toy_method
from helpers.damages import call

from data_pipelines import verify
from dfdetect_jax import evaluate, schema, study
from dfdetect_jax.data.videos import VideoSet
from dfdetect_jax.errors import exit_on_user_error
from dfdetect_jax.evaluation import report
from dfdetect_jax.evaluation.scoring import write_metrics
from dfdetect_jax.figures import __main__ as figures
from dfdetect_jax.files import file_sha256, sealed
from dfdetect_jax.interop import checkpoint, convert, export, start
from dfdetect_jax.prediction import judge
from dfdetect_jax.prediction.about import about
from dfdetect_jax.runs import weight_files
from dfdetect_jax.runs.config import override
from dfdetect_jax.studies import collect, registry
from dfdetect_jax.studies.definition import Cell, Study, Training
from dfdetect_jax.studies.settings import Settings
from dfdetect_jax.training import loop

CHOICES = {"detector": "dlib", "align": False, "size": 64, "margin": 1.3, "key-frames": 5}
TOY = VideoSet("toy", "toy", ("DF",), ("c23",))
# The clean set and one distortion, as --protocol=robustness leaves them.
CURVES = {
  name: {"overall": {"video": {"n": 8, "auc": auc, "acc": auc, "undefined": {}}}}
  for name, auc in (("c23", 0.9), ("blur-3", 0.7))
}


@dataclasses.dataclass
class World:
  """A folder with everything, and the right results of the programs by their names.

  Each program takes a folder like it, of which something may be hurt, and returns its exit status (or the traceback),
  its output, and whether its result is right; where no right result is known yet, the result. A result that a warning
  tells of is right, too.
  """

  root: pathlib.Path
  config: Any
  right: dict[str, Any] = dataclasses.field(default_factory=dict)

  def _held(self, name: str, status: int | str, output: str, found: Any) -> tuple[int | str, str, Any]:
    if name not in self.right:
      return status, output, found
    return status, output, found == self.right[name] or "WARNING" in output

  def train(self, root: pathlib.Path):
    """Goes on for two steps from step 6."""
    result = {}

    def program():
      with exit_on_user_error("train"):
        config = override(self.config.copy_and_resolve_references().unlock(), {"data": str(root / "data")})
        config = override(config, {"total_steps": 8})
        result["params"] = jax.device_get(loop.train_and_evaluate(config, root / "run").params)

    status, output = call(program)
    if status == 0 and "train" in self.right:
      same = jax.tree.map(np.array_equal, result["params"], self.right["train"])
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
    if "evaluate" not in self.right:
      return status, output, found
    said, right = str(json.loads((root / "out/metrics.json").read_text())["run"]["step"]), self.right["evaluate"]
    return status, output, found == right.get(said) and (said == right["best"] or "WARNING" in output)

  def verify(self, root: pathlib.Path):
    """Looks for what is wrong with the data; finding it is right."""
    status, output = call(lambda: verify.main([str(root / "data")]))
    return status, output, status in (0, 1) and ("problem" in output) == (status == 1)

  def report(self, root: pathlib.Path):
    """Makes a report of the scores."""

    def program():
      with exit_on_user_error("report"):
        report.main([str(root / "scores/scores.csv"), f"--output={root / 'report'}"])

    status, output = call(program)
    if status != 0:
      return status, output, None
    [file] = json.loads((root / "report/report.json").read_text())["files"].values()
    return self._held("report", status, output, json.dumps(file["summary"], sort_keys=True))

  def predict(self, root: pathlib.Path, place: str = "run"):
    """All that prediction reads of a run before its first video: weights, faces, threshold, what the run has seen."""
    found = {}

    def program():
      with exit_on_user_error("predict"):
        setup = judge.prepare(str(root / place), detector="dlib")
        facts = about(setup)
        arrays = jax.device_get(jax.tree.leaves(setup.run.variables))
        weights = hashlib.sha256(b"".join(np.asarray(x).tobytes() for x in arrays)).hexdigest()
        found["said"] = (weights, setup.faces, dataclasses.asdict(setup.decision), facts.trained_on)

    status, output = call(program)
    status, output, right = self._held("predict", status, output, found.get("said"))
    if "predict" in self.right and found:  # without validation it says so
      right = right or found["said"][2] != self.right["predict"][2]
    return status, output, right

  def model(self, root: pathlib.Path):
    """As `predict`, of an exported model."""
    return self.predict(root, "model")

  def export(self, root: pathlib.Path):
    """Writes the weights as one file."""
    target = root / "exported.safetensors"
    status, output = call(lambda: export.main([f"--from={root / 'run'}", f"--to={target}"]))
    found = {}
    if target.is_file():
      with safetensors.safe_open(target, "numpy") as file:
        found = {name: file.get_tensor(name).tobytes() for name in file.keys()} | (file.metadata() or {})
    return self._held("export", status, output, found)

  def hub(self, root: pathlib.Path):
    """Writes a folder for a model hub; what the run lacks is not in it, and its card does not tell of it."""
    status, output = call(lambda: export.main([f"--from={root / 'run'}", f"--to={root / 'hub'}"]))
    found: dict[str, Any] = {path.name: path.read_bytes() for path in (root / "hub").glob("*")}
    if "model.safetensors" in found:  # whose header's order is drawn
      arrays, text = weight_files.read(root / "hub/model.safetensors")
      found["model.safetensors"] = text, {name: array.tobytes() for name, array in arrays.items()}
    card = {line.replace(str(root), "") for line in found.pop("README.md", b"").decode().splitlines()}
    if "hub" not in self.right:
      return status, output, (found, card)
    files, lines = self.right["hub"]
    return status, output, found.items() <= files.items() and len(card - lines) <= 1 or "WARNING" in output

  def _converted(self, root: pathlib.Path, ending: str):
    """Converts a weight file."""
    file = root / "weights" / f"own.{ending}"
    arguments = [f"--method={toy_method.__file__}", f"--from={file}", f"--to={root / 'made'}"]
    status, output = call(lambda: convert.main(arguments))
    made = checkpoint.read_conversion(root / "made")
    found = {name: array.tobytes() for name, array in made.read().items()} if made and status == 0 else {}
    return self._held("convert_npz", status, output, found)

  convert_safetensors = functools.partialmethod(_converted, ending="safetensors")
  convert_npz = functools.partialmethod(_converted, ending="npz")
  convert_pth = functools.partialmethod(_converted, ending="pth")

  def init(self, root: pathlib.Path):
    """Starts from converted weights."""
    found = []

    def program():
      with exit_on_user_error("train"):
        variables, _ = start.initial_variables(root / "converted", toy_method.get_config(), jax.random.key(0))
        found.extend(np.asarray(x).tobytes() for x in jax.tree.leaves(variables))
        found.append(start.inherited_videos(root / "converted"))

    status, output = call(program)
    told = bool(found) and isinstance(found[-1], tuple) and bool(found[-1][1])  # what is not known is said
    status, output, right = self._held("init", status, output, found)
    return status, output, right or ("init" in self.right and found[:-1] == self.right["init"][:-1] and told)

  def figures(self, root: pathlib.Path):
    """Draws of shards, and of scores."""
    given = [f"--data={root / 'data'}", f"--scores={root / 'scores/scores.csv'}"]
    return self._drawn("figures", root, ["st_ilif_figure2", "dip_figure10", *given])

  def curves(self, root: pathlib.Path):
    """Draws a run's robustness."""
    return self._drawn("curves", root, ["dip_figure6", f"--workdir={root / 'run'}"])

  def _drawn(self, name: str, root: pathlib.Path, arguments: list[str]):
    status, output = call(lambda: figures.main([*arguments, f"--output={root / 'figures'}"]))
    found = {path.name: path.read_text().replace(str(root), "") for path in (root / "figures").glob("*.json")}
    return self._held(name, status, output, found)

  def collect(self, root: pathlib.Path):
    """Gathers a study of two seeds; where it finds fewer than it looks for, it says so."""
    for cached in (collect._read, collect._resampled):  # by path: the case before had the same
      cached.cache_clear()
    status, output = call(lambda: study.main(["collect", "toy_table", f"--workdir={root / 'study'}"]))
    found = (root / "study/pages/toy_table.csv").read_text() if status == 0 else ""
    status, output, right = self._held("collect", status, output, found)
    if "collect" in self.right and status == 0 and not right:  # both seeds have the same scores
      [mine, whole] = (text.splitlines()[1].split(",")[4] for text in (found, self.right["collect"]))
      page = (root / "study/pages/toy_table.html").read_text()
      right = mine == whole and bool(re.search(r"\d of \d seeds", page))
    return status, output, right


def make_world(toy_dataset: pathlib.Path, root: pathlib.Path, patch: pytest.MonkeyPatch) -> World:
  """Six steps of the toy, its data as a build leaves them, its scores, and what is made of them; nothing is hurt."""
  shutil.copytree(toy_dataset, root / "data")
  shards = [
    {"file": path.name, "bytes": path.stat().st_size, "sha256": file_sha256(path), "records": 0}
    for path in sorted((root / "data").glob("faces-*"))
  ]
  for split in json.loads((root / "data/dataset_info.json").read_text())["splits"]:
    own = [shard for shard in shards if f"-{split['name']}." in shard["file"]]
    for shard, length in zip(own, split["shardLengths"], strict=True):
      shard["records"] = int(length)
  files = {name: file_sha256(root / "data" / name) for name in (schema.TRACKS_FILE, schema.FAILURES_FILE)}
  content = {"schema_version": schema.SCHEMA_VERSION, "size": 64, "choices": CHOICES, "shards": shards, "files": files}
  (root / "data/dataset.json").write_text(json.dumps(sealed(content)))
  config = override(toy_method.get_config().unlock(), {"data": str(root / "data"), "total_steps": 6, "eval_every": 3})
  config = override(config, {"checkpoint_every": 3, "log_every": 1})
  world = World(root, config)
  with jax.numpy_dtype_promotion("standard"):
    loop.train_and_evaluate(config, root / "run")
  scores: dict[str, Any] = {}
  for step in ("best", "3", "6"):
    status, output, scores[step] = world.evaluate(root, step)
    assert status == 0, (status, output)
    if step == "best":
      said = str(json.loads((root / "out/metrics.json").read_text())["run"]["step"])
      shutil.copytree(root / "out", root / "scores")
      shutil.copytree(root / "out", root / "run/clean")
  world.right["evaluate"] = {"3": scores["3"], "6": scores["6"], said: scores["best"], "best": said}
  status, output = call(lambda: evaluate.main([f"--workdir={root / 'run'}", f"--data={root / 'data'}", "--split=val"]))
  assert status == 0, (status, output)
  (root / "run/robustness").mkdir()
  write_metrics(root / "run/robustness", {"protocol": "robustness", "sets": CURVES})
  _derive(world, patch)
  for name in ("train", "report", "predict", "export", "hub", "convert_npz", "init", "figures", "curves", "collect"):
    copy = root.with_name(f"right_{name}")
    shutil.copytree(root, copy)
    with jax.numpy_dtype_promotion("standard"):
      status, output, found = getattr(world, name)(copy)
    assert status == 0 and found, (name, status, output)
    world.right[name] = found
    shutil.rmtree(copy)
  return world


def _derive(world: World, patch: pytest.MonkeyPatch) -> None:
  """What is made of the run and of its scores."""
  root = world.root
  for target in ("model", "own.safetensors"):
    status, output = call(lambda target=target: export.main([f"--from={root / 'run'}", f"--to={root / target}"]))
    assert status == 0, (status, output)
  (root / "weights").mkdir()
  (root / "own.safetensors").rename(root / "weights/own.safetensors")
  arrays = safetensors.numpy.load_file(root / "weights/own.safetensors")
  np.savez(root / "weights/own.npz", **arrays)
  torch.save({name: torch.from_numpy(array) for name, array in arrays.items()}, root / "weights/own.pth")
  arguments = [f"--from={root / 'weights/own.safetensors'}", f"--to={root / 'converted'}"]
  status, output = call(lambda: convert.main([f"--method={toy_method.__file__}", *arguments]))
  assert status == 0, (status, output)
  toy = Training(toy_method.__file__, TOY)
  table = Study("toy_table", "a width", "nobody, Table 0", (Cell("plain", "toy", 95.0, parts=((toy, TOY),)),), ())
  patch.setitem(registry.STUDIES, table.name, table)
  settings = Settings(root / "study", seeds=(0, 1))
  settings.save()
  for seed in settings.seeds:
    run = settings.run_folder(settings.recipe(toy), seed)
    shutil.copytree(root / "scores", run / "scores/clean/toy")
    for name in ("config.json", "provenance.json"):
      shutil.copy(root / "run" / name, run / name)
  status, output = call(lambda: study.main(["collect", "toy_table", f"--workdir={root / 'study'}"]))  # networks.json
  assert status == 0, (status, output)
  shutil.rmtree(root / "study/pages")
