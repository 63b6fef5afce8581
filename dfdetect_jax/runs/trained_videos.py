"""Which videos a run has seen: the list that keeps them out of its test.

Training writes `train_videos.csv` into the workdir, a line for each video that it trains on or is validated on. Shards
may be gone, moved or built anew by the time of a test; the list stays with the run.
"""

import csv
import dataclasses
import hashlib
import io
import json
import pathlib
from collections.abc import Sequence

import ml_collections

from dfdetect_jax.data.videos import Leak, VideoSet, find_leaks, leaking_videos
from dfdetect_jax.errors import UserError, unwritable
from dfdetect_jax.files import damaged, make, parse_rows, read_text
from dfdetect_jax.folders import as_folder, write_whole
from dfdetect_jax.schema import SPLITS, Track, VideoInfo, read_tracks

TRAINED_FILE = "train_videos.csv"
LEAKS = ("refuse", "drop", "keep")
_CURE = "remove it; leaks are then looked for in the shards"


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainedVideo(VideoInfo):
  """A video that a run was trained on (split "train") or selected by ("val")."""


_COLUMNS = (
  "video_id", "split", "label", "dataset", "manipulation", "compression", "pair", "identity", "sha256",
)  # fmt: skip
_SEAL = "list_sha256"


def _of(tracks: Sequence[Track]) -> list[TrainedVideo]:
  videos = (TrainedVideo(**{name: getattr(t, name) for name in _COLUMNS}) for t in tracks if t.split != "test")
  return list(dict.fromkeys(videos))


def write_trained_videos(
  workdir: pathlib.Path, tracks: Sequence[Track], inherited: Sequence[TrainedVideo] = ()
) -> None:
  """Writes the list, whole or not at all; a run that goes on with other shards has seen those from before too.

  Args:
    workdir: of the run.
    tracks: of its shards.
    inherited: what the weights that it started from had seen.

  Raises:
    UserError: it cannot be written.
  """
  videos = list(dict.fromkeys([*(read_trained_videos(workdir) or []), *inherited, *_of(tracks)]))
  path = workdir / TRAINED_FILE
  try:
    write_whole(path, format_trained_videos(videos))
  except OSError as error:
    raise unwritable(path, error, "make room for it") from error


def format_trained_videos(videos: Sequence[TrainedVideo]) -> str:
  """The list as CSV; its last column is the seal of the whole list, the same in each line."""
  rows = [[getattr(video, name) for name in _COLUMNS] for video in videos]
  seal = _seal(rows)
  file = io.StringIO(newline="")
  writer = csv.writer(file, lineterminator="\n")
  writer.writerow([*_COLUMNS, *([_SEAL] if rows else [])])
  writer.writerows([*row, seal] for row in rows)
  return file.getvalue()


def _seal(rows: Sequence[Sequence[object]]) -> str:
  return hashlib.sha256(json.dumps([[str(value) for value in row] for row in rows]).encode()).hexdigest()[:16]


def parse_trained_videos(text: str, where: str) -> list[TrainedVideo]:
  """The list that `format_trained_videos` wrote; `where` names the file in messages.

  Raises:
    DamagedFile: it is none, or its seal differs from what it holds (lists of older runs have none).
  """
  rows = parse_rows(text, where, ("video_id", "split", "label"), _CURE)
  sealed = _SEAL in text.partition("\n")[0]
  seals = {row.pop(_SEAL) for _, row in rows} if sealed else set()
  if sealed and seals != {_seal([list(row.values()) for _, row in rows])}:
    raise damaged(where, "its checksum differs from what it holds", _CURE)
  videos = []
  for line, row in rows:
    if row["label"] not in ("0", "1") or row["split"] not in SPLITS:
      raise damaged(line, f"label '{row['label']}' of split '{row['split']}'", _CURE)
    videos.append(make(TrainedVideo, row | {"label": int(row["label"])}, line, _CURE))
  return videos


def read_trained_videos(workdir: pathlib.Path) -> list[TrainedVideo] | None:
  """Reads the list, None if the workdir has none.

  Raises:
    UserError: the file is not such a list.
  """
  path = workdir / TRAINED_FILE
  if not path.is_file():
    return None
  return parse_trained_videos(read_text(path, _CURE), str(path))


def trained_videos(workdir: pathlib.Path, config: ml_collections.ConfigDict) -> list[TrainedVideo] | None:
  """What a run has seen, by its list or, where that is absent, by its shards; None if these are gone too."""
  videos = read_trained_videos(workdir)
  if videos is None and config.data and as_folder(config.data).is_dir():
    wanted = VideoSet("config.videos", **config.videos)
    videos = _of([t for t in read_tracks(config.data) if wanted.holds(t)])
  return videos


def leaks_from_training(
  trained: Sequence[TrainedVideo], tracks: Sequence[Track], split: str, policy: str
) -> tuple[set[str], list[str]]:
  """Looks for what a run has seen among the videos that it is to be judged by.

  A video, its file or its footage may not come back. People may, in other videos: that is told, and no more, as it is
  before training. Scores of the training split are of what was seen, as everyone knows: nothing is looked for.

  Args:
    trained: what the run has seen. The validation split is compared with what was trained on, test with all.
    tracks: of the videos to be scored.
    split: that these are of.
    policy: "refuse" to go on, "drop" the videos, or "keep" them, which spoils every figure that they are in.

  Returns:
    Ids of the videos that were seen, to be left out or marked, and what must be told.

  Raises:
    UserError: there are leaks and the policy is to refuse.
  """
  if split == "train":
    return set(), []
  seen = [v for v in trained if split == "test" or v.split == "train"]
  leaks = find_leaks(seen, tracks)
  worst = [leak for leak in leaks if leak.kind != "identity"]
  people = (
    [f"people of '{split}' stand in training too: {_example(leaks, 'identity')}."] if len(leaks) > len(worst) else []
  )
  if not worst:
    return set(), people
  kinds = "; ".join(_example(worst, kind) for kind in dict.fromkeys(leak.kind for leak in worst))
  dropped, all_ids = leaking_videos(seen, tracks), {t.video_id for t in tracks}
  count = f"{len(dropped)} of {len(all_ids)} videos of '{split}'"
  if policy == "refuse":
    raise UserError(
      f"the run has seen {count}: {kinds}. A figure on them says nothing about new videos. --leaks=drop leaves them "
      "out and says so, --leaks=keep scores them and marks every figure as contaminated; training on videos that share "
      "nothing with the test is better."
    )
  if policy == "keep":
    return dropped, [
      *people,
      f"CONTAMINATED: {count} are scored although the run has seen them (--leaks=keep): {kinds}.",
    ]
  if dropped == all_ids:
    raise UserError(f"the run has seen all videos of '{split}': {kinds}. There is nothing left to judge it by.")
  return dropped, [*people, f"{count} were left out, because the run has seen them: {kinds}."]


def _example(leaks: Sequence[Leak], kind: str) -> str:
  of_kind = [leak for leak in leaks if leak.kind == kind]
  one = of_kind[0]
  return f"{len(of_kind)} of kind '{kind}' (such as {one.shared}: '{one.first}' and '{one.second}')"
