"""Features in the plane by t-SNE, by dataset and manipulation (DIP Fig. 9)."""

import numpy as np

from dfdetect_jax.data.frames import FrameReader
from dfdetect_jax.errors import UserError
from dfdetect_jax.evaluation.style import CYCLE
from dfdetect_jax.figures.figure import Drawn, Figure, Material, look, to_svg
from dfdetect_jax.figures.heat_maps import _run, clip_of
from dfdetect_jax.figures.samples import Sample
from dfdetect_jax.runs.restore import Run
from dfdetect_jax.schema import read_tracks

MOST_VIDEOS, LEAST_VIDEOS = 400, 6
MARKERS = "os^Dvp*X"


def features_of(run: Run, data: str, split: str, seed: int, most: int = MOST_VIDEOS) -> tuple[np.ndarray, list[str]]:
  """Features of a clip from the middle of each video, float32 `[N, E]`, and the group of each.

  Of more than `most` videos so many are drawn by lot.

  Raises:
    UserError: there are too few.
  """
  import jax

  spec = run.method.clip_spec
  tracks = [t for t in read_tracks(data, split) if t.track == 0 and t.frames >= spec.frames]
  if len(tracks) < LEAST_VIDEOS:
    raise UserError(f"{data} has {len(tracks)} videos in '{split}': t-SNE needs at least {LEAST_VIDEOS}.")
  if len(tracks) > most:
    chosen = np.sort(np.random.default_rng(seed).choice(len(tracks), most, replace=False))
    tracks = [tracks[i] for i in chosen]
  reader = FrameReader(data, split, spec.size)
  apply = jax.jit(lambda v, c: run.method.outputs(v, c)["features"].reshape(c.shape[0], -1))
  batch = max(1, min(run.config.eval_batch_size, 32))
  found = []
  for first in range(0, len(tracks), batch):
    clips = []
    for t in tracks[first : first + batch]:
      frames = reader.read(t.first, t.frames if spec.snippets else min(t.frames, 4 * spec.frames), t)
      clips.append(clip_of(Sample(t.video_id, "", t.label, frames, np.zeros(len(frames), bool)), spec)[0])
    padded = np.stack([*clips, *[clips[-1]] * (batch - len(clips))])  # one shape: nothing is compiled again
    found.append(np.asarray(apply(run.variables, padded))[: len(clips)])
  groups = [f"{t.dataset}: {t.manipulation if t.label else 'real'}" for t in tracks]
  return np.concatenate(found), groups


def embed(features: np.ndarray, seed: int) -> np.ndarray:
  """t-SNE of standardised features `[N, E]` in the plane, `[N, 2]` (scikit-learn; van der Maaten & Hinton 2008)."""
  from sklearn.manifold import TSNE

  spread = features.std(axis=0)
  standard = (features - features.mean(axis=0)) / np.where(spread > 0, spread, 1)
  perplexity = min(30.0, (len(features) - 1) / 3)
  return TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(standard)


def separation(points: np.ndarray, fake: np.ndarray) -> float:
  """Share of the points whose nearest neighbour is of their own class."""
  distance = np.linalg.norm(points[:, None] - points[None], axis=-1)
  np.fill_diagonal(distance, np.inf)
  return float((fake[distance.argmin(axis=1)] == fake).mean())


@look()
def dip_figure9(material: Material) -> Drawn:
  """Features of each run side by side (Fig. 9: DIP, and DIP without DiCA and IDM)."""
  from matplotlib.figure import Figure as Canvas

  if not material.data:
    raise UserError("dip_figure9 looks at many videos: give --data=SHARDS (or --demo).")
  runs = material.runs()
  canvas = Canvas(figsize=(5.4 * len(runs) + 2.2, 5), layout="constrained")
  values, sentences = {}, []
  for axes, run in zip(np.atleast_1d(canvas.subplots(1, len(runs))), runs):
    features, groups = features_of(run, material.data, material.split, material.seed)
    points = embed(features, material.seed)
    fake = np.array([not g.endswith(": real") for g in groups])
    # Real first in each dataset: hollow marks of their own, so that grey prints and the colour-blind tell them too.
    for n, group in enumerate(sorted(set(groups), key=lambda g: (not g.endswith(": real"), g))):
      own = np.array([g == group for g in groups])
      real = group.endswith(": real")
      colour = CYCLE[n % len(CYCLE)]
      axes.scatter(
        *points[own].T, s=26, marker=MARKERS[n % len(MARKERS)], facecolors="none" if real else colour,
        edgecolors=colour, linewidths=1.2, label=f"{group} ({own.sum()})",
      )  # fmt: skip
    share = separation(features, fake)
    name = _run(material, run)
    axes.set(xticks=[], yticks=[], title=name)
    sentences.append(f"{name}: {100 * share:.0f} % of the videos have a nearest neighbour of their own class")
    values[name] = {"groups": groups, "points": points.round(3).tolist(), "own_class": share}
  handles, labels = axes.get_legend_handles_labels()
  canvas.legend(handles, labels, loc="outside right center")
  caption = (
    f"t-SNE of the features of one clip of each video of '{material.split}'. {'; '.join(sentences)} (in the features)."
  )
  return Drawn(to_svg(canvas), caption, values)


FIGURES = (Figure("dip_figure9", "t-SNE of features", "DIP Fig. 9", "--data, runs side by side", dip_figure9, "dip"),)
