"""Where verdicts go: JSON, CSV, pages, pictures, annotated videos. Each is tried before the work and written after
every video, so that whatever stops a long call, what is done is kept."""

import csv
import dataclasses
import hashlib
import io
import json
import os
import pathlib
import urllib.parse
from collections.abc import Mapping, Sequence

from dfdetect_jax.errors import UserError, unwritable
from dfdetect_jax.files import DamagedFile, read_json, sealed
from dfdetect_jax.folders import on_disk, partial_name, write_whole
from dfdetect_jax.prediction.about import About
from dfdetect_jax.prediction.evidence import ShownClip
from dfdetect_jax.prediction.index_page import index_page
from dfdetect_jax.prediction.names import output_name
from dfdetect_jax.prediction.page import verdict_page
from dfdetect_jax.prediction.pictures import picture_of
from dfdetect_jax.prediction.verdict import VideoVerdict, shown

CSV_COLUMNS = (
  "path", "status", "reason", "verdict", "score", "probability", "track", "track_score", "track_weight",
  "track_start_second", "track_end_second", "first_frame", "last_frame", "start_second", "end_second", "clip_score",
  "counts", "x1", "y1", "x2", "y2", "face",
)  # fmt: skip
FORMAT = 1  # of the kept results; raised when they would be read wrongly


@dataclasses.dataclass(frozen=True)
class Wanted:
  """What a user asks to be written; "" is not.

  Attributes:
    json: file for everything.
    csv: file with a row for each clip; the pictures of the faces that it names lie in a folder beside it.
    report: page; of several videos the index, with the pages of the videos in a folder beside it. A folder gets
      `index.html`.
    plot: folder for a picture of each video.
    overlay: annotated video; of several videos a folder of them.
  """

  json: str = ""
  csv: str = ""
  report: str = ""
  plot: str = ""
  overlay: str = ""


class Outputs:
  """Writes what was asked for.

  Args:
    wanted: see `Wanted`.
    paths: all videos of the call.
    about: the judge.

  Raises:
    UserError: something cannot be written there, or would overwrite a video.
  """

  def __init__(self, wanted: Wanted, paths: Sequence[str], about: About):
    self._about, self._total = about, len(paths)
    several = len(paths) > 1
    self._json, self._csv = (on_disk(p) if p else None for p in (wanted.json, wanted.csv))
    self._report = _page_path(on_disk(wanted.report)) if wanted.report else None
    self._pages = self._report.parent / f"{self._report.stem}_videos" if self._report and several else None
    self._faces = self._csv.parent / f"{self._csv.stem}_faces" if self._csv else None
    self._plot = on_disk(wanted.plot) if wanted.plot else None
    overlay = on_disk(wanted.overlay) if wanted.overlay else None
    if overlay and several and overlay.suffix and not overlay.is_dir():
      raise UserError(f"--overlay={shown(overlay)} is one file, but there are {len(paths)} videos: give a folder.")
    self._overlays = overlay if overlay and (several or overlay.is_dir() or not overlay.suffix) else None
    self._overlay = None if self._overlays else overlay
    for option, file in (
      ("json", self._json),
      ("csv", self._csv),
      ("report", self._report),
      ("overlay", self._overlay),
    ):
      if file:
        _try_file(file, option, paths)
    for option, folder in (
      ("report", self._pages),
      ("csv", self._faces),
      ("plot", self._plot),
      ("overlay", self._overlays),
    ):
      if folder:
        _try_file(folder / "tried", option, ())
    self._verdicts: list[tuple[VideoVerdict, str]] = []
    self._texts: list[str] = []
    self._rows: list[str] = []
    self._key = _judge_key(about)

  def wants_pictures(self) -> bool:
    """Whether clips are to be shown."""
    return self._report is not None

  def overlay_of(self, path: str) -> pathlib.Path | None:
    """Where the annotated video of a video goes, None if none is wanted."""
    return self._overlays / f"{output_name(path)}.mp4" if self._overlays else self._overlay

  def plot_of(self, path: str) -> pathlib.Path | None:
    """Where the picture of a video goes, None if none is wanted."""
    return self._plot / f"{output_name(path)}.png" if self._plot else None

  def kept(self, path: str) -> VideoVerdict | None:
    """The verdict of an earlier call, if it was made by the same judge of the same file and all it wrote is there."""
    if not self._pages:
      return None
    written = [self._pages / f"{output_name(path)}.html", self.overlay_of(path), self.plot_of(path)]
    if not all(file.is_file() for file in written if file):
      return None
    try:
      content = read_json(self._pages / f"{output_name(path)}.json", "it is made again")
      if content["key"] != self._key | _file_key(path):
        return None
      return VideoVerdict.from_json(content["verdict"])
    except (DamagedFile, ValueError, KeyError, TypeError):
      return None

  def add(self, verdict: VideoVerdict, clips: Mapping[int, Sequence[ShownClip]] | None = None) -> list[pathlib.Path]:
    """Writes all that there is, with a further video; its page is left as it is if `clips` is None.

    Returns:
      The files about this video alone.

    Raises:
      UserError: the disk is full or gone.
    """
    name = output_name(verdict.path)
    link = f"{urllib.parse.quote(self._pages.name)}/{name}.html" if self._pages else ""
    self._verdicts.append((verdict, link))
    if self._json:
      self._texts.append(json.dumps(verdict.to_json(), indent=1))
    files: dict[pathlib.Path, str | bytes] = {}
    if self._csv and self._faces:
      crops = {t.track: self._faces / f"{name}_{t.track}.webp" for t in verdict.tracks if t.face}
      self._rows.append(_csv_rows(verdict, {n: f"{file.parent.name}/{file.name}" for n, file in crops.items()}))
      files |= {crops[t.track]: picture_of(t.face) for t in verdict.tracks if t.face}
    page = None
    if self._json:
      about = json.dumps(self._about.to_json(), indent=1)[:-2]
      files[self._json] = f'{about},\n "videos": [\n{",".join(self._texts)}\n ]\n}}\n'
    if self._csv:
      files[self._csv] = _csv_line(CSV_COLUMNS) + "".join(self._rows)
    if self._pages and self._report and clips is not None:
      page = self._pages / f"{name}.html"
      files[page] = verdict_page(verdict, self._about, clips, f"../{urllib.parse.quote(self._report.name)}")
      if verdict.status == "ok":  # what failed is tried again by the next call
        kept = {"key": self._key | _file_key(verdict.path), "verdict": verdict.to_json()}
        files[self._pages / f"{name}.json"] = json.dumps(sealed(kept))
    if self._report:
      files[self._report] = (
        index_page(self._verdicts, self._about, self._total)
        if self._pages
        else verdict_page(verdict, self._about, clips or {})
      )
    for file, content in files.items():
      try:
        write_whole(file, content)
      except OSError as error:
        raise UserError(
          f"{shown(file)} cannot be written ({error.strerror or error}); what was there is kept."
        ) from error
    return [page] if page else []

  def shared(self) -> list[pathlib.Path]:
    """The files about all videos."""
    return [file for file in (self._json, self._csv, self._report) if file]


def _page_path(report: pathlib.Path) -> pathlib.Path:
  return report if report.suffix.lower() in (".html", ".htm") and not report.is_dir() else report / "index.html"


def _try_file(file: pathlib.Path, option: str, videos: Sequence[str]) -> None:
  """Makes the folder of a file, and finds out whether it can be written there."""
  for video in videos:
    if file.exists() and os.path.exists(video) and os.path.samefile(file, video):
      raise UserError(f"--{option}={shown(file)} is one of the videos: it would be overwritten.")
  if file.is_dir():
    raise UserError(f"--{option}={shown(file)} is a folder: give the name of a file.")
  trial = partial_name(file)
  try:
    file.parent.mkdir(parents=True, exist_ok=True)
    trial.write_bytes(b"")
    trial.unlink()
  except OSError as error:
    raise unwritable(f"--{option}: {shown(file)}", error, "choose another place") from error


def _judge_key(about: About) -> dict[str, str]:
  """What a verdict depends on beside the video."""
  decision = dataclasses.asdict(about.decision)
  content = [FORMAT, os.path.abspath(about.workdir), about.step, about.weights, decision, about.over_tracks]
  content += [dataclasses.asdict(about.dense), dict(about.rows)["faces"]]
  return {"judge": hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()}


def _file_key(path: str) -> dict[str, str]:
  try:
    stat = os.stat(path)
  except OSError:
    return {"file": "none"}
  return {"file": f"{stat.st_size} {stat.st_mtime_ns}"}


def _csv_rows(verdict: VideoVerdict, crops: Mapping[int, str]) -> str:
  """A row for each clip, or one for a video that failed; `crops` is the file of each face's picture."""
  known: tuple[object, ...] = (
    shown(verdict.path),
    verdict.status,
    verdict.reason,
    verdict.verdict,
    verdict.score,
    verdict.probability,
  )
  rows: list[tuple[object, ...]] = [
    (*known, t.track, t.score, t.weight, t.start_second, t.end_second, c.first_frame, c.last_frame, c.start_second,
     c.end_second, c.score, int(c.counts), *c.box, crops.get(t.track, ""))
    for t in verdict.tracks for c in t.clips
  ]  # fmt: skip
  return "".join(_csv_line(row) for row in rows or [known + ("",) * (len(CSV_COLUMNS) - len(known))])


def _csv_line(values: Sequence[object]) -> str:
  file = io.StringIO(newline="")
  csv.writer(file, lineterminator="\n").writerow(["" if v is None else v for v in values])
  return file.getvalue()
