"""Writes a model as a folder for a model hub: weights, config, a card made from what the run knows of itself.

    model.safetensors   the weights, under our names
    config.json         the config of the run
    dataset.json        how faces were found and cut
    train_videos.csv    what the weights have seen
    reliability.json    the validated threshold and what it rests on, if there is one
    provenance.json     code, packages, shards and steps of the training
    README.md           the model card
    predict.stablehlo   if asked for: clips → logits as a program that runs without this project (jax.export)

`dfdetect_jax.load(FOLDER)` reads it back.
"""

import collections
import pathlib
import shutil

import jax
import jax.export
import jax.numpy as jnp

from dfdetect_jax.errors import UserError, unwritable
from dfdetect_jax.evaluation.calibration import RELIABILITY_FILE, read_reliability
from dfdetect_jax.evaluation.summary import video_level
from dfdetect_jax.files import read_json
from dfdetect_jax.folders import sweep_partial, whole, write_whole
from dfdetect_jax.interop.start import inherited_videos
from dfdetect_jax.runs.exported import write_model
from dfdetect_jax.runs.provenance import PROVENANCE_FILE
from dfdetect_jax.runs.provenance import read_json as read_provenance
from dfdetect_jax.runs.restore import Run, restore_run
from dfdetect_jax.runs.run_config import CONFIG_FILE
from dfdetect_jax.runs.trained_videos import TRAINED_FILE, TrainedVideo, format_trained_videos
from dfdetect_jax.schema import DATASET_FILE, read_dataset_file

CARD_FILE, STABLEHLO_FILE = "README.md", "predict.stablehlo"
_AGAIN = "score again with dfdetect_jax.evaluate"


def export_folder(
  source: str | pathlib.Path,
  target: str | pathlib.Path,
  step: str = "best",
  weights: str | None = None,
  licence: str = "",
  stablehlo: bool = False,
) -> Run:
  """Writes the folder of a model.

  Args:
    source: folder of a run, or of converted weights.
    target: a folder that does not exist yet.
    step: "best", "latest" or the number of a kept step.
    weights: "teacher" or "student"; None: what the method's config says.
    licence: that you share the weights under; the datasets' own terms bind you.
    stablehlo: write the program too.

  Returns:
    The run that was exported.

  Raises:
    UserError: no such checkpoint, or the target exists or cannot be written.
  """
  source, target = pathlib.Path(source), pathlib.Path(target)
  run = restore_run(str(source), step, weights)
  if target.exists():
    raise UserError(f"{target} exists already: choose another folder, or remove it.")
  try:
    sweep_partial(target.parent, target.name)
    with whole(target) as partial:
      partial.mkdir(parents=True)
      write_model(partial, run.variables, run.step, run.weights)
      read_reliability(source, run.step, run.weights)  # nobody should be handed what is damaged
      for name, read in ((DATASET_FILE, read_dataset_file), (PROVENANCE_FILE, read_provenance)):
        if (source / name).exists():
          read(source / name)
      for name in (CONFIG_FILE, DATASET_FILE, RELIABILITY_FILE, PROVENANCE_FILE):
        if (source / name).exists():
          shutil.copy(source / name, partial / name)
      seen, unknown = inherited_videos(source)
      if not unknown:
        write_whole(partial / TRAINED_FILE, format_trained_videos(seen))
      write_whole(partial / CARD_FILE, model_card(run, source, seen, unknown, licence))
      if stablehlo:
        (partial / STABLEHLO_FILE).write_bytes(program(run))
  except OSError as error:
    raise unwritable(target, error) from error
  return run


def program(run: Run) -> bytes:
  """Clips `[B, T, H, W, 3]` uint8 (any B) → logits `[B]` float32, weights included, as serialised StableHLO.

  `jax.export.deserialize(bytes).call(clips)` runs it, with jax and nothing of this project.
  """
  variables = jax.tree.map(jnp.asarray, jax.device_get(run.variables))

  def logits(clips: jax.Array) -> jax.Array:
    return run.method.outputs(variables, clips)["logit"]

  (rows,) = jax.export.symbolic_shape("b")
  clips = jax.ShapeDtypeStruct((rows, *run.method.clip_spec.shape(train=False)), jnp.uint8)
  return bytes(jax.export.export(jax.jit(logits))(clips).serialize())


def model_card(run: Run, source: pathlib.Path, seen: list[TrainedVideo], unknown: str, licence: str) -> str:
  """The card: what it is, what it was trained on, what was measured, what it must not be used for."""
  parameters = sum(x.size for x in jax.tree.leaves(run.variables["params"]))
  lines = [
    "---",
    "library_name: dfdetect_jax",
    "pipeline_tag: video-classification",
    "tags: [deepfake-detection, video, jax, flax]",
    f"license: {licence or 'other'}",
    "---",
    "",
    f"# {run.config.method}, step {run.step} ({run.weights} weights)",
    "",
    f"A detector of forged faces in video, {parameters:,} parameters. It looks at clips of "
    f"{run.method.clip_spec.frames} frames at {run.method.clip_spec.size} pixels.",
    "",
    "```python",
    "import dfdetect_jax",
    "",
    'print(dfdetect_jax.load("FOLDER").predict("video.mp4"))',
    "```",
    "",
    "## Trained on",
    "",
    *_data(seen, unknown),
    "",
    *_training(source),
    "## Measured",
    "",
    *_figures(source, run),
    "",
    "## Limits",
    "",
    "- **Not evidence by itself.** A score is a statement about how alike a video is to the forgeries of training.",
    "- Other kinds of forgery, compression, cameras and people lower its figures, by how much nobody knows beforehand.",
    "- A face that is small, turned away or covered is not judged; a video without a verdict is not a real one.",
    "" if licence else "- Nobody has said under which licence these weights may be used; the datasets' own terms bind.",
  ]
  return "\n".join(lines).rstrip() + "\n"


def _data(seen: list[TrainedVideo], unknown: str) -> list[str]:
  if unknown or not seen:
    return [unknown or "Not known: the weights were converted from a file that does not say."]
  counts = collections.Counter((v.dataset, v.manipulation, v.compression or "-", v.split) for v in seen)
  rows = [f"| {' | '.join(key)} | {count} |" for key, count in sorted(counts.items())]
  return ["| dataset | manipulation | compression | split | videos |", "|---|---|---|---|---|", *rows]


def _training(source: pathlib.Path) -> list[str]:
  path = source / PROVENANCE_FILE
  if not path.is_file():
    return []
  content = read_provenance(path)
  last = content["sessions"][-1]
  commit = last["code"].get("commit") or "unknown"
  return [
    f"{content['step']} steps, seed {content['seed']}, {content['wall_seconds']:.0f} s on "
    f"{last['devices']['count']} x {last['devices']['kind']}; code {commit[:12]}, jax {last['packages'].get('jax')}.",
    "",
  ]


def _figures(source: pathlib.Path, run: Run) -> list[str]:
  """A row for each set that this checkpoint was scored on, by the metrics.json in the run's folder."""
  rows, others = [], []
  for path in sorted(source.glob("*/metrics.json")):
    content = read_json(path, _AGAIN)
    about = content.get("run")
    if not isinstance(about, dict) or (about.get("step"), about.get("weights")) != (run.step, run.weights):
      others.append(path.parent.name)
      continue
    for name, video in video_level(content, path, _AGAIN).items():
      if video.auc is None:
        continue
      ends, seen = video.interval("auc"), (content.get("sets") or {name: content})[name].get("contaminated")
      interval = f" [{ends[0]:.4f}, {ends[1]:.4f}]" if ends else ", no interval"
      mark = f" (CONTAMINATED: {seen} of them seen in training)" if seen else ""
      rows.append(f"| {name} | {video.n}{mark} | {video.auc:.4f}{interval} | {video.acc:.4f} |")
  note = f"Of another checkpoint, and left out: {', '.join(others)}." if others else ""
  if not rows:
    return [f"Nothing yet: no scores of this checkpoint lie in the run's folder. {note}".rstrip()]
  head = ["| set | videos | AUC [95 % interval] | accuracy |", "|---|---|---|---|"]
  return [*head, *rows, "", f"Video level. {note}".rstrip()]
