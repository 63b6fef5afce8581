"""Generated data in the place of every dataset, so that each study runs from end to end where there is none.

FaceForensics++ becomes the generated set, whose forgeries bear the same names; every other dataset becomes a generated
set of other people (another seed), called `synthetic_<its name>`. Nothing measured on them says anything about real
deepfakes.
"""

import csv
import dataclasses
import pathlib
import zlib
from collections.abc import Iterable

from dfdetect_jax import programs
from dfdetect_jax.data.videos import VideoSet
from dfdetect_jax.datasets import FOUR
from dfdetect_jax.evaluation.protocols import FFPP
from dfdetect_jax.schema import DATASET_FILE

DISCLAIMER = (
  "Demo: not a claim. Every dataset is a stand-in made of rendered heads (data_pipelines.synthetic), the networks are "
  "reduced in size and trained for a few steps. What the page shows is that the study runs; its measured figures say "
  "nothing about real deepfakes or about the paper."
)
SYNTHETIC = "synthetic"
SIZE = 64


def stand_in(videos: VideoSet) -> VideoSet:
  """The generated videos that a demo takes for a set."""
  if videos.dataset == FFPP:
    known = tuple(m for m in videos.manipulations if m in (*FOUR, "original"))
    return dataclasses.replace(videos, dataset=SYNTHETIC, manipulations=known)
  return dataclasses.replace(videos, dataset=f"{SYNTHETIC}_{videos.dataset}", manipulations=(), compressions=())


def make(sets: Iterable[VideoSet], folder: pathlib.Path, identities: int, frames: int) -> None:
  """Makes the shards of the sets that are not there yet, in `folder/shards`.

  Args:
    sets: stand-ins.
    folder: of everything it makes.
    identities, frames: of each generated set.

  Raises:
    UserError: one of the programs failed.
  """
  sets = list(sets)
  for dataset in sorted({videos.dataset for videos in sets}):
    own = [videos for videos in sets if videos.dataset == dataset]
    root = folder / "videos" / dataset
    compressions = sorted({c for videos in own for c in videos.compressions}) or ["c23"]
    if dataset != SYNTHETIC:
      shards = folder / "shards" / dataset
      if not _built(shards):
        seed = zlib.crc32(dataset.encode()) % 1_000_000 + 1
        _render(root, identities, frames, seed, ["c23"])
        _build("--source=manifest", f"--manifest={_manifest(root, dataset)}", f"--output={shards}")
      continue
    clean: list[str] = []
    distorted: dict[tuple[str, str], set[int]] = {}
    for compression in compressions:
      matching = [v for v in own if not v.compressions or compression in v.compressions]
      if any(not v.distortion for v in matching) and not _built(folder / "shards" / f"{dataset}-{compression}"):
        clean.append(compression)
      for videos in matching:
        if videos.distortion and not _built(folder / "shards" / f"perturbed-{compression}" / videos.folder):
          distorted.setdefault((compression, videos.distortion), set()).add(videos.level)
    needed = sorted({*clean, *(compression for compression, _ in distorted)})
    if needed:
      _render(root, identities, frames, 0, needed)
    source = ("--source=synthetic", f"--root={root}")
    for compression in clean:
      _build(*source, f"--compression={compression}", f"--output={folder / 'shards' / f'{dataset}-{compression}'}")
    for (compression, distortion), levels in distorted.items():
      _build(
        *source, f"--compression={compression}", f"--output={folder / 'shards' / f'perturbed-{compression}'}",
        f"--distortion={distortion}", f"--level={','.join(map(str, sorted(levels)))}", program="data_pipelines.perturb",
      )  # fmt: skip


def _built(shards: pathlib.Path) -> bool:
  return (shards / DATASET_FILE).is_file()


def _render(root: pathlib.Path, identities: int, frames: int, seed: int, compressions: list[str]) -> None:
  programs.run(
    "data_pipelines.synthetic", f"--output={root}", f"--identities={identities}", f"--frames={frames}",
    f"--seed={seed}", f"--compressions={','.join(compressions)}",
  )  # fmt: skip


def _build(*options: str, program: str = "data_pipelines.build") -> None:
  programs.run(program, *options, f"--size={SIZE}")


def _manifest(root: pathlib.Path, dataset: str) -> pathlib.Path:
  """Lists a generated set's videos under another name of the dataset."""
  from data_pipelines.sources.registry import SourceOptions
  from data_pipelines.sources.synthetic import list_videos

  path = root.with_suffix(".csv")
  with path.open("w", newline="") as file:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["path", "label", "split", "manipulation", "pair", "identity", "dataset"])
    for video in list_videos(root, SourceOptions()).videos:
      place = pathlib.Path(video.path).relative_to(path.parent)
      writer.writerow([place, video.label, video.split, video.manipulation, video.pair, video.identity, dataset])
  return path
