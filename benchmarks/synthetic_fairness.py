"""Is the shipped dataset a fair test? What tells its forgeries apart, and what does not, in figures.

  python benchmarks/synthetic_fairness.py --output=runs/fairness [--data=DIR] [--identities=100]

makes a dataset (or takes one), follows the faces with the default detector, and scores every video by what should
*not* tell (bit-rate, brightness, duration, who is seen, how much changes between frames: logistic regression on each
and on all of them), by single frames, and by change over time. Logistic regressions are cross-validated over identity
pairs; networks are trained on the train split and scored on the test split. Writes `fairness.json`, `fairness.png`.

No number here is a claim about real deepfakes: the data is rendered.
"""

import argparse
import dataclasses
import json
import pathlib
import sys
import time

import cv2
import flax.linen as nn
import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
import optax
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tqdm import tqdm

from data_pipelines.faces.detectors.detector import create
from data_pipelines.faces.face_tracks import FaceOptions, face_tracks
from data_pipelines.synthetic.dataset import SETTINGS_FILE, Settings, draw_pairs, make_dataset, video_path
from data_pipelines.synthetic.forgeries import MANIPULATIONS
from data_pipelines.video.decode import BrokenVideo, read_frames
from dfdetect_jax.errors import UserError, exit_on_user_error

CROP, CLIP = 64, 8


@dataclasses.dataclass
class Sample:
  """One video: where it comes from, and what is measured on it."""

  target: str
  pair: str
  split: str
  manipulation: str
  path: pathlib.Path
  shortcuts: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
  crops: np.ndarray | None = None  # [T, CROP, CROP, 3] uint8
  frames: int = 0
  tracked: int = 0

  @property
  def fake(self) -> int:
    return int(self.manipulation != "real")


def list_samples(root: pathlib.Path, compression: str) -> list[Sample]:
  """The dataset's videos at one compression."""
  path = root / SETTINGS_FILE
  if not path.is_file():
    raise UserError(f"{root} is no synthetic dataset ({SETTINGS_FILE} is missing).")
  record = json.loads(path.read_text())
  record.pop("generator_version")
  samples = []
  for split, pairs in draw_pairs(Settings(**record)).items():
    for a, b in pairs:
      for target, source in ((a, b), (b, a)):
        for kind in ("real", *MANIPULATIONS):
          video = root / video_path(kind, compression, target, source)
          if video.is_file():
            samples.append(Sample(target, f"{min(a, b)}+{max(a, b)}", split, kind, video))
  if not samples:
    raise UserError(f"{root} has no {compression} videos.")
  return samples


def measure(sample: Sample, detector) -> None:
  """Decodes the video, takes its shortcuts and its face crops."""
  frames = np.stack([frame.image for frame in read_frames(sample.path)])
  small = np.stack([cv2.resize(f, (8, 8), interpolation=cv2.INTER_AREA) for f in frames]).astype(np.float32)
  grey = np.stack([cv2.cvtColor(f, cv2.COLOR_RGB2GRAY) for f in frames]).astype(np.float32)
  energy = np.log(np.mean(np.diff(grey, axis=0) ** 2) + 1e-3)
  sample.frames = len(frames)
  sample.shortcuts = {
    "bit-rate": np.array([np.log(sample.path.stat().st_size / len(frames))]),
    "brightness": np.array([grey.mean(), grey.std()]),
    "duration": np.array([len(frames)]),
    "identity and scene (mean picture)": small.mean(0).ravel() / 32,
    "frame-difference energy": np.array([energy]),
  }
  try:
    track = face_tracks(sample.path, FaceOptions(size=CROP), detector)[0]
  except BrokenVideo:
    return
  sample.tracked = track.frames
  sample.crops = np.stack(list(track.crops()))


def oriented_gradients(crops: np.ndarray, cell: int = 8, bins: int = 9) -> np.ndarray:
  """Histograms of oriented gradients (HOG) of each cell, normalised over 2 x 2 cells, `[T, D]`."""
  grey = crops.astype(np.float32).mean(-1)
  dy, dx = np.gradient(grey, axis=(1, 2))
  sector = np.floor(np.arctan2(dy, dx) % np.pi / np.pi * bins).astype(int) % bins
  strength = np.hypot(dx, dy)
  n = crops.shape[1] // cell
  votes = np.stack([strength * (sector == k) for k in range(bins)], -1)
  cells = votes.reshape(len(crops), n, cell, n, cell, bins).sum((2, 4))
  blocks = np.concatenate([cells[:, i : n - 1 + i, j : n - 1 + j] for i in (0, 1) for j in (0, 1)], -1)
  return (blocks / (np.linalg.norm(blocks, axis=-1, keepdims=True) + 20.0)).reshape(len(crops), -1)


def frame_features(crops: np.ndarray) -> np.ndarray:
  """What a classical detector sees in each crop, `[T, D]`: gradient histograms and a small colour picture."""
  picture = np.stack([cv2.resize(c, (12, 12), interpolation=cv2.INTER_AREA) for c in crops]).reshape(len(crops), -1)
  return np.hstack([oriented_gradients(crops), picture / 64.0])


def change_features(crops: np.ndarray) -> np.ndarray:
  """Where a track changes from frame to frame, `[D]`: log mean absolute change on a grid, in light and colour."""
  grid = np.stack(
    [cv2.resize(cv2.cvtColor(c, cv2.COLOR_RGB2YCrCb), (8, 8), interpolation=cv2.INTER_AREA) for c in crops]
  )
  change = np.diff(grid.astype(np.float32), axis=0)
  change = change - np.median(change, axis=(1, 2), keepdims=True)  # what the whole crop does together
  fine = np.abs(np.diff(crops.astype(np.float32).mean(-1), axis=0))
  fine = cv2.resize(fine.mean(0), (8, 8), interpolation=cv2.INTER_AREA)
  return np.log(np.concatenate([np.abs(change).mean(0).ravel(), fine.ravel()]) + 0.1)


def classifier(strength: float = 1.0):
  return make_pipeline(StandardScaler(), LogisticRegression(C=strength, class_weight="balanced", max_iter=2000))


def cross_validate(
  features: list[np.ndarray], samples: list[Sample], strength: float = 1.0, folds: int = 5
) -> np.ndarray:
  """Out-of-fold score of every video; no identity is on both sides of a fold.

  Args:
    features: per video `[D]`, or `[n, D]` of which each row is classified and the video scored by the mean.
    samples: the videos.
    strength: inverse regularisation.
    folds: number of folds over identity pairs.
  """
  rows = [np.atleast_2d(f) for f in features]
  scores = np.zeros(len(samples))
  labels = np.array([s.fake for s in samples])
  groups = [s.pair for s in samples]
  for train, test in GroupKFold(min(folds, len(set(groups)))).split(rows, labels, groups):
    model = classifier(strength)
    model.fit(np.vstack([rows[i] for i in train]), np.concatenate([[labels[i]] * len(rows[i]) for i in train]))
    for i in test:
      scores[i] = model.decision_function(rows[i]).mean()
    scores[test] -= np.median(scores[test])  # folds have their own offsets
  return scores


class Net(nn.Module):
  """Four strided convolutions and a mean: the same network for single frames and for clips."""

  @nn.compact
  def __call__(self, x):
    for width in (24, 48, 96, 128):
      x = nn.Conv(width, (3, 3), (2, 2), use_bias=False)(x)
      x = nn.relu(nn.GroupNorm(8)(x))
    return nn.Dense(1)(x.mean((1, 2)))[:, 0]


def clips_of(crops: np.ndarray, starts: np.ndarray, temporal: bool) -> np.ndarray:
  """Network inputs `[n, CROP, CROP, C]`: the frame, or the CLIP - 1 differences of consecutive frames."""
  if not temporal:
    return crops[starts].astype(np.float32) / 64 - 2
  clips = np.stack([crops[s : s + CLIP] for s in starts]).astype(np.float32)
  return np.moveaxis(np.diff(clips, axis=1), 1, 3).reshape(len(starts), CROP, CROP, -1) / 16


def train_network(samples: list[Sample], temporal: bool, steps: int, seed: int = 0) -> np.ndarray:
  """Trains on the train split; returns every video's mean logit."""
  rng = np.random.default_rng(seed)
  train = [[s for s in samples if s.split == "train" and s.fake == label] for label in (0, 1)]
  model = Net()
  params = model.init(jax.random.key(seed), jnp.zeros((1, CROP, CROP, 3 * (CLIP - 1) if temporal else 3)))
  optimizer = optax.adamw(optax.cosine_decay_schedule(2e-3, steps), weight_decay=1e-2)
  state = optimizer.init(params)

  @jax.jit
  def step(params, state, x, y):
    loss = lambda p: optax.sigmoid_binary_cross_entropy(model.apply(p, x), y).mean()  # noqa: E731
    updates, state = optimizer.update(jax.grad(loss)(params), state, params)
    return optax.apply_updates(params, updates), state

  label = np.tile([0, 1], 32)  # half of each batch is real
  for _ in tqdm(range(steps), desc="clips" if temporal else "frames", unit="step"):
    batch = []
    for y in label:
      crops = train[y][rng.integers(len(train[y]))].crops
      x = clips_of(crops, rng.integers(0, len(crops) - CLIP, 1), temporal)
      batch.append(x[:, :, ::-1] if rng.random() < 0.5 else x)
    params, state = step(params, state, np.concatenate(batch), label.astype(np.float32))
  predict = jax.jit(model.apply)
  starts = lambda s: np.linspace(0, len(s.crops) - CLIP, 16).astype(int)  # noqa: E731
  return np.array([float(predict(params, clips_of(s.crops, starts(s), temporal)).mean()) for s in samples])


def auc_interval(samples: list[Sample], scores: np.ndarray, draws: int = 1000) -> tuple[float, float, float]:
  """AUC and its 95 % interval, by a bootstrap over identity pairs."""
  labels = np.array([s.fake for s in samples])
  pairs = sorted({s.pair for s in samples})
  members = [np.array([i for i, s in enumerate(samples) if s.pair == pair]) for pair in pairs]
  rng = np.random.default_rng(0)
  values = []
  for _ in range(draws):
    index = np.concatenate([members[k] for k in rng.integers(0, len(pairs), len(pairs))])
    values.append(roc_auc_score(labels[index], scores[index]))
  return roc_auc_score(labels, scores), *np.percentile(values, [2.5, 97.5])


def report(results: dict, name: str, kind: str, samples: list[Sample], scores: np.ndarray) -> None:
  """Prints and keeps one row: AUC over all videos, and against each manipulation alone."""
  value, low, high = auc_interval(samples, scores)
  row = {"kind": kind, "auc": value, "low": low, "high": high, "videos": len(samples)}
  for manipulation in MANIPULATIONS:
    chosen = [i for i, s in enumerate(samples) if s.manipulation in ("real", manipulation)]
    if any(samples[i].fake for i in chosen):
      row[manipulation] = roc_auc_score([samples[i].fake for i in chosen], scores[chosen])
  results[name] = row
  each = "  ".join(f"{m} {row[m]:.2f}" for m in MANIPULATIONS if m in row)
  print(f"{name:<38} AUC {value:.3f} [{low:.3f}, {high:.3f}]   {each}", flush=True)


def draw(results: dict, path: pathlib.Path) -> None:
  """The rows as points with their intervals."""
  matplotlib.use("Agg")
  import matplotlib.pyplot as plt

  colours = {"shortcut": "tab:grey", "frame": "tab:orange", "time": "tab:blue"}
  figure, axes = plt.subplots(figsize=(8, 0.42 * len(results) + 1.2), layout="constrained")
  for y, (_, row) in enumerate(results.items()):
    axes.plot([row["low"], row["high"]], [y, y], color=colours[row["kind"]], lw=2)
    axes.plot(row["auc"], y, "o", color=colours[row["kind"]])
  axes.axvline(0.5, color="k", lw=0.6, ls=":")
  axes.set(
    yticks=range(len(results)),
    yticklabels=list(results),
    xlim=(0.35, 1.02),
    xlabel="video AUC, 95 % interval over identity pairs",
  )
  axes.invert_yaxis()
  axes.set_title(
    "rendered forgeries told by shortcuts (grey), single frames (orange), change over time (blue)", fontsize=9
  )
  figure.savefig(path, dpi=130)


def main(argv: list[str]) -> None:
  """Runs the benchmark."""
  parser = argparse.ArgumentParser(
    "synthetic_fairness", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument("--output", required=True, metavar="DIR", help="where the figures go")
  parser.add_argument(
    "--data", default="", metavar="DIR", help="a dataset of data_pipelines.synthetic; made if not given"
  )
  parser.add_argument("--identities", type=int, default=100, help="of the dataset that is made (%(default)s)")
  parser.add_argument("--compression", default="c23", help="c23 or c40 (%(default)s)")
  parser.add_argument("--steps", type=int, default=400, help="training steps of the networks, 0 for none (%(default)s)")
  args = parser.parse_args(argv)
  output = pathlib.Path(args.output)
  output.mkdir(parents=True, exist_ok=True)
  results = {}
  root = pathlib.Path(args.data or output / "data")
  if not args.data:
    made = make_dataset(root, Settings(identities=args.identities), [args.compression])
    if made.written:
      print(f"made {made.written} files, {made.core_seconds / made.written:.2f} processor seconds each")
  samples = list_samples(root, args.compression)
  detector, start = create("mtcnn"), time.perf_counter()
  for sample in tqdm(samples, unit="video", desc="following faces"):
    measure(sample, detector)
  tracked = sum(s.tracked for s in samples) / sum(s.frames for s in samples)
  lost = [str(s.path) for s in samples if s.crops is None]
  seconds = time.perf_counter() - start
  print(f"{len(samples)} videos in {seconds:.0f} s; {detector.version} tracks {tracked:.2%} of the frames")
  if lost:
    print(f"no face: {', '.join(lost)}")

  names = list(samples[0].shortcuts)
  for name in names:
    report(results, name, "shortcut", samples, cross_validate([s.shortcuts[name] for s in samples], samples, 0.1))
  together = [np.concatenate([s.shortcuts[name] for name in names]) for s in samples]
  report(results, "all of these together", "shortcut", samples, cross_validate(together, samples, 0.1))

  samples = [s for s in samples if s.crops is not None and len(s.crops) > CLIP]
  single = [frame_features(s.crops[:: max(1, len(s.crops) // 8)]) for s in samples]
  report(results, "single frames, HOG and colour", "frame", samples, cross_validate(single, samples, 0.001))
  energies = [np.log(np.mean(np.diff(s.crops.astype(np.float32), axis=0) ** 2) + 1e-3)[None] for s in samples]
  report(results, "frame-difference energy, face only", "time", samples, cross_validate(energies, samples, 0.1))
  changes = [change_features(s.crops) for s in samples]
  report(results, "change on a grid", "time", samples, cross_validate(changes, samples, 0.1))
  if args.steps:
    held_out = [i for i, s in enumerate(samples) if s.split == "test"]
    for temporal, name, kind in ((False, "single frames, network", "frame"), (True, "clips, same network", "time")):
      scores = train_network(samples, temporal, args.steps)
      report(results, name, kind, [samples[i] for i in held_out], scores[held_out])
  (output / "fairness.json").write_text(
    json.dumps({"tracked": tracked, "lost": lost, "results": results}, indent=1) + "\n"
  )
  draw(results, output / "fairness.png")


if __name__ == "__main__":
  with exit_on_user_error("synthetic_fairness"):
    main(sys.argv[1:])
