"""Small videos that tests write themselves, and boxes for them, so that no face need be found to test the road."""

import csv
import io
import itertools
import json
import pathlib
import random
import tarfile
from collections.abc import Callable, Sequence

import av
import numpy as np
import pytest
from helpers.listings import place, write


def picture(seed: int, height: int = 96, width: int = 128) -> np.ndarray:
  """A smooth random picture `[H, W, 3]` uint8, unlike that of any other seed."""
  rng = np.random.default_rng(seed)
  y, x = np.mgrid[0:height, 0:width] / max(height, width)
  waves = [np.sin(2 * np.pi * (f[0] * x + f[1] * y) + f[2]) for f in rng.uniform(-3, 3, (3, 3))]
  return np.round(127.5 + 100 * np.stack(waves, -1)).astype(np.uint8)


def encode(
  path: pathlib.Path,
  frames: Sequence[np.ndarray],
  codec: str = "libx264",
  rate: int = 25,
  times: Sequence[int] | None = None,
  rotation: int = 0,
  pixels: str = "yuv420p",
  container: str | None = None,
  options: dict[str, str] | None = None,
  prepare: Callable[[av.VideoStream], None] = lambda stream: None,
) -> pathlib.Path:
  """Writes frames as a video.

  Args:
    path, frames: what is written where.
    codec, pixels: encoder and the pixels' format.
    rate: frames per second; `times` are presentation times in units of 1/rate.
    rotation: degrees of the display matrix.
    container: format, of the path's suffix if None.
    options: further ones of the encoder.
    prepare: does what else is to be done to the stream.
  """
  with av.open(str(path), "w", format=container) as output:
    stream = output.add_stream(codec, rate=rate)
    stream.width, stream.height, stream.pix_fmt = frames[0].shape[1], frames[0].shape[0], pixels
    if codec == "libx264":
      stream.options = {"crf": "10", "preset": "ultrafast"}
      stream.codec_context.thread_count = 1  # the bytes depend on it
    if options:
      stream.options = {**stream.options, **options}
    if rotation:
      stream.set_display_rotation(rotation)
    prepare(stream)
    for n, image in enumerate(frames):
      frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
      frame.pts = n if times is None else times[n]
      output.mux(stream.encode(frame))
    output.mux(stream.encode(None))
  return path


def moving(seed: int, count: int = 20, height: int = 96, width: int = 128) -> list[np.ndarray]:
  """Frames of one picture that moves by a pixel per frame."""
  wide = picture(seed, height, width + count)
  return [wide[:, n : n + width] for n in range(count)]


@pytest.fixture
def write_video() -> Callable[..., pathlib.Path]:
  """`encode`, for tests that write a special file."""
  return encode


@pytest.fixture
def moving_frames() -> Callable[..., list[np.ndarray]]:
  """`moving`, for tests that need frames."""
  return moving


@pytest.fixture
def dataset(tmp_path) -> Callable[..., list[str]]:
  """Writes a manifest of good and of broken videos with boxes for the good ones; returns the build's arguments."""

  def make(good: int = 4, bad: Sequence[tuple[str, bytes]] = (), frames: int = 20) -> list[str]:
    folder = tmp_path / "videos"
    folder.mkdir()
    rows, boxes = [], []
    for n in range(good):
      name = f"good{n}.mp4"
      encode(folder / name, moving(n, frames))
      rows.append((name, ("real", "fake")[n % 2], ("train", "val")[n // 2 % 2], f"pair{n // 2}", "kept"))
      boxes += [(name, frame, 40 + frame / 2, 30, 80 + frame / 2, 70) for frame in range(0, frames, 5)]
    for name, content in bad:
      (folder / name).write_bytes(content)
      rows.append((name, "real", "train", "", ""))
      boxes += [(name, frame, 40, 30, 80, 70) for frame in range(0, frames, 5)]
    for file, header, lines in (
      ("list.csv", ("path", "label", "split", "pair", "note"), rows),
      ("boxes.csv", ("video", "frame", "x1", "y1", "x2", "y2"), boxes),
    ):
      with (folder / file).open("w", newline="") as opened:
        csv.writer(opened).writerows([header, *lines])
    manifest, detections = folder / "list.csv", folder / "boxes.csv"
    return [
      "--source=manifest",
      f"--manifest={manifest}",
      "--detector=precomputed",
      f"--detections={detections}",
      "--size=32",
    ]

  return make


def make_faceforensics(root: pathlib.Path) -> pathlib.Path:
  """A train, a val and a test pair, c23 whole, `raw` called c0 with reals only, DFD and FaceShifter beside."""
  for a, b in (("071", "054"), ("720", "672"), ("953", "974")):
    place(root, *(f"original_sequences/youtube/c23/videos/{i}.mp4" for i in (a, b)))
    place(root, f"original_sequences/youtube/c0/videos/{a}.mp4")
    for manipulation in ("Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures", "FaceShifter"):
      base = f"manipulated_sequences/{manipulation}/c23/videos"
      place(root, f"{base}/{a}_{b}.mp4", f"{base}/{b}_{a}.mp4")
  place(root, "original_sequences/actors/c23/videos/01__walking_outside_cafe_disgusted.mp4")
  dfd = "manipulated_sequences/DeepFakeDetection/c23/videos"
  place(
    root, f"{dfd}/01_02__walking_outside_cafe_disgusted__YVGY8LOK.mp4", f"{dfd}/03_04__exit_phone_room__AB12CD34.mp4"
  )
  (root / "original_sequences/youtube/c23/videos/054.mp4").unlink()  # its forgeries are still there
  return root


def make_celeb_df(root: pathlib.Path, seed: int = 0, people: int = 30) -> pathlib.Path:
  """Thirty people, three videos each, every video swapped with four others; a tenth of all is test."""
  rng = random.Random(seed)
  reals = [(person, number) for person in range(people) for number in range(3)]
  paths = [f"Celeb-real/id{p}_{n:04d}.mp4" for p, n in reals] + [f"YouTube-real/{n:05d}.mp4" for n in range(40)]
  paths += [
    f"Celeb-synthesis/id{p}_id{q}_{n:04d}.mp4"
    for p, n in reals
    for q in rng.sample([*range(p), *range(p + 1, people)], 4)
  ]
  place(root, *paths)
  tested = rng.sample(paths, len(paths) // 10)
  # One is real, and the last line does not end: the authors' own list.
  write(root / "List_of_testing_videos.txt", "\n".join(f"{int('real' in p)} {p}" for p in tested))
  return root


def make_dfdc(root: pathlib.Path, parts=(0, 1, 9, 10), test: str = "labels.csv") -> pathlib.Path:
  """Training parts of a real video and two fakes, one of whose originals is absent; test labels in either form."""
  for part in parts:
    folder = root / f"dfdc_train_part_{part}"
    entries = {
      f"real{part}.mp4": {"label": "REAL", "split": "train"},
      f"fake{part}.mp4": {"label": "FAKE", "split": "train", "original": f"real{part}.mp4"},
      f"orphan{part}.mp4": {"label": "FAKE", "split": "train", "original": "gone.mp4"},
      "gone.mp4": {"label": "REAL", "split": "train", "original": None},
    }
    place(folder, f"real{part}.mp4", f"fake{part}.mp4", f"orphan{part}.mp4")
    write(folder / "metadata.json", json.dumps(entries))
  if test == "labels.csv":
    place(root / "test", "x.mp4", "y.mp4")
    write(root / "test/labels.csv", "filename,label\nx.mp4,1\ny.mp4,0\nz.mp4,1")
  elif test:
    place(root / "test/videos", "x.mp4", "y.mp4")
    write(
      root / "test/metadata.json", json.dumps({n: {"is_fake": int(n != "y.mp4")} for n in ("x.mp4", "y.mp4", "z.mp4")})
    )
  return root


def make_dfdc_preview(root: pathlib.Path) -> pathlib.Path:
  """Sixty training and six test people; into a take of each the next one's face is put, by the two methods."""
  entries = {}
  for split, people in (("train", range(100, 160)), ("test", range(200, 206))):
    for person in people:
      for take in "AB":
        entries[f"original_videos/{person}/{person}_{take}.mp4"] = {
          "label": "real", "set": split, "target_id": person, "swapped_id": None, "augmentations": [],
        }  # fmt: skip
      other = person + 1 if person + 1 in people else people[0]
      for method in ("method_A", "method_B"):
        entries[f"{method}/{person}/{person}_A/{other}_{person}_A_0.mp4"] = {
          "label": "fake", "set": split, "target_id": person, "swapped_id": other,
        }  # fmt: skip
  place(root, *entries)
  write(root / "dataset.json", json.dumps(entries))
  (root / "original_videos/100/100_A.mp4").unlink()
  return root


def make_deeper_forensics(root: pathlib.Path, reals: bool = True) -> pathlib.Path:
  """Two targets per split, the default sets and one more, reals in FaceForensics++'s layout below the same root."""
  names = {"train": ("000_M101", "001_W004"), "val": ("002_M102", "003_W005"), "test": ("004_M103", "005_W006")}
  for split, stems in names.items():
    write(root / f"lists/splits/{split}.txt", "\n".join(f"{stem}.mp4" for stem in stems))
    for name in ("end_to_end", "end_to_end_random_level", "end_to_end_level_5"):
      place(root, *(f"manipulated_videos/{name}/{stem}.mp4" for stem in stems))
    place(root, f"source_videos/{stems[0][4:]}/BlendShape/front.mp4")
    if reals:
      place(root, *(f"original_sequences/youtube/c23/videos/{stem[:3]}.mp4" for stem in stems))
  return root


def make_archive(path: pathlib.Path, members: Sequence[str]) -> None:
  """A tar.gz of empty files, quickly."""
  path.parent.mkdir(parents=True, exist_ok=True)
  with tarfile.open(path, "w:gz", compresslevel=1) as archive:
    for name in members:
      archive.addfile(tarfile.TarInfo(name), io.BytesIO())


def make_wild_deepfake(root: pathlib.Path, gap: str = "_") -> pathlib.Path:
  """Archives of two sequences of two pictures (empty: listing decodes nothing), as the authors nest them."""
  for label, split in itertools.product(("real", "fake"), ("train", "test")):
    for n in range(60 if split == "train" else 3):
      members = [f"./{n}/{label}/{sequence}/{frame}.png" for sequence in (0, 3) for frame in (1, 2)]
      make_archive(root / f"{label}{gap}{split}/{n}.tar.gz", members)
  return root


MINIATURES = {
  "faceforensics": make_faceforensics,
  "celeb_df_v1": make_celeb_df,
  "celeb_df_v2": make_celeb_df,
  "dfdc": make_dfdc,
  "dfdc_preview": make_dfdc_preview,
  "deeper_forensics": make_deeper_forensics,
  "wild_deepfake": make_wild_deepfake,
}


@pytest.fixture
def miniature() -> Callable[..., pathlib.Path]:
  """`miniature(source, root, …)` lays out a dataset in its authors' way, of empty files; see the functions above."""
  return lambda source, root, **options: MINIATURES[source](root, **options)
