"""The strict environment every test runs in: 8 CPU devices, no silent rank or dtype promotion, warnings are errors."""

import gc
import os
import pathlib
import sys

sys.path.append(str(pathlib.Path(__file__).parent))  # where `config.method = "toy_method"` is found
sys.path.append(str(pathlib.Path(__file__).parents[1]))  # where `benchmarks` is: its twins are the parity tests' too
os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Compilations are most of the suite's time; a cache beside the repository's other caches keeps the second run quick.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(pathlib.Path(__file__).parent.parent / ".jax_cache"))
os.environ.setdefault("XDG_CACHE_HOME", str(pathlib.Path(__file__).parent.parent / ".jax_cache" / "home"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")  # tests share many small programs
# What tests compile runs once: LLVM's first level compiles in two thirds of the time of its third, for the same numbers
# up to the order of sums. Programs that tests start inherit it.
if "xla_backend_optimization_level" not in os.environ.get("XLA_FLAGS", ""):
  os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_backend_optimization_level=1".strip()

import jax
import jaxtyping
import pytest
from absl import flags

# The types, shapes and dtypes that signatures promise are checked on every call that a test makes.
jaxtyping.install_import_hook(
  [f"dfdetect_jax.{room}" for room in ("layers", "augment", "methods", "evaluation.metrics")], "type_checker.checked"
)

jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")

# grain reads absl flags when it starts worker processes; outside app.run nobody has parsed them.
flags.FLAGS.mark_as_parsed()

REALFACES = pathlib.Path(
  os.environ.get("DFDETECT_REALFACES", pathlib.Path(__file__).resolve().parents[2] / "shared" / "realfaces")
)


@pytest.fixture(scope="session")
def realfaces() -> pathlib.Path:
  """Folder of real clips with manifest.csv; not part of the project, so tests that use it skip where it is absent."""
  if not (REALFACES / "manifest.csv").exists():
    pytest.skip(f"no real clips at {REALFACES} (set DFDETECT_REALFACES)")
  return REALFACES


@pytest.fixture(scope="session")
def toy_dataset(tmp_path_factory) -> pathlib.Path:
  """A dataset folder as the builder leaves it, without any video: 64 px, real/fake pairs, fakes flicker in time.

  Splits train (8 pairs), val (3), test (4); tracks of 16 to 31 frames, two videos with two tracks, one of 3 frames
  in each split, and a test video for which no face was found.
  """
  import hashlib
  import json

  import cv2
  import numpy as np

  from data_pipelines.building import shards
  from dfdetect_jax import schema

  directory = tmp_path_factory.mktemp("toy")
  rng = np.random.default_rng(0)
  tracks, records = [], {}
  for split, pairs in (("train", 8), ("val", 3), ("test", 4)):
    lengths = []
    first = 0
    plan = [(pair, label, 0) for pair in range(pairs) for label in (0, 1)]
    plan += [(0, 0, 1), (0, 1, 1), (pairs, 0, 0)]  # second tracks, then a track that is too short for any clip
    for part in (plan[: len(plan) // 2], plan[len(plan) // 2 :]):
      writer = shards.ShardWriter(directory / shards.shard_name(split, len(lengths), 2))
      for pair, label, number in part:
        manipulation = "DF" if label else "original"
        video_id = f"toy/{manipulation}/c23/{split}{pair:03d}"
        frames = 3 if pair == pairs else int(rng.integers(16, 32))
        eyes_nose_mouth = np.array([[0.35, 0.4], [0.65, 0.4], [0.5, 0.55], [0.4, 0.7], [0.6, 0.7]])
        face = cv2.resize(rng.integers(60, 196, (8, 8, 3)).astype(np.uint8), (64, 64)).astype(np.int64)
        for k in range(frames):
          flicker = rng.normal(0, 25) if label else 0.0
          image = np.clip(face + flicker + rng.normal(0, 4, face.shape), 0, 255).astype(np.uint8)
          encoded = cv2.imencode(".png", image)[1].tobytes()
          points = eyes_nose_mouth + 0.002 * k + 0.01 * pair
          writer.write(shards.frame_record(encoded, video_id, number, k, label, points))
        tracks.append(
          schema.Track(
            video_id=video_id,
            track=number,
            split=split,
            label=label,
            first=first,
            frames=frames,
            first_frame=0,
            fps=25.0,
            dataset="toy",
            manipulation=manipulation,
            compression="c23",
            pair=f"{split}{pair}",
            identity=f"person_{split}{pair}",
            path=f"{split}{pair}.mp4",
            sha256=hashlib.sha256(video_id.encode()).hexdigest(),
            size=64,
            landmarks=5,
          )
        )
        first += frames
      lengths.append(writer.records)
      writer.close()
    records[split] = lengths
  shards.write_tfds_metadata(directory, 64, records)
  schema.write_tracks(directory, tracks)
  lost = schema.Failure(
    path="lost.mp4",
    reason="no face",
    video_id="toy/DF/c23/lost",
    label=1,
    split="test",
    dataset="toy",
    manipulation="DF",
    compression="c23",
    identity="person_lost",
  )
  schema.write_failures(directory, [lost])
  (directory / schema.DATASET_FILE).write_text(json.dumps({"schema_version": schema.SCHEMA_VERSION}))
  return directory


@pytest.fixture(scope="session")
def toy():
  """The module `tests/toy_method.py`, a detector from outside the package."""
  import toy_method

  return toy_method


@pytest.fixture
def register(tmp_path, monkeypatch):
  """`register(group, name, module)`: an installed package of another's has this entry point."""

  def install(group, name, module):
    about = tmp_path / "site" / "lab-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: lab\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(f"[{group}]\n{name} = {module}\n")
    monkeypatch.syspath_prepend(about.parent)

  return install


@pytest.fixture
def toy_config(toy, toy_dataset):
  """Twenty steps of the toy method on the toy dataset, unlocked."""
  config = toy.get_config().unlock()
  config.data = str(toy_dataset)
  return config


@pytest.fixture(scope="session")
def randomised():
  """Draws a method's variables with no layer switched off, in less time than compiling its initialisation takes.

  `randomised(method)` returns the tree of `method.init`, the same numbers each time.
  """
  import jax.numpy as jnp
  import numpy as np

  def draw(method):
    rng = np.random.default_rng(0)

    def value(path, leaf):
      if path[-1].key in ("scale", "var"):
        return jnp.asarray(rng.uniform(0.5, 1.5, leaf.shape), jnp.float32)
      spread = 0.1 if leaf.ndim < 2 else (2 / np.prod(leaf.shape[:-1])) ** 0.5
      return jnp.asarray(spread * rng.normal(size=leaf.shape), jnp.float32)

    return jax.tree_util.tree_map_with_path(value, jax.eval_shape(method.init, jax.random.key(0)))

  return draw


@pytest.fixture(autouse=True)
def optax_promotes(request):
  """Standard dtype promotion where optimizer steps are taken: Optax relies on it (Adam's bias correction)."""
  if request.path.parent.name not in ("training", "runs", "devices"):
    yield
    return

  with jax.numpy_dtype_promotion("standard"):
    yield


def pytest_sessionfinish():
  """Spares pytest's last look for garbage, five times through everything, what jax keeps of a whole suite."""
  gc.freeze()
