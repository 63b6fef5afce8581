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
from data_pipelines.sources.layout import read_json, require_root
from data_pipelines.sources.registry import SourceOptions
from data_pipelines.sources.tree import Tree
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
  pairs = {}
  where: dict[str, str] = {}
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
  bases = {name: f"manipulated_sequences/{name}" for name in wanted}
  if {*wanted} - {DFD}:
    bases = {"youtube": "original_sequences/youtube", **bases}
  if DFD in wanted:
    bases = {"actors": "original_sequences/actors", **bases}
  tree, listing, pairs = Tree(root), Listing(), read_pairs(root)
  for compression in options.compression or COMPRESSIONS:
    folders = {name: _folder(tree, base, compression) for name, base in bases.items()}
    there = {name: folder for name, folder in folders.items() if folder}
    if not there and not options.compression:
      continue  # nobody asked for this compression
    for name in folders:
      if name not in there:
        listing.miss(f"{bases[name]}/{compression}/videos", "no such folder")
    of_actors = {name: there.pop(name) for name in ("actors", DFD) if name in there}
    _add_pairs(listing, tree, dataset, compression, there, pairs)
    _add_actors(listing, tree, compression, of_actors)
  if not listing.videos:
    raise UserError(
      f"--root={root} holds no video that the splits name; expected are files such as "
      f"{root}/original_sequences/youtube/c23/videos/071.mp4."
    )
  _excuse(tree, options, wanted)
  listing.omitted.extend(tree.omitted())
  return listing


def _folder(tree: Tree, base: str, compression: str) -> str:
  """Folder of a compression's videos, "" if there is none."""
  return next((f for name in COMPRESSIONS[compression] if tree.has_folder(f := f"{base}/{name}/videos")), "")


def _excuse(tree: Tree, options: SourceOptions, wanted: tuple[str, ...]) -> None:
  """Says why whole folders are not read: nobody asked for them, or they hold no videos of faces."""
  unasked = [name for name in MANIPULATIONS if name not in wanted]
  folders = {name: [f"manipulated_sequences/{name}"] for name in unasked}
  if DFD not in wanted:
    folders[DFD].append("original_sequences/actors")
  if not {*wanted} - {DFD}:
    folders["the real videos"] = ["original_sequences/youtube"]
  for name, paths in folders.items():
    for path in paths:
      tree.excuse(
        path, "" if options.manipulations else f"left out: {name}, which comes in when --manipulations names it"
      )
  for base in (
    "original_sequences/youtube",
    "original_sequences/actors",
    *(f"manipulated_sequences/{m}" for m in wanted),
  ):
    tree.excuse(f"{base}/masks", "left out: masks")
    for compression, spellings in COMPRESSIONS.items():
      if options.compression and compression not in options.compression:
        for spelling in spellings:
          tree.excuse(f"{base}/{spelling}", "")
    if tree.has_folder(f"{base}/raw/videos"):
      tree.excuse(f"{base}/c0", "left out: c0 is another name of raw, which is there")


def _add_pairs(
  listing: Listing,
  tree: Tree,
  dataset: str,
  compression: str,
  folders: dict[str, str],
  pairs: dict[str, list[tuple[str, str]]],
) -> None:
  """Adds the videos that the splits name: a target's real one ("youtube") beside the forgeries of it."""
  files = {name: {*tree.names(folder)} for name, folder in folders.items()}
  named: dict[str, set[str]] = {name: set() for name in folders}
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
          path = f"{folder}/{stem}.mp4"
          named[name].add(f"{stem}.mp4")
          where = tree.take(path)
          video = Video(
            video_id=f"{dataset}/{name}/{compression}/{stem}" if source else original,
            path=str(where or tree.root / path),
            label=int(bool(source)),
            split=split,
            dataset=dataset,
            manipulation=name if source else "original",
            compression=compression,
            pair=target,
            identity=f"{target}+{source}" if source else target,
            boxes_from=boxes if source else "",
          )
          if where:
            listing.videos.append(video)
          else:
            listing.miss(path, tree.why_absent(path), video)
  for name, folder in folders.items():
    if extra := sorted(files[name] - named[name]):
      listing.miss(folder, f"left out: {len(extra)} videos that no split names")
      for unnamed in extra:
        tree.take(f"{folder}/{unnamed}")  # told of already


def _add_actors(listing: Listing, tree: Tree, compression: str, folders: dict[str, str]) -> None:
  """DFD: real `<actor>__<scene>.mp4`, forged `<target>_<source>__<scene>__<id>.mp4`; all of it is test."""
  originals = {}
  for folder in [folders["actors"]] if "actors" in folders else []:
    for name in tree.names(folder):
      stem = name.removesuffix(".mp4")
      originals[stem] = f"dfd/original/{compression}/{stem}"
      listing.videos.append(
        Video(
          video_id=originals[stem],
          path=str(tree.take(f"{folder}/{name}")),
          label=0,
          split="test",
          dataset="dfd",
          manipulation="original",
          compression=compression,
          pair=stem,
          identity=f"actor{stem.split('__')[0]}",
        )
      )
  for folder in [folders[DFD]] if DFD in folders else []:
    for name in tree.names(folder):
      stem = name.removesuffix(".mp4")
      match = re.fullmatch(r"(\d+)_(\d+)__(.+)__\w+", stem)
      pair = f"{match[1]}__{match[3]}" if match else ""
      listing.videos.append(
        Video(
          video_id=f"dfd/{DFD}/{compression}/{stem}",
          path=str(tree.take(f"{folder}/{name}")),
          label=1,
          split="test",
          dataset="dfd",
          manipulation=DFD,
          compression=compression,
          pair=pair,
          identity=f"actor{match[1]}+actor{match[2]}" if match else "",
          boxes_from=originals.get(pair, ""),
        )
      )
