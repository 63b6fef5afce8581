"""What a verdict rests on: the run, what it was trained on and selected by, how good it was on its tests."""

import collections
import dataclasses
from collections.abc import Sequence
from typing import Any

from dfdetect_jax.evaluation.calibration import Decision, Reliability
from dfdetect_jax.folders import as_folder
from dfdetect_jax.prediction.clips import Dense
from dfdetect_jax.prediction.judge import Judge
from dfdetect_jax.runs import provenance
from dfdetect_jax.runs.trained_videos import TrainedVideo, trained_videos

_PACKAGES = ("jax", "flax", "numpy")


@dataclasses.dataclass(frozen=True)
class About:
  """The judge, for a person.

  Attributes:
    workdir, method, step, weights, checkpoint: which model.
    trained_on: one line.
    decision: how scores become verdicts.
    reliability: validation scores and test figures of this checkpoint.
    over_tracks: `max` or `mean`.
    dense: clips beside the method's own.
    rows: (what, value) of everything that computed.
  """

  workdir: str
  method: str
  step: int
  weights: str
  checkpoint: str
  trained_on: str
  decision: Decision
  reliability: Reliability
  over_tracks: str
  dense: Dense
  rows: tuple[tuple[str, str], ...]

  def to_json(self) -> dict[str, Any]:
    """All of it but the validation's single scores."""
    content = dataclasses.asdict(self)
    validation = content["reliability"]["validation"]
    if validation:
      validation["labels"] = {"real": validation["labels"].count(0), "fake": validation["labels"].count(1)}
      del validation["scores"]
    return content | {"rows": dict(self.rows)}


def about(setup: Judge) -> About:
  """Gathers what is known of a judge's run."""
  run, folder = setup.run, as_folder(setup.workdir)
  path = folder / provenance.PROVENANCE_FILE
  trained = provenance.read_json(path) if path.is_file() else None
  return About(
    workdir=setup.workdir,
    method=run.config.method,
    step=run.step,
    weights=run.weights,
    checkpoint=run.checkpoint,
    trained_on=describe_training(trained_videos(folder, run.config)),
    decision=setup.decision,
    reliability=setup.reliability,
    over_tracks=setup.over_tracks,
    dense=setup.dense,
    rows=tuple(_rows(setup, trained, provenance.environment())),
  )


def describe_training(videos: Sequence[TrainedVideo] | None) -> str:
  """One line on the videos that a run has seen; None: nobody knows."""
  if not videos:
    return "unknown: the run has no list of its training videos, and its shards are gone"
  seen, parts = [v for v in videos if v.split == "train"], []
  for dataset in sorted({v.dataset for v in seen}):
    own = [v for v in seen if v.dataset == dataset]
    count = collections.Counter(v.label for v in own)
    forgeries = ", ".join(sorted({v.manipulation for v in own if v.label == 1 and v.manipulation}))
    compressions = ", ".join(sorted({v.compression for v in own if v.compression}))
    kinds = "; ".join(part for part in (forgeries, compressions) if part)
    of = dataset or "an unnamed dataset"
    parts.append(f"{count[0]} real and {count[1]} forged videos of {of}" + (f" ({kinds})" if kinds else ""))
  validated = sum(v.split == "val" for v in videos)
  return "; ".join(parts) + (f"; {validated} others for validation" if validated else "")


def _rows(setup: Judge, trained: dict | None, here: dict) -> list[tuple[str, str]]:
  run, spec = setup.run, setup.run.method.clip_spec
  clip = f"{spec.frames} frames of {spec.size} px"
  if spec.snippets:
    clip = f"{spec.test_snippets or spec.snippets} snippets of {clip}"
  rows = [
    ("model", f"{run.config.method}, step {run.step} ({run.weights}), {run.checkpoint or setup.workdir}"),
    ("clips", clip),
    ("faces", f"{setup.detector.version}, cut out at {setup.faces.margin} x the box"),
  ]
  if trained is None:
    rows.append(("trained", f"unknown: {setup.workdir} has no {provenance.PROVENANCE_FILE}"))
  else:
    first, last = trained["sessions"][0], trained["sessions"][-1]
    shards = {s["data"]["sha256"][:12]: s["data"]["path"] for s in trained["sessions"]}
    rows += [
      ("config", f"sha256 {trained['config_sha256'][:12]}, seed {trained['seed']}"),
      ("training shards", "; ".join(f"{path} (sha256 {sha256})" for sha256, path in shards.items())),
      ("trained", f"{first['started']}, {last['last_step']} steps, {provenance.describe_code(last['code'])}"),
    ]
  packages = ", ".join(f"{name} {version}" for name, version in here["packages"].items() if name in _PACKAGES)
  devices = f"{here['devices']['count']} x {here['devices']['kind']}"
  return [*rows, ("judged", f"{provenance.now()}, {provenance.describe_code(here['code'])}, {packages}, on {devices}")]
