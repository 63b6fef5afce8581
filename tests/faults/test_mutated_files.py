"""Every small file that we read × 200 mutations: what is wrong with it is a sentence, never a traceback.

Seals are taken off first (older files have none), so that what is behind them is tried too. Whether a mutation that
still parses gives a wrong result is what `test_damage.py` asks, with the seals on.
"""

import dataclasses
import json
import random
import shutil

import pytest
from helpers.damages import mutated_bytes

from data_pipelines.building import plan
from data_pipelines.building.unit import UnitNote
from data_pipelines.faces.detectors import precomputed
from data_pipelines.sources import faceforensics, manifest
from data_pipelines.sources.lists import Wanted, read_names
from data_pipelines.sources.registry import SourceOptions
from data_pipelines.synthetic.dataset import Settings, _claim
from dfdetect_jax import methods, schema
from dfdetect_jax.errors import UserError
from dfdetect_jax.evaluation import calibration, metrics, provenance, scores
from dfdetect_jax.evaluation.scores import VideoScore
from dfdetect_jax.interop import checkpoint
from dfdetect_jax.prediction.listing import find_videos
from dfdetect_jax.runs import checksums, run_config, trained_videos
from dfdetect_jax.runs.trained_videos import TrainedVideo
from dfdetect_jax.studies import settings as study_settings
from dfdetect_jax.training.plot import read_series

MUTATIONS = 200


def write_manifest(folder):
  (folder / "m.csv").write_text("path,label,split,pair,note\na.mp4,real,train,1,x\nb.mp4,1,val,1,\nc.mp4,0,test,,y\n")


def write_scores(folder):
  rows = [
    VideoScore(video_id=f"v{n}", label=n % 2, score=n / 9, clip_scores=((0.1, 0.2), (0.3,)), clip_starts=((0, 8), (1,)))
    for n in range(4)
  ]
  scores.write_scores(folder / "scores.csv", rows)


def write_reliability(folder):
  rows = [VideoScore(video_id=f"v{n}", label=n % 2, score=0.3 + 0.4 * (n % 2)) for n in range(6)]
  assert not calibration.record_validation(folder, 20, "teacher", rows)
  assert not calibration.record_test(folder, 20, "teacher", "toy", metrics.summarise(rows, "half").overall.video)


def write_metrics(folder):
  lines = [{"step": step, "train/loss": 0.5, "speed/steps": 2.0} for step in range(4)]
  (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def write_note(folder):
  failure = schema.Failure(path="a.mp4", reason="no face", video_id="a", label=1)
  track = schema.Track(
    video_id="b", split="train", label=0, track=0, first=0, frames=9, first_frame=0, fps=25.0, size=64
  )
  UnitNote(9, 100, "0" * 64, [track], [failure]).write(folder / "note.json")


def write_plan(folder):
  content = {"choices": {"size": 21}, "missing": [["a", "gone"]], "shards": {"train": 1}, "absent": {}, "stamps": {}}
  plan.write_plan(folder, content)


def write_study(folder):
  study_settings.Settings(folder, seeds=(0, 1), data=("x",)).save()


def read_study(folder):
  from dfdetect_jax import study

  study_settings.load(study.parser().parse_args(["plan", "dip_table2", f"--workdir={folder}"]))


def write_checksums(folder):
  (folder / "params").mkdir(exist_ok=True)
  (folder / "params/a").write_bytes(bytes(9))
  checksums.write(folder)


def write_conversion(folder):
  """As `convert` writes it, of two arrays."""
  source = checkpoint.Source("x.pth", "0" * 64, "imagenet", "the user", False)
  arrays = {"a/kernel": {"shape": [2, 3], "dtype": "float32", "sha256": "0" * 64}}
  about = {"format": checkpoint.FORMAT, "source": dataclasses.asdict(source), "arrays": arrays}
  (folder / "conversion.json").write_text(json.dumps(about))


def write_splits(folder):
  (folder / "splits").mkdir(exist_ok=True)
  for n, split in enumerate(("train", "val", "test")):
    (folder / f"splits/{split}.json").write_text(f'[["{n}00", "{n}01"], ["{n}02", "{n}03"]]')
  (folder / "original_sequences/youtube/c23/videos").mkdir(parents=True, exist_ok=True)
  (folder / "original_sequences/youtube/c23/videos/000.mp4").touch()


# file -> how it is written, and what reads it.
READERS = {
  "tracks.jsonl": (None, lambda f: schema.read_tracks(f)),
  "dataset.json": (None, lambda f: schema.read_tracks(f)),
  "failures.csv": (None, lambda f: schema.read_failures(f, "test")),
  "config.json": (None, lambda f: methods.build(run_config.read_config(f))),
  "scores.csv": (write_scores, lambda f: scores.read_scores(f / "scores.csv")),
  "metrics.jsonl": (write_metrics, lambda f: read_series(f)),
  "reliability.json": (write_reliability, lambda f: calibration.read_reliability(f, 20, "teacher").decision()),
  "conversion.json": (write_conversion, lambda f: checkpoint.read_conversion(f).shapes()),
  "train_videos.csv": (
    lambda f: trained_videos.write_trained_videos(f, [], [TrainedVideo(video_id="a", split="train", label=1)] * 3),
    trained_videos.read_trained_videos,
  ),
  "m.csv": (write_manifest, lambda f: manifest.list_videos(None, SourceOptions(manifest=str(f / "m.csv")))),
  "only.txt": (
    lambda f: (f / "only.txt").write_text("a.mp4\nb/c.mp4,1\nd e.mp4 0\n"),
    lambda f: Wanted(f / "only.txt"),
  ),
  "names.txt": (
    lambda f: (f / "names.txt").write_text("a.mp4\nb/c.mp4\n"),
    lambda f: read_names(f / "names.txt", "x"),
  ),
  "list.txt": (
    lambda f: (f / "list.txt").write_text("a.mp4\nb.mp4\n"),
    lambda f: find_videos([], [str(f / "list.txt")]),
  ),
  "note.json": (write_note, lambda f: UnitNote.read(f / "note.json")),
  "build/plan.json": (write_plan, lambda f: (plan.read_plan(f), plan.stored_choices(f))),
  "boxes.csv": (
    lambda f: (f / "boxes.csv").write_text("video,frame,x1,y1,x2,y2,score\na,0,1,2,3,4,0.5\na,5,1,2,3,4,\n"),
    lambda f: precomputed.create(str(f / "boxes.csv")),
  ),
  "boxes.json": (
    lambda f: (f / "boxes.json").write_text('{"a": {"0": [[1, 2, 3, 4, 0.5]], "5": []}}'),
    lambda f: precomputed.create(str(f / "boxes.json")),
  ),
  "synthetic.json": (lambda f: _claim(f / "s", Settings()) or shutil.copy(f / "s/synthetic.json", f),
                     lambda f: _claim(f, Settings())),
  "splits/val.json": (write_splits, lambda f: faceforensics.list_videos(f, SourceOptions(), dataset="synthetic")),
  "study.json": (write_study, read_study),
  "checksums.json": (write_checksums, lambda f: checksums.verify(f, ["params"])),
  "provenance.json": (
    lambda f: (
      write_scores(f),
      (f / "provenance.json").write_text(json.dumps({"format": 1, "sessions": [], "scores": {"file": "scores.csv"}})),
    ),
    lambda f: provenance.read_provenance(f / "scores.csv"),
  ),
}  # fmt: skip


def unsealed(text: bytes) -> bytes:
  try:
    content = json.loads(text)
  except ValueError:
    return text
  if isinstance(content, dict):
    content.pop("content_sha256", None)
  return json.dumps(content).encode()


def mutated(content: bytes, draw: random.Random) -> bytes:
  """As `mutated_bytes`, or a JSON value exchanged for another."""
  try:
    tree = json.loads(content)
  except ValueError:
    tree = None
  if isinstance(tree, dict) and tree and draw.random() < 0.4:
    place = tree
    while True:
      key = draw.choice(list(place) if isinstance(place, dict) else range(len(place)))
      if isinstance(place[key], (dict, list)) and place[key] and draw.random() < 0.7:
        place = place[key]
        continue
      if draw.random() < 0.3:
        del place[key]
      else:
        place[key] = draw.choice([None, [], {}, -1, 0.5, "x", True, [[]], {"a": 1}, 10**30, [None], "../../etc"])
      return json.dumps(tree).encode()
  return mutated_bytes(content, draw)


@pytest.mark.parametrize("name", READERS)
def test_mutations_end_in_a_sentence(toy, toy_dataset, tmp_path, name):
  """Guards all readers of small files: nothing but a UserError comes out of them."""
  write, read = READERS[name]
  for file in ("dataset.json", "tracks.jsonl", "failures.csv"):
    shutil.copy(toy_dataset / file, tmp_path / file)
  run_config.save_config(tmp_path, toy.get_config())
  if write:
    write(tmp_path)
  path = tmp_path / name
  whole = unsealed(path.read_bytes())
  path.write_bytes(whole)
  read(tmp_path)
  draw, wrong, refused = random.Random(name), [], 0
  for _ in range(MUTATIONS):
    content = mutated(whole, draw)
    path.write_bytes(content)
    try:
      read(tmp_path)
    except UserError:
      refused += 1
    except Exception as error:
      wrong.append((repr(error)[:200], content[:300]))
  assert not wrong, f"{len(wrong)} of {MUTATIONS}: {wrong[:5]}"
  assert refused or name == "list.txt"  # of which any line is a name
