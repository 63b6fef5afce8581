"""A trained detector as a Python object: what `dfdetect_jax.load` gives."""

import dataclasses
import functools
import os
import pathlib
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from dfdetect_jax.errors import UserError
from dfdetect_jax.evaluation.evaluator import make_predictor
from dfdetect_jax.methods.method import ClipSpec
from dfdetect_jax.runs.restore import Run, restore_run

if TYPE_CHECKING:
  import flax.linen as nn
  import ml_collections

  from dfdetect_jax.evaluation.scores import VideoScore
  from dfdetect_jax.evaluation.summary import Summary
  from dfdetect_jax.prediction.verdict import VideoVerdict


@dataclasses.dataclass(frozen=True, eq=False)
class Detector:
  """A restored run: judges videos, scores clips, and gives everything that its model computes.

  Attributes:
    folder: it was loaded from.
    run: config, method, mesh, variables, step.
  """

  folder: pathlib.Path
  run: Run
  _judges: dict[tuple, Any] = dataclasses.field(default_factory=dict, init=False, repr=False)

  @property
  def model(self) -> "nn.Module":
    """The Linen module: `model.apply(variables, clips)` gives the dict of named outputs."""
    return self.run.method.model

  @property
  def variables(self) -> Any:
    """The weights, float32, as `model.apply` takes them."""
    return self.run.variables

  @property
  def clip_spec(self) -> ClipSpec:
    """Which clips the detector looks at: frames, snippets, size."""
    return self.run.method.clip_spec

  @property
  def config(self) -> "ml_collections.ConfigDict":
    """The config that it was trained with."""
    return self.run.config

  def predict(self, video: str | os.PathLike, **options: Any) -> "VideoVerdict":
    """Judges a video, as the program `dfdetect_jax.predict` does.

    Args:
      video: the file.
      **options: of `dfdetect_jax.prediction.judge.prepare`: threshold, over_tracks, max_tracks, dense, …

    Returns:
      The verdict; a video that cannot be judged has status "failed" and a reason.

    Raises:
      UserError: an option cannot be, or the run does not know how its faces were cut.
    """
    from dfdetect_jax.prediction.judge import judge, prepare  # finding faces takes its time to import

    key = tuple(sorted(options.items()))
    if key not in self._judges:
      self._judges[key] = prepare(os.fspath(self.folder), run=self.run, **options)
    return judge(self._judges[key], os.fspath(video))

  def score(self, clips: np.ndarray | jax.Array) -> np.ndarray:
    """Probability of "fake" of clips.

    Args:
      clips: `[B, T, H, W, 3]` (`[B, U, T, H, W, 3]` for methods with snippets), uint8 or float, RGB on the scale 0-255;
        face crops cut as for training. One clip without the batch axis is taken too.

    Returns:
      float64 `[B]` in [0, 1].

    Raises:
      UserError: another shape, or another range of values.
    """
    return np.asarray(self._predict(self.variables, self._checked(clips)), np.float64)

  def outputs(self, clips: np.ndarray | jax.Array) -> dict[str, np.ndarray]:
    """Everything that the model returns for clips, by name: `logit`, features, the maps that its paper draws.

    Args:
      clips: see `score`.

    Raises:
      UserError: see `score`.
    """
    found = self._apply(self.variables, self._checked(clips))
    return {name: np.asarray(value) for name, value in found.items() if value is not None}

  def evaluate(self, data: str | os.PathLike, split: str = "test", leaks: str = "refuse") -> "Evaluation":
    """Scores every video of a split once, as the program `dfdetect_jax.evaluate` does.

    Args:
      data: dataset folder made by data_pipelines.build.
      split: train, val or test.
      leaks: videos that the run has seen: "refuse" to go on, "drop" them, or "keep" them.

    Raises:
      UserError: the folder or split does not exist, or the run has seen some of its videos.
    """
    from dfdetect_jax.evaluation import metrics, scoring, statistics

    scores, about = scoring.score_unseen(self.run, self._predict, self.folder, pathlib.Path(data), split, leaks=leaks)
    return Evaluation(scores, metrics.summarise(scores, "half", None, statistics.bootstrap_intervals), about.left_out)

  @functools.cached_property
  def _predict(self):
    return make_predictor(self.run.method, self.run.mesh)

  @functools.cached_property
  def _apply(self):
    return jax.jit(functools.partial(self.model.apply, train=False))

  def _checked(self, clips: np.ndarray | jax.Array) -> jax.Array:
    want = self.clip_spec.shape(train=False)
    if np.ndim(clips) == len(want):
      clips = clips[None]
    axes = "[B, U, T, H, W, 3]" if self.clip_spec.snippets else "[B, T, H, W, 3]"
    # U may differ at test: a method with snippets takes any number of them.
    same = np.shape(clips)[-4:] == want[-4:] and np.ndim(clips) == len(want) + 1
    if not same:
      raise UserError(
        f"clips of shape {list(np.shape(clips))} are not what this detector looks at: {axes} = [B, "
        f"{', '.join(map(str, want))}], face crops as data_pipelines.build cuts them."
      )
    if np.issubdtype(clips.dtype, np.floating):
      low, high = float(jnp.min(clips)), float(jnp.max(clips))
      if not (0 <= low and 1 < high <= 255):
        raise UserError(
          f"clips with values from {low:g} to {high:g}: this detector takes RGB on the scale 0-255 (uint8, or float) "
          "and normalises by itself."
        )
    elif clips.dtype != np.uint8:
      raise UserError(f"clips of dtype {clips.dtype}: this detector takes uint8, or float on the scale 0-255.")
    return jnp.asarray(clips)


@dataclasses.dataclass(frozen=True)
class Evaluation:
  """What a detector makes of a split.

  Attributes:
    scores: one row per video, those that could not be scored included; `evaluation.scores.write_scores` keeps them.
    summary: the figures of metrics.json: `summary.overall.video.auc`, and by manipulation, dataset, compression.
    left_out: ids of the videos that were not scored because the run has seen them.
  """

  scores: "list[VideoScore]"
  summary: "Summary"
  left_out: set[str]


def load(folder: str | os.PathLike, step: str = "best", weights: str | None = None) -> Detector:
  """Loads a detector.

      detector = dfdetect_jax.load("runs/dip")
      verdict = detector.predict("video.mp4")

  Args:
    folder: of a run (`dfdetect_jax.train --workdir`), of converted weights, or an exported model
      (`dfdetect_jax.interop.export --to=DIR`); `hf://OWNER/NAME` is fetched from the Hugging Face hub.
    step: "best" (by validation), "latest", or the number of a kept step.
    weights: "teacher" or "student"; None: what the config says.

  Raises:
    UserError: the folder holds nothing of the kind.
  """
  folder = os.fspath(folder)
  if folder.startswith("hf://"):
    folder = _fetched(folder.removeprefix("hf://"))
  return Detector(pathlib.Path(folder), restore_run(folder, step, weights))


def _fetched(name: str) -> str:
  """The folder that a model of the Hugging Face hub lies in on this machine."""
  try:
    import huggingface_hub
  except ModuleNotFoundError as error:
    raise UserError(f"hf://{name}: models of the hub need: pip install 'dfdetect_jax[hub]'") from error
  try:
    return huggingface_hub.snapshot_download(name)
  except (OSError, ValueError) as error:  # no network, no such model, no permission
    raise UserError(
      f"hf://{name} cannot be fetched ({error}): check its name, or sign in with 'hf auth login'."
    ) from error
