"""Every signal × every phase of every long program: the status that is stated, nothing left, and the same command ends
as if nothing had been.

CI runs a sample, drawn by a seed; `-m exhaustive` runs all of it. `hooks/sitecustomize.py` sends the signals. What
starts other programs (demo, study, launch.local) starts `stand_in.py` here: theirs are rows of their own.
"""

import csv
import dataclasses
import hashlib
import json
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable

import av
import jax
import numpy as np
import optax
import pytest

from dfdetect_jax import methods, schema, signals
from dfdetect_jax.runs import run_config
from dfdetect_jax.runs.checkpoints import Checkpoints
from dfdetect_jax.runs.restore import restore_run
from dfdetect_jax.runs.state import init_state

ROOT = pathlib.Path(__file__).resolve().parents[2]
HERE = pathlib.Path(__file__).parent
TOY = ROOT / "tests" / "toy_method.py"
# "twice" is Ctrl-C and, a moment later, another one.
STATUS = {"SIGINT": 130, "SIGTERM": 75, "SIGKILL": -signal.SIGKILL, "twice": 130}
AT_ONCE_SECONDS = 10.0  # for a second Ctrl-C; on a busy machine, the end of the process counted in
# Of a run they tell times and sessions, not results.
VOLATILE = r"provenance\.json|tensorboard|log\.txt|\.lines$|lock$|/tracks/|source_files\.json|checkpoints|best|profile"


@dataclasses.dataclass(frozen=True)
class Program:
  """A long program.

  Attributes:
    command: its command, given the inputs and the output folder.
    places: module, function and number of the call at which each phase begins.
    done: statuses of a run that ends.
    result: what a run leaves, to be compared.
    stand_in: whether the programs that it starts are stood for.
  """

  command: Callable[[pathlib.Path, pathlib.Path], list[str]]
  places: dict[str, str]
  done: tuple[int, ...] = (0,)
  result: Callable[[pathlib.Path], object] = lambda output: contents(output)
  stand_in: bool = False


def contents(output: pathlib.Path) -> dict[str, str]:
  """Every file with the checksum of its bytes."""
  files = [
    path for path in output.rglob("*") if path.is_file() and not re.search(VOLATILE, str(path)[len(str(output)) :])
  ]
  return {str(path.relative_to(output)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def judged(output: pathlib.Path) -> dict[str, str]:
  """Tables and pages, without the time at which they were made."""
  files = [path for path in output.rglob("*") if path.suffix in (".csv", ".html")]
  return {str(path.relative_to(output)): re.sub(r"\d{4}-\d\d-\d\dT[\d:]+", "", path.read_text()) for path in files}


def lines(output: pathlib.Path) -> dict[str, str]:
  """What the stand-ins wrote."""
  return {str(path.relative_to(output)): path.read_text() for path in output.rglob("*.lines")}


def trained(output: pathlib.Path) -> list:
  """Parameters of the last step, and all metrics."""
  metrics = [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]
  told = [{k: v for k, v in line.items() if not k.startswith("speed/")} for line in metrics]
  arrays = jax.device_get(jax.tree.leaves(restore_run(str(output), "6").variables))
  return [hashlib.sha256(b"".join(np.asarray(x).tobytes() for x in arrays)).hexdigest(), told]


def scored(output: pathlib.Path) -> dict[str, str]:
  return {name: (output / name).read_text() for name in ("scores.csv", "metrics.json")}


BUILT = ("--source=manifest", "--detector=precomputed", "--size=32", "--workers=2")
PROGRAMS = {
  "train": Program(
    lambda given, output: [
      "-m", "dfdetect_jax.train", f"--config={TOY}", f"--workdir={output}", f"--data={given / 'data'}",
      "--config.total_steps=6", "--config.eval_every=3", "--config.checkpoint_every=2", "--config.log_every=1",
      "--config.workers=1",
    ],
    {
      "import": "ml_collections -",
      "start": "dfdetect_jax.training.loop training_videos",
      "restore": "dfdetect_jax.runs.checkpoints Checkpoints.restore",
      "compile": "dfdetect_jax.training.program Program.compile_step",
      "first batch": "dfdetect_jax.training.progress ProgressLine.waiting",
      "step": "dfdetect_jax.training.step_log StepLog.append",
      "validation": "dfdetect_jax.training.validation Validation.__call__",
      "checkpoint": "dfdetect_jax.runs.checkpoints Checkpoints.save",
      "end": "dfdetect_jax.runs.checkpoints Checkpoints.close",
    },
    result=trained,
  ),
  "build": Program(
    lambda given, output: [
      "-m", "data_pipelines.build", *BUILT, f"--manifest={given / 'videos/list.csv'}",
      f"--detections={given / 'videos/boxes.csv'}", f"--output={output}",
    ],
    {
      "import": "cv2 -",
      "start": "data_pipelines.building.duplicates resolve",
      "first batch": "data_pipelines.building.pool Pool._start",
      "step": "data_pipelines.building.pool Pool._hear 3",
      "validation": "data_pipelines.building.finish undone_of",
      "checkpoint": "data_pipelines.building.pool Pool._give 3",
      "end": "data_pipelines.building.retry write_stamps",
    },
  ),
  "perturb": Program(
    lambda given, output: [
      "-m", "data_pipelines.perturb", *BUILT, f"--manifest={given / 'videos/list.csv'}", "--split=train,val",
      f"--detections={given / 'videos/boxes.csv'}", f"--output={output}", "--distortion=blur", "--level=2,3",
    ],
    {
      "import": "cv2 -",
      "start": "data_pipelines.building.build listing_of",
      "first batch": "data_pipelines.building.pool Pool._start",
      "step": "data_pipelines.building.pool Pool._hear 3",
      "validation": "data_pipelines.building.finish undone_of 2",
      "checkpoint": "data_pipelines.building.finish claimed 2",
      "end": "data_pipelines.building.retry write_stamps 2",
    },
  ),
  "synthetic": Program(
    lambda given, output: [
      "-m", "data_pipelines.synthetic", f"--output={output}", "--identities=6", "--frames=4", "--size=96",
      "--compressions=c23", "--workers=2",
    ],
    {
      "import": "cv2 -",
      "start": "data_pipelines.synthetic.dataset _claim",
      "validation": "data_pipelines.synthetic.dataset draw_pairs",
      "first batch": "data_pipelines.synthetic.dataset _run",
      "step": "tqdm.std tqdm.update",
      "checkpoint": "tqdm.std tqdm.update 3",
      "end": "data_pipelines.synthetic.dataset Made.__init__",
    },
  ),
  "evaluate": Program(
    lambda given, output: [
      "-m", "dfdetect_jax.evaluate", f"--workdir={given / 'run'}", f"--data={given / 'data'}", f"--output={output}",
    ],
    {
      "import": "dfdetect_jax.runs.trained_videos -",
      "start": "dfdetect_jax.runs.restore restore_run",
      "first batch": "dfdetect_jax.data.loader test_batches",
      "step": "tqdm.std tqdm.update 5",
      "validation": "dfdetect_jax.evaluation.metrics summarise",
      "checkpoint": "dfdetect_jax.evaluation.scores write_scores",
      "end": "dfdetect_jax.evaluation.scoring write_metrics",
    },
    result=scored,
  ),
  "predict": Program(
    lambda given, output: [
      "-m", "dfdetect_jax.predict", str(given / "videos/good0.mp4"), str(given / "videos/good1.mp4"),
      f"--workdir={given / 'judge'}", "--detector=dlib", f"--report={output}", f"--csv={output / 'all.csv'}",
    ],
    {
      "import": "dfdetect_jax.errors -",
      "start": "dfdetect_jax.prediction.judge prepare",
      "first batch": "dfdetect_jax.prediction.judge judge",
      "step": "dfdetect_jax.prediction.judge _scores",
      "validation": "dfdetect_jax.prediction.outputs Outputs.kept 2",
      "checkpoint": "dfdetect_jax.prediction.outputs Outputs.add",
      "end": "dfdetect_jax.prediction.outputs Outputs.add 2",
    },
    done=(0, 3, 10),
    result=judged,
  ),
  "study run": Program(
    lambda given, output: [
      "-m", "dfdetect_jax.study", "run", "dip_table1", "--demo", f"--workdir={output}", "--steps=4",
    ],
    {
      "import": "dfdetect_jax.studies.settings -",
      "start": "dfdetect_jax.studies.demo make",
      "first batch": "dfdetect_jax.programs run 2",
      "step": "dfdetect_jax.studies.runner Children.run",
      "validation": "dfdetect_jax.studies.runner Children.run 2",
      "checkpoint": "dfdetect_jax.studies.runner write_json",
      "end": "dfdetect_jax.studies.runner clock 3",
    },
    result=lines,
    stand_in=True,
  ),
  "demo": Program(
    lambda given, output: ["-m", "dfdetect_jax.demo", f"--output={output}"],
    {
      "import": "dfdetect_jax.programs -",
      "start": "dfdetect_jax.programs run",
      "first batch": "subprocess Popen.wait",
      "step": "subprocess Popen.wait 3",
      "validation": "dfdetect_jax.programs run 4",
      "checkpoint": "dfdetect_jax.programs run 5",
      "end": "subprocess Popen.wait 7",
    },
    result=lines,
    stand_in=True,
  ),
  "launch.local": Program(
    lambda given, output: [
      "-m", "launch.local", "--processes=2", "--", "dfdetect_jax.train", f"--workdir={output}",
    ],
    {
      "import": "socket -",
      "start": "subprocess Popen.__init__",
      "first batch": "subprocess Popen.__init__ 2",
      "step": "subprocess Popen.poll",
      "validation": "subprocess Popen.poll 2",
      "checkpoint": "subprocess Popen.poll 3",
      "end": "subprocess Popen.poll 5",
    },
    result=lines,
    stand_in=True,
  ),
}  # fmt: skip
CASES = [
  (name, phase, word)
  for name, program in PROGRAMS.items()
  for phase in program.places
  for word in STATUS
  if (phase, word) != ("import", "twice")  # the first one has ended it
]
# Those that start stand-ins end in two seconds.
_QUICK, _OTHERS = ([case for case in CASES if PROGRAMS[case[0]].stand_in == quick] for quick in (True, False))
SAMPLE = [*random.Random(6).sample(_QUICK, 3), *random.Random(6).sample(_OTHERS, 1)]


@pytest.fixture(scope="session")
def given(toy, toy_dataset, randomised, tmp_path_factory) -> pathlib.Path:
  """What the programs are given: videos with boxes, shards, a run with weights, what a demo's study builds."""
  folder = tmp_path_factory.mktemp("given")
  shutil.copytree(toy_dataset, folder / "data")
  (folder / "videos").mkdir()
  with (folder / "videos/list.csv").open("w") as videos, (folder / "videos/boxes.csv").open("w") as boxes:
    listed, found = csv.writer(videos), csv.writer(boxes)
    listed.writerow(("path", "label", "split", "pair"))
    found.writerow(("video", "frame", "x1", "y1", "x2", "y2"))
    for n in range(4):
      _write_video(folder / f"videos/good{n}.mp4", n)
      listed.writerow((f"good{n}.mp4", ("real", "fake")[n % 2], ("train", "val")[n // 2], f"pair{n // 2}"))
      found.writerows((f"good{n}.mp4", frame, 40, 30, 80, 70) for frame in range(0, 20, 5))
  config = toy.get_config()
  method = methods.build(config)
  (folder / "run").mkdir()
  run_config.save_config(folder / "run", config)
  checkpoints = Checkpoints(folder / "run", keep=1)
  checkpoints.save_best(init_state(method, optax.identity(), jax.random.key(0), randomised(method)).replace(step=20))
  checkpoints.close()
  choices = {"detector": "dlib", "align": False, "size": 64, "margin": 1.3, "key-frames": 5}
  (folder / "run/dataset.json").write_text(json.dumps({"schema_version": 2, "choices": choices}))
  shutil.copytree(folder / "run", folder / "judge")  # evaluation keeps its figures with a run, and pages show them
  for compression in ("c23", "c40"):
    _study_data(folder / "study" / compression, compression)
  (folder / "python").write_text(f'#!/bin/sh\nexec {sys.executable} {HERE / "stand_in.py"} "$@"\n')
  (folder / "python").chmod(0o755)
  return folder


def _write_video(path: pathlib.Path, seed: int) -> None:
  """Twenty frames of smooth noise that moves."""
  wide = np.kron(np.random.default_rng(seed).integers(0, 255, (12, 20, 3)), np.ones((8, 8, 1))).astype(np.uint8)
  with av.open(str(path), "w") as output:
    stream = output.add_stream("libx264", rate=25, options={"crf": "10", "preset": "ultrafast"})
    stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
    for n in range(20):
      output.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(wide[:, n : n + 128]), format="rgb24")))
    output.mux(stream.encode(None))


def _study_data(folder: pathlib.Path, compression: str) -> None:
  """A dataset folder without shards: those who would read them are stood for."""
  folder.mkdir(parents=True)
  names = ("original", "Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures")
  tracks = [
    schema.Track(
      video_id=f"synthetic/{name}/{compression}/{split}", split=split, label=int(name != "original"),
      dataset="synthetic", manipulation=name, compression=compression, track=0, first=n, frames=1, first_frame=0,
      fps=25.0, size=64,
    )
    for split in schema.SPLITS for n, name in enumerate(names)
  ]  # fmt: skip
  schema.write_tracks(folder, tracks)
  (folder / "dataset.json").write_text(json.dumps({"schema_version": schema.SCHEMA_VERSION, "choices": {}}))


@dataclasses.dataclass
class Ended:
  """A program that has ended: its status and output, how long that took after the signal, its process id."""

  status: int
  output: str
  seconds: float
  pid: int
  mark: str

  def survivors(self, seconds: float) -> list[str]:
    """Processes that it started, directly or not, and that are still there after some seconds."""
    end = time.monotonic() + seconds
    while (left := _marked(self.mark)) and time.monotonic() < end:
      time.sleep(0.1)
    return left


def _marked(mark: str) -> list[str]:
  found = []
  for entry in pathlib.Path("/proc").glob("[0-9]*"):
    try:
      if mark.encode() in (entry / "environ").read_bytes() and (entry / "cmdline").read_bytes():
        found.append(f"{entry.name} {(entry / 'cmdline').read_bytes().replace(bytes(1), b' ').decode()[:80]}")
    except OSError:
      pass
  return found


def run(given: pathlib.Path, output: pathlib.Path, name: str, phase: str = "", word: str = "") -> Ended:
  """A program from its start to its end, with a signal in a phase or left alone."""
  program, mark = PROGRAMS[name], uuid.uuid4().hex
  environment = {k: v for k, v in os.environ.items() if k not in ("XLA_FLAGS", "JAX_COMPILATION_CACHE_DIR")} | {
    "PYTHONPATH": f"{HERE / 'hooks'}:{ROOT}:{ROOT / 'tests'}", "JAX_NUM_CPU_DEVICES": "1", "PYTHONUNBUFFERED": "1",
    "MARK_OF_THE_CASE": mark, "JAX_COMPILATION_CACHE_DIR": str(given / "xla"), "STUDY_DATA": str(given / "study"),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
  }  # fmt: skip
  if program.stand_in:
    environment["STAND_IN"] = str(given / "python")
  if phase:
    module, function, *n = program.places[phase].split()
    environment["SIGNAL_AT"] = f"{module} {function} {n[0] if n else 1} {word}"
  job = subprocess.Popen(
    [sys.executable, *program.command(given, output)], cwd=ROOT, env=environment, stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True,
  )  # fmt: skip
  said, struck = [], None
  assert job.stdout is not None
  for line in job.stdout:  # to its end, which a survivor of the program may hold open
    said.append(line)
    if "the place is reached" in line:
      struck = time.monotonic()
      if word == "SIGKILL":
        break
  status = job.wait(timeout=300)
  ended = Ended(status, "".join(said), time.monotonic() - (struck or time.monotonic()), job.pid, mark)
  if word == "SIGKILL":  # what survives it may go on for a while
    ended.survivors(30)
    ended.output += job.stdout.read() if not _marked(mark) else ""
  job.stdout.close()
  return ended


def left_behind(output: pathlib.Path, *pids: int) -> list[str]:
  """What no program may leave on the disk or in memory."""
  found = [str(path) for path in output.rglob("*") if path.name.endswith(("partial", ".lock"))]
  shared = [f"/dev/shm{signals._prefix(pid)}" for pid in pids]
  return found + [f"/dev/shm/{name}" for name in os.listdir("/dev/shm") if f"/dev/shm/{name}".startswith(tuple(shared))]


@pytest.fixture(scope="session")
def alone(given, tmp_path_factory) -> Callable[[str], object]:
  """The result of a program that was left alone; each is run once."""
  results: dict[str, object] = {}

  def result_of(name: str) -> object:
    if name not in results:
      output = tmp_path_factory.mktemp("alone") / "output"
      ended = run(given, output, name)
      assert ended.status in PROGRAMS[name].done and "Traceback" not in ended.output, ended.output
      assert not ended.survivors(5) and not left_behind(output, ended.pid)
      results[name] = PROGRAMS[name].result(output)
      assert results[name]
    return results[name]

  return result_of


def wrong(given, alone, output: pathlib.Path, name: str, phase: str, word: str) -> str:
  """What is wrong with how a program took a signal; "" if nothing is."""
  program = PROGRAMS[name]
  expected = alone(name)
  first = run(given, output, name, phase, word)
  if "the place is reached" not in first.output:
    return f"never came there: {first.output[-500:]}"
  # Told to stop in its last step, a program may just as well end.
  if first.status != STATUS[word] and not (phase == "end" and word != "SIGKILL" and first.status in program.done):
    return f"status {first.status}: {first.output[-1500:]}"
  if "Traceback" in first.output or ("leaked" in first.output and word in ("SIGINT", "SIGTERM")):
    return f"traceback: {first.output[-2500:]}"
  if word == "twice" and first.seconds > AT_ONCE_SECONDS:
    return f"ended {first.seconds:.0f} s after the second Ctrl-C: {first.output[-500:]}"
  if survivors := first.survivors(5):
    return f"left processes: {survivors}"
  if word in ("SIGINT", "SIGTERM") and (found := left_behind(output, first.pid)):
    return f"left {found}: {first.output[-500:]}"
  second = run(given, output, name)
  if second.status not in program.done or "Traceback" in second.output:
    return f"does not go on, status {second.status}: {second.output[-1500:]}"
  if found := left_behind(output, first.pid, second.pid):
    return f"still there after the next run: {found}"
  found = program.result(output)
  if found != expected:
    names = [k for k in {**expected, **found} if expected.get(k) != found.get(k)] if isinstance(found, dict) else ""
    return f"ends with another result {names[:5]}"
  return ""


@pytest.mark.slow  # each case starts the program twice
@pytest.mark.parametrize("name, phase, word", SAMPLE, ids=["-".join(case).replace(" ", "_") for case in SAMPLE])
def test_a_sample_of_signals(given, alone, tmp_path, name, phase, word):
  """Guards the stop of programs at drawn moments."""
  assert wrong(given, alone, tmp_path / "output", name, phase, word) == ""


@pytest.mark.exhaustive
@pytest.mark.slow
@pytest.mark.parametrize("name", PROGRAMS)
def test_all_signals_in_all_phases(given, alone, tmp_path, name):
  """Guards as the sample does, with every signal in every phase."""
  found, cases = {}, [case for case in CASES if case[0] == name]
  for case in cases:
    if why := wrong(given, alone, tmp_path / "-".join(case[1:]).replace(" ", "_"), *case):
      found[case] = why
      print("WRONG", case, "\n  ", why, flush=True)
  print(f"\n{name}: {len(cases) - len(found)} of {len(cases)} held", flush=True)
  assert not found
