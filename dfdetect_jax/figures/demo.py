"""Material for every figure from nothing: generated people, and a short training of each network that is drawn."""

import pathlib

from dfdetect_jax import programs
from dfdetect_jax.figures.figure import Material
from dfdetect_jax.schema import DATASET_FILE

IDENTITIES, FRAMES = 12, 48
NOTE = (
  "Drawn of generated people and of small networks trained on them for a moment: these pictures show that the figures "
  "are drawn, and nothing about real deepfakes."
)


def make(folder: pathlib.Path, methods: list[str], steps: int) -> Material:
  """Makes what is not there yet, by the commands that a user would type; what `dfdetect_jax.demo` made is taken.

  Args:
    folder: of the demo.
    methods: whose runs are needed.
    steps: of their trainings.

  Raises:
    UserError: a command failed.
  """
  videos, shards = folder / "videos", folder / "shards"
  if not (shards / DATASET_FILE).is_file():
    programs.run(
      "data_pipelines.synthetic", f"--output={videos}", f"--identities={IDENTITIES}", f"--frames={FRAMES}",
      "--compressions=c23",
    )  # fmt: skip
    programs.run("data_pipelines.build", "--source=synthetic", f"--root={videos}", f"--output={shards}", "--size=112")
  workdirs = []
  for method in methods:
    workdir = folder / "run" if method == "dip" else folder / f"run_{method}"
    if not any(workdir.glob("best/*")):
      programs.run(
        "dfdetect_jax.train", f"--config=configs/{method}.py:small", f"--workdir={workdir}", f"--data={shards}",
        f"--config.total_steps={steps}", f"--config.eval_every={steps}", f"--config.checkpoint_every={steps}",
        f"--config.log_every={max(1, steps // 4)}", "--config.workers=0",
      )  # fmt: skip
    workdirs.append(str(workdir))
  scores = folder / "test" / "scores.csv"
  if workdirs and not scores.is_file():
    programs.run("dfdetect_jax.evaluate", f"--workdir={workdirs[0]}", f"--data={shards}", f"--output={scores.parent}")
  return Material(str(shards), (), workdirs, str(scores) if scores.is_file() else "")
