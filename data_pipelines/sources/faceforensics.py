"""FaceForensics++ (Rössler et al., ICCV 2019), with FaceShifter and DeepFakeDetection where asked for.

  ROOT/original_sequences/{youtube,actors}/{raw,c23,c40}/videos/NNN.mp4
  ROOT/manipulated_sequences/<manipulation>/{raw,c23,c40}/videos/<target>_<source>.mp4
  ROOT/splits/{train,val,test}.json    pairs of ids; where absent, the authors' 360/70/70 pairs as shipped here

`raw` may be called `c0`. A pair [a, b] of a split gives the real videos a and b and the forgeries a_b and b_a. A
forgery may use the face boxes of its target. Without --manipulations these are the four of the papers: FaceShifter and
DeepFakeDetection come in only when named. DeepFakeDetection (DFD) has other people and real videos of its own
(`actors`); its authors divide it nowhere, and all of it is test. Without --compression, all that are there.
"""

import collections
import csv
import pathlib
import re

from data_pipelines.sources import Listing, Video
from data_pipelines.sources.layout import file_names, read_json, require_root
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
      isinstance(pair, list) and len(pair) == 2 and all(isinstance(i, str) and re.fullmatch(r"\w+", i) for i in pair)
      for pair in content
    ):
      raise UserError(f'{file} must be a list of pairs of ids in quotes, such as [["071", "054"]]: ids are strings.')
    pairs[split] = [tuple(pair) for pair in content]
    for identity in sorted({i for pair in pairs[split] for i in pair}):
      if where.setdefault(identity, split) != split:
        raise UserError(
          f"{file}: id {identity} stands in the {where[identity]} split too; splits must not share people."
        )
  return pairs


def list_videos(root: pathlib.Path | None, options: SourceOptions, dataset: str = "faceforensics") -> Listing:
  """Lists what the splits name and the disk has. What is absent of a compression that is there is reported.

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
  bases = {name: root / "manipulated_sequences" / name for name in wanted}
  if {*wanted} - {DFD}:
    bases = {"youtube": root / "original_sequences" / "youtube", **bases}
  if DFD in wanted:
    bases = {"actors": root / "original_sequences" / "actors", **bases}
  pairs = read_pairs(root)
  videos: list[Video] = []
  missing: list[tuple[str, str]] = []
  for compression in options.compression or COMPRESSIONS:
    folders = {name: _folder(base, compression) for name, base in bases.items()}
    there = {name: folder for name, folder in folders.items() if folder is not None}
    if not there and not options.compression:
      continue  # nobody asked for this compression
    missing += [
      (f"{bases[name].relative_to(root).as_posix()}/{compression}/videos", "no such folder")
      for name in folders
      if name not in there
    ]
    of_actors = {name: there.pop(name) for name in ("actors", DFD) if name in there}
    for listing in (_of_pairs(root, dataset, compression, there, pairs), _of_actors(compression, of_actors)):
      videos += listing.videos
      missing += listing.missing
  if not videos:
    raise UserError(
      f"--root={root} holds no video that the splits name; expected are files such as "
      f"{root}/original_sequences/youtube/c23/videos/071.mp4."
    )
  return Listing(videos, missing)


def _folder(base: pathlib.Path, compression: str) -> pathlib.Path | None:
  return next((f for name in COMPRESSIONS[compression] if (f := base / name / "videos").is_dir()), None)


def _of_pairs(
  root: pathlib.Path,
  dataset: str,
  compression: str,
  folders: dict[str, pathlib.Path],
  pairs: dict[str, list[tuple[str, str]]],
) -> Listing:
  """The videos that the splits name: a target's real one ("youtube") beside the forgeries of it."""
  files = {name: {*file_names(folder)} for name, folder in folders.items()}
  named: dict[str, set[str]] = {name: set() for name in folders}
  videos, missing = [], []
  for split, members in pairs.items():
    sources = collections.defaultdict(set)
    for a, b in members:
      sources[a].add(b)
      sources[b].add(a)
    for target in sorted(sources):
      original = f"{dataset}/original/{compression}/{target}"
      boxes = original if f"{target}.mp4" in files.get("youtube", ()) else ""
      for name, folder in folders.items():
        for source in sorted(sources[target]) if name != "youtube" else [""]:
          stem = f"{target}_{source}" if source else target
          path = folder / f"{stem}.mp4"
          named[name].add(path.name)
          if path.name not in files[name]:
            missing.append((path.relative_to(root).as_posix(), "no such file"))
          elif not source:
            videos.append(
              Video(
                video_id=original,
                path=str(path),
                label=0,
                split=split,
                dataset=dataset,
                manipulation="original",
                compression=compression,
                pair=target,
                identity=target,
              )
            )
          else:
            video_id = f"{dataset}/{name}/{compression}/{stem}"
            people = f"{target}+{source}"
            videos.append(
              Video(
                video_id=video_id,
                path=str(path),
                label=1,
                split=split,
                dataset=dataset,
                manipulation=name,
                compression=compression,
                pair=target,
                identity=people,
                boxes_from=boxes,
              )
            )
  for name, folder in folders.items():
    if extra := sorted(files[name] - named[name]):
      missing.append((folder.relative_to(root).as_posix(), f"left out: {len(extra)} videos that no split names"))
  return Listing(videos, missing)


def _of_actors(compression: str, folders: dict[str, pathlib.Path]) -> Listing:
  """DFD: real `<actor>__<scene>.mp4`, forged `<target>_<source>__<scene>__<id>.mp4`; all of it is test."""
  videos = []
  originals = {}
  for folder in [folders["actors"]] if "actors" in folders else []:
    for name in file_names(folder):
      stem = name.removesuffix(".mp4")
      originals[stem] = f"dfd/original/{compression}/{stem}"
      person = f"actor{stem.split('__')[0]}"
      videos.append(
        Video(
          video_id=originals[stem],
          path=str(folder / name),
          label=0,
          split="test",
          dataset="dfd",
          manipulation="original",
          compression=compression,
          pair=stem,
          identity=person,
        )
      )
  for folder in [folders[DFD]] if DFD in folders else []:
    for name in file_names(folder):
      stem = name.removesuffix(".mp4")
      match = re.fullmatch(r"(\d+)_(\d+)__(.+)__\w+", stem)
      pair = f"{match[1]}__{match[3]}" if match else ""
      people = f"actor{match[1]}+actor{match[2]}" if match else ""
      videos.append(
        Video(
          video_id=f"dfd/{DFD}/{compression}/{stem}",
          path=str(folder / name),
          label=1,
          split="test",
          dataset="dfd",
          manipulation=DFD,
          compression=compression,
          pair=pair,
          identity=people,
          boxes_from=originals.get(pair, ""),
        )
      )
  return Listing(videos)
