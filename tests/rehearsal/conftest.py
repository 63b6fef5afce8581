"""The benchmarks as their authors lay them out, at full size, of empty files: all that a listing reads."""

import csv
import io
import itertools
import json
import os
import pathlib
import random
import tarfile
from collections.abc import Iterable

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOUR = ("Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures")


def place(root: pathlib.Path, paths: Iterable[str]) -> None:
  """Empty files below a root, quickly: a folder is made once, all are links to one file (a thirtieth of the cost)."""
  made: set[str] = set()
  empty = root / ".empty"
  empty.parent.mkdir(parents=True, exist_ok=True)
  empty.touch()
  for path in paths:
    folder = os.path.dirname(path)
    if folder not in made:
      os.makedirs(root / folder, exist_ok=True)
      made.add(folder)
    os.link(empty, f"{root}/{path}")
  empty.unlink()


def lay_celeb_df(
  root: pathlib.Path, reals: int, people: int, youtube: int, forged: int, tested: tuple
) -> dict[str, int]:
  """Celeb-DF: `reals` videos of `people` people, each forged with some of the others; returns the listed ones.

  `tested` says how many of YouTube-real, Celeb-real and Celeb-synthesis are listed, in this order as the authors list
  them; originals of listed forgeries are listed or not, as it comes.
  """
  rng = random.Random(0)
  originals = [(n % people, n // people) for n in range(reals)]
  swaps = [(p, q, n) for p, n in originals for q in range(people) if q != p]
  swaps = sorted(rng.sample(swaps, forged))
  folders = {
    "YouTube-real": [f"YouTube-real/{n:05d}.mp4" for n in range(youtube)],
    "Celeb-real": [f"Celeb-real/id{p}_{n:04d}.mp4" for p, n in originals],
    "Celeb-synthesis": [f"Celeb-synthesis/id{p}_id{q}_{n:04d}.mp4" for p, q, n in swaps],
  }
  listed = {}
  for (folder, paths), count in zip(folders.items(), tested):
    listed |= dict.fromkeys(rng.sample(paths, count), int(folder == "Celeb-synthesis"))
  place(root, itertools.chain(*folders.values()))
  lines = [f"{1 - fake} {path}" for path, fake in listed.items()]  # 1 = real
  (root / "List_of_testing_videos.txt").write_text("\n".join(lines))  # whose last line does not end
  return listed


def shipped_pairs() -> dict[str, list[tuple[str, str]]]:
  """The authors' 360/70/70 pairs, read without the project's reader."""
  pairs: dict[str, list[tuple[str, str]]] = {}
  with (ROOT / "data_pipelines/sources/faceforensics_pairs.csv").open(newline="") as file:
    for row in csv.DictReader(file):
      pairs.setdefault(row["split"], []).append((row["first_id"], row["second_id"]))
  return pairs


def lay_faceforensics(root: pathlib.Path, compression: str = "c23", fakes: Iterable[str] = FOUR) -> None:
  """FaceForensics++ as its download script leaves it: reals, four forgeries of each pair both ways, masks."""
  swaps = [f"{a}_{b}" for pairs in shipped_pairs().values() for x, y in pairs for a, b in ((x, y), (y, x))]
  place(root, (f"original_sequences/youtube/{compression}/videos/{n:03d}.mp4" for n in range(1000)))
  place(root, (f"manipulated_sequences/{m}/{compression}/videos/{swap}.mp4" for m in fakes for swap in swaps))


def lay_dfdc(root: pathlib.Path, parts: int = 50, reals: int = 45) -> None:
  """DFDC: parts of `reals` real videos with two or three forgeries each, 4,000 validation and 5,000 test videos."""
  for part in range(parts):
    entries, where = {}, f"train/dfdc_train_part_{part}"
    for n in range(reals):
      name = f"p{part:02d}r{n:03d}.mp4"
      entries[name] = {"label": "REAL", "split": "train", "original": None}
      for k in range(2 + n % 2):
        entries[f"p{part:02d}f{n:03d}{k}.mp4"] = {"label": "FAKE", "split": "train", "original": name}
    place(root, (f"{where}/{name}" for name in entries))
    (root / where / "metadata.json").write_text(json.dumps(entries))
  for folder, count, inside in (("validation", 4000, ""), ("test", 5000, "videos/")):
    names = [f"{folder[0]}{n:05d}.mp4" for n in range(count)]
    place(root, (f"{folder}/{inside}{name}" for name in names))
    rows = "".join(f"{name},{n % 2}\r\n" for n, name in enumerate(names))
    (root / folder / "labels.csv").write_text(f"filename,label\r\n{rows}")


def lay_dfdc_preview(root: pathlib.Path) -> None:
  """DFDC-Preview: 4,473 training and 777 test videos (855 + 3,618 and 276 + 501), people of one set only."""
  entries = {}
  for split, first, people, reals, fakes in (("train", 1000, 57, 855, 3618), ("test", 2000, 12, 276, 501)):
    takes = [(first + n % people, f"{n // people:03d}") for n in range(reals)]
    for person, take in takes:
      entries[f"original_videos/{person}/{person}_{take}.mp4"] = {
        "label": "real", "set": split, "target_id": person, "swapped_id": None, "augmentations": [],
      }  # fmt: skip
    for n in range(fakes):
      target, take = takes[n % reals]
      swapped = first + (target - first + 1 + n // reals) % people
      method = ("method_A", "method_B")[n % 2]
      entries[f"{method}/{swapped}/{swapped}_{take}/{swapped}_{target}_{take}_{n}.mp4"] = {
        "label": "fake", "set": split, "target_id": target, "swapped_id": swapped, "augmentations": [],
      }  # fmt: skip
  place(root, entries)
  (root / "dataset.json").write_text(json.dumps(entries))


def lay_deeper_forensics(root: pathlib.Path, sets: Iterable[str]) -> dict[str, list[str]]:
  """DeeperForensics: 1,000 forgeries a set, lists of 703, 96 and 201, what each went through; returns the lists."""
  rng = random.Random(0)
  targets = rng.sample([f"{n:03d}" for n in range(1000)], 1000)
  stems = [f"{target}_{'MW'[n % 2]}{n % 100:03d}" for n, target in enumerate(targets)]
  lists = {"train": stems[:703], "val": stems[703:799], "test": stems[799:]}
  for split, members in lists.items():
    (root / "lists/splits").mkdir(parents=True, exist_ok=True)
    (root / f"lists/splits/{split}.txt").write_text("".join(f"{stem}.mp4\n" for stem in members))
  (root / "lists/manipulated_videos_distortions_meta").mkdir()
  for name in sets:
    place(root, (f"manipulated_videos/{name}/{stem}.mp4" for stem in stems))
    if name not in ("end_to_end", "reenact_postprocess"):
      lines = (f"{name}/{stem}.mp4 {('CS', 'GB', 'JPEG')[n % 3]}:{1 + n % 5}\n" for n, stem in enumerate(stems))
      path = f"lists/manipulated_videos_distortions_meta/manipulated_videos_{name}_meta.txt"
      (root / path).write_text("".join(lines))
  place(root, (f"source_videos/M{n:03d}/light_up/neutral/camera_front/M{n:03d}.mp4" for n in range(100)))
  return lists


def lay_wild_deepfake(root: pathlib.Path) -> None:
  """WildDeepfake: 3,805 real and 3,509 fake sequences in archives of about ten, 396 and 410 of them test."""
  for folder, count in (("real_train", 3409), ("fake_train", 3099), ("real_test", 396), ("fake_test", 410)):
    (root / folder).mkdir(parents=True)
    label = folder[:4]
    for number, start in enumerate(range(0, count, 10)):
      with tarfile.open(root / folder / f"{number}.tar.gz", "w:gz", compresslevel=1) as archive:
        for sequence in range(start, min(start + 10, count)):
          archive.addfile(tarfile.TarInfo(f"./{number}/{label}/{sequence}/17.png"), io.BytesIO())


@pytest.fixture
def lay():
  """The functions above, by the name of the source."""
  return {
    "celeb_df": lay_celeb_df,
    "faceforensics": lay_faceforensics,
    "dfdc": lay_dfdc,
    "dfdc_preview": lay_dfdc_preview,
    "deeper_forensics": lay_deeper_forensics,
    "wild_deepfake": lay_wild_deepfake,
    "place": place,
  }
