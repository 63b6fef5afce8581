"""FaceForensics++ (Rössler et al., ICCV 2019), with FaceShifter and DeepFakeDetection where asked for.

  ROOT/original_sequences/{youtube,actors}/{raw,c23,c40}/videos/NNN.mp4
  ROOT/manipulated_sequences/<manipulation>/{raw,c23,c40}/videos/<target>_<source>.mp4
  ROOT/splits/{train,val,test}.json    pairs of ids; where absent, the authors' 360/70/70 pairs as shipped here

`raw` may be called `c0`. A pair [a, b] of a split gives the real videos a and b and the forgeries a_b and b_a. A
forgery may use the face boxes of its target. Without --manipulations these are the four of the papers: DeepFakeDetection (DFD,
other people, no split: all of it is test) and FaceShifter come in only when named.
"""

import csv
import pathlib
import re

from data_pipelines.sources import Listing, Video
from data_pipelines.sources.layout import read_json, require_root
from data_pipelines.sources.registry import SourceOptions
from dfdetect_jax.errors import UserError
from dfdetect_jax.schema import SPLITS

PAPERS = ("Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures")
DFD = "DeepFakeDetection"
MANIPULATIONS = (*PAPERS, "FaceShifter", DFD)
COMPRESSIONS = {"raw": ("raw", "c0"), "c23": ("c23",), "c40": ("c40",)}
SHIPPED_PAIRS = pathlib.Path(__file__).with_name("faceforensics_pairs.csv")


def shipped_pairs() -> dict[str, list[tuple[str, str]]]:
  """The authors' split: 360 training, 70 validation and 70 test pairs of 3-digit ids, 1000 ids in all."""
  pairs: dict[str, list[tuple[str, str]]] = {split: [] for split in SPLITS}
  with SHIPPED_PAIRS.open(newline="") as file:
    for row in csv.DictReader(file):
      pairs[row["split"]].append((row["first_id"], row["second_id"]))
  return pairs


def read_pairs(root: pathlib.Path) -> dict[str, list[tuple[str, str]]]:
  """The pairs of `root/splits/*.json`, or those shipped where the folder has none.

  Raises:
    UserError: a split file is missing beside others, broken, or an id stands in two splits.
  """
  files = {split: root / "splits" / f"{split}.json" for split in SPLITS}
  if not any(file.exists() for file in files.values()):
    return shipped_pairs()
  pairs, where = {}, {}
  for split, file in files.items():
    content = read_json(file)
    if not isinstance(content, list) or not all(
      isinstance(pair, list) and len(pair) == 2 and all(isinstance(i, str) for i in pair) for pair in content
    ):
      raise UserError(f'{file} must be a list of pairs of ids in quotes, such as [["071", "054"]]: ids are strings.')
    pairs[split] = [tuple(pair) for pair in content]
    for identity in {i for pair in pairs[split] for i in pair}:
      if where.setdefault(identity, split) != split:
        raise UserError(
          f"{file}: id {identity} stands in the {where[identity]} split too; splits must not share people."
        )
  return pairs


def list_videos(root: pathlib.Path | None, options: SourceOptions, dataset: str = "faceforensics") -> Listing:
  """Lists what the splits name and the disk has; what is absent of a folder that is there is reported.

  Raises:
    UserError: another layout, unknown manipulations or compressions.
  """
  root = require_root(
    root, dataset, "original_sequences/ and manipulated_sequences/", "original_sequences", "manipulated_sequences"
  )
  for given, known, flag in (
    (options.manipulations, MANIPULATIONS, "manipulations"),
    (options.compression, tuple(COMPRESSIONS), "compression"),
  ):
    unknown = [name for name in given if name not in known]
    if unknown:
      raise UserError(f"--{flag}={unknown[0]}: '{dataset}' knows {', '.join(known)}.")
  wanted = options.manipulations or PAPERS
  pairs = read_pairs(root)
  videos: list[Video] = []
  missing: list[tuple[str, str]] = []
  for compression in options.compression or COMPRESSIONS:
    real = _folder(root / "original_sequences" / "youtube", compression)
    if real is None and options.compression:
      missing.append((f"original_sequences/youtube/{compression}", "no such folder"))
    for split, members in pairs.items():
      for target, source in sorted({*members, *((b, a) for a, b in members)}):
        original = f"{dataset}/original/{compression}/{target}"
        if real is not None:
          path = real / f"{target}.mp4"
          video = Video(original, str(path), 0, split, dataset, "original", compression, target, target)
          _add(video, root, videos, missing)
        for manipulation in (m for m in wanted if m != DFD):
          fake = _folder(root / "manipulated_sequences" / manipulation, compression)
          if fake is None:
            continue
          name = f"{target}_{source}"
          video_id = f"{dataset}/{manipulation}/{compression}/{name}"
          boxes = original if real is not None and (real / f"{target}.mp4").is_file() else ""
          video = Video(
            video_id, str(fake / f"{name}.mp4"), 1, split, dataset, manipulation, compression, target,
            f"{target}+{source}", boxes,
          )  # fmt: skip
          _add(video, root, videos, missing)
    for manipulation in wanted:
      asked = options.manipulations or options.compression
      if asked and _folder(root / "manipulated_sequences" / manipulation, compression) is None:
        missing.append((f"manipulated_sequences/{manipulation}/{compression}", "no such folder"))
    if DFD in wanted:
      videos += _deep_fake_detection(root, compression)
  if not videos:
    raise UserError(
      f"--root={root} holds no video that the splits name; expected are files such as "
      f"{root}/original_sequences/youtube/c23/videos/071.mp4."
    )
  return Listing(videos, missing)


def _folder(base: pathlib.Path, compression: str) -> pathlib.Path | None:
  return next((f for name in COMPRESSIONS[compression] if (f := base / name / "videos").is_dir()), None)


def _add(video: Video, root: pathlib.Path, videos: list[Video], missing: list[tuple[str, str]]) -> None:
  if pathlib.Path(video.path).is_file():
    videos.append(video)
  else:
    missing.append((pathlib.Path(video.path).relative_to(root).as_posix(), "no such file"))


def _deep_fake_detection(root: pathlib.Path, compression: str) -> list[Video]:
  """DFD: `<actor>__<scene>.mp4` and `<target>_<source>__<scene>__<id>.mp4`; the authors divide it nowhere."""
  videos = []
  real = _folder(root / "original_sequences" / "actors", compression)
  originals = {}
  for path in sorted(real.glob("*.mp4")) if real else []:
    originals[path.stem] = f"dfd/original/{compression}/{path.stem}"
    actor = path.stem.split("__")[0]
    videos.append(
      Video(originals[path.stem], str(path), 0, "test", "dfd", "original", compression, path.stem, f"actor{actor}")
    )
  fake = _folder(root / "manipulated_sequences" / DFD, compression)
  for path in sorted(fake.glob("*.mp4")) if fake else []:
    match = re.fullmatch(r"(\d+)_(\d+)__(.+)__\w+", path.stem)
    target, source, scene = match.groups() if match else ("", "", "")
    pair = f"{target}__{scene}" if match else ""
    identity = f"actor{target}+actor{source}" if match else ""
    videos.append(
      Video(
        f"dfd/{DFD}/{compression}/{path.stem}", str(path), 1, "test", "dfd", DFD, compression, pair, identity,
        originals.get(pair, ""),
      )
    )  # fmt: skip
  return videos
