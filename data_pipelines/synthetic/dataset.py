"""The dataset on disk: who is in which split, which files there are, and the work of making them."""

import contextlib
import dataclasses
import errno
import json
import multiprocessing
import os
import pathlib
import signal
import time
from collections.abc import Iterable, Iterator

import cv2
from tqdm import tqdm

from data_pipelines.synthetic.forgeries import MANIPULATIONS
from data_pipelines.synthetic.noise import generator
from data_pipelines.synthetic.rendering import frame_size, render
from data_pipelines.synthetic.video_writer import CRF, MASK_CRF, VideoWriter
from dfdetect_jax import locks, signals
from dfdetect_jax.errors import UserError, unknown, unwritable
from dfdetect_jax.files import read_json
from dfdetect_jax.folders import write_whole

SETTINGS_FILE = "synthetic.json"
GENERATOR_VERSION = 2  # to be raised whenever the same settings give other videos
# Shares of the identity pairs; FaceForensics++ has 72/14/14, but a small set needs a test split worth the name.
SHARES = {"train": 0.7, "val": 0.1, "test": 0.2}


@dataclasses.dataclass(frozen=True)
class Settings:
  """What determines every video of a dataset.

  Attributes:
    identities: people, and so real videos; even, because they forge each other in pairs.
    frames: frames of each video, at 25 per second.
    size: height of the frames in pixels; they are 5:4.
    seed: another seed, other people.

  Raises:
    UserError: a value is out of its range.
  """

  identities: int = 40
  frames: int = 64
  size: int = 256
  seed: int = 0

  def __post_init__(self):
    if self.identities % 2 or not 6 <= self.identities <= 1000:
      raise UserError(
        f"--identities={self.identities}: give an even number from 6 to 1000. Identities come in pairs that forge each "
        "other, each split needs a pair, and names have three digits as in FaceForensics++."
      )
    for name, low, high in (("frames", 2, 5000), ("size", 96, 1080), ("seed", 0, 2**63 - 1)):
      value = getattr(self, name)
      if not low <= value <= high:
        raise UserError(f"--{name}={value}: give a number from {low} to {high}.")


@dataclasses.dataclass(frozen=True)
class Job:
  """The videos of one target: the files that are still to be made."""

  settings: Settings
  target: int
  source: int
  # ("real" | manipulation, "c23" | "c40" | "mask") -> path
  files: dict[tuple[str, str], str]


@dataclasses.dataclass(frozen=True)
class Made:
  """What a run made.

  Attributes:
    written: files made; present: files that were there already.
    seconds: of the run; core_seconds: processor seconds of all workers together.
  """

  written: int
  present: int
  seconds: float
  core_seconds: float


def draw_pairs(settings: Settings) -> dict[str, list[tuple[str, str]]]:
  """Splits of identity pairs; a pair (a, b) gives the fakes a_b and b_a, and no identity is in two splits."""
  order = generator(settings.seed, "pairs").permutation(settings.identities)
  names = [f"{number:03d}" for number in order]
  pairs = list(zip(names[::2], names[1::2]))
  val, test = (max(1, round(SHARES[split] * len(pairs))) for split in ("val", "test"))
  train = len(pairs) - val - test
  return {"train": pairs[:train], "val": pairs[train : train + val], "test": pairs[train + val :]}


def video_path(kind: str, compression: str, target: str, source: str) -> pathlib.Path:
  """Path below the dataset's root, as FaceForensics++ has it.

  Args:
    kind: "real" or a manipulation.
    compression: "c23", "c40", or "mask".
    target, source: identities' names.
  """
  if kind == "real":
    return pathlib.Path("original_sequences", "youtube", compression, "videos", f"{target}.mp4")
  folder = "masks" if compression == "mask" else compression
  return pathlib.Path("manipulated_sequences", kind, folder, "videos", f"{target}_{source}.mp4")


def chosen(option: str, names: Iterable[str], known: Iterable[str]) -> tuple[str, ...]:
  """The names, in the order of `known`, each once.

  Raises:
    UserError: a name is unknown, or there is none.
  """
  names, known = list(names), list(known)
  for name in names:
    if name not in known:
      raise unknown(option.removesuffix("s"), name, known, f"--{option}: ", cutoff=0.4)
  if not names:
    raise UserError(f"--{option} is empty; name at least one of {', '.join(known)}.")
  return tuple(name for name in known if name in names)


def make_dataset(
  output: str | pathlib.Path,
  settings: Settings,
  compressions: Iterable[str] = ("c23", "c40"),
  manipulations: Iterable[str] = MANIPULATIONS,
  workers: int = 0,
  progress: bool = True,
) -> Made:
  """Makes the dataset, or what is missing of it; the same settings give the same bytes, whatever the number of workers.

  Args:
    output: the dataset's root; empty, or made by this function with the same settings.
    settings: what to make.
    compressions: names in `CRF`.
    manipulations: names in `MANIPULATIONS`.
    workers: processes; 0 for one per core that this process may use.
    progress: show a bar with rate and time left.

  Raises:
    UserError: an unknown name, or a root that holds something else.
  """
  compressions = chosen("compressions", compressions, CRF)
  manipulations = chosen("manipulations", manipulations, MANIPULATIONS)
  if workers < 0:
    raise UserError(f"--workers={workers}: give the number of processes, or 0 for one per core.")
  root = pathlib.Path(output)
  try:
    _claim(root, settings)
    with locks.held(root / "synthesis.lock", "a synthesis", f"--output={root}"):
      return _make(root, settings, compressions, manipulations, workers, progress)
  except OSError as error:
    if not isinstance(error, PermissionError) and error.errno not in (errno.EROFS, errno.ENOSPC, errno.ENOTDIR):
      raise
    raise unwritable(f"--output={root}", error) from error


def _make(
  root: pathlib.Path,
  settings: Settings,
  compressions: tuple[str, ...],
  manipulations: tuple[str, ...],
  workers: int,
  progress: bool,
) -> Made:
  """`make_dataset` in a root that nobody else writes."""
  _clear_partial(root)  # of a run that was killed
  splits = draw_pairs(settings)
  (root / "splits").mkdir(exist_ok=True)
  for split, pairs in splits.items():
    write_whole(root / "splits" / f"{split}.json", json.dumps(pairs, indent=1) + "\n")

  jobs, present = [], 0
  for a, b in [pair for pairs in splits.values() for pair in pairs]:
    for target, source in ((a, b), (b, a)):
      wanted = {
        (kind, c): root / video_path(kind, c, target, source) for kind in ("real", *manipulations) for c in compressions
      }
      wanted |= {(kind, "mask"): root / video_path(kind, "mask", target, source) for kind in manipulations}
      missing = {key: str(path) for key, path in wanted.items() if not path.is_file()}
      present += len(wanted) - len(missing)
      if missing:
        jobs.append(Job(settings, int(target), int(source), missing))
  start = time.perf_counter()
  workers = min(workers or _cores(), max(1, len(jobs)))
  core_seconds = 0.0
  try:
    with tqdm(total=sum(len(job.files) for job in jobs), unit="video", disable=not progress, desc="rendering") as bar:
      for job_seconds, count in _run(jobs, workers):
        core_seconds += job_seconds
        bar.update(count)
  finally:
    _clear_partial(root)
  return Made(sum(len(job.files) for job in jobs), present, time.perf_counter() - start, core_seconds)


def _run(jobs: list[Job], workers: int) -> Iterator[tuple[float, int]]:
  if workers == 1:
    threads = cv2.getNumThreads()
    try:
      _one_thread()
      yield from map(make_videos, jobs)
    finally:
      cv2.setNumThreads(threads)
    return
  with signals.without_interrupts():  # Ctrl-C is the parent's to handle
    # Spawned, not forked: the caller may have threads (JAX has).
    pool = multiprocessing.get_context("spawn").Pool(workers, initializer=_begin_worker, initargs=(os.getpid(),))
  with pool:
    # Two at a time: the two targets of a pair share the drawing of the two people.
    yield from pool.imap_unordered(make_videos, jobs, chunksize=2)


def _begin_worker(parent: int) -> None:
  signals.end_with(parent, signal.SIGKILL)  # what it was writing is of no use to anybody
  _one_thread()


def _clear_partial(root: pathlib.Path) -> None:
  for partial in root.rglob("*.mp4.*partial"):
    partial.unlink(missing_ok=True)


def _cores() -> int:
  """Cores that this process may use; on a shared machine fewer than there are."""
  return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _one_thread() -> None:
  """The frames are small; a process per core beats threads within one."""
  cv2.setNumThreads(1)


def make_videos(job: Job) -> tuple[float, int]:
  """Renders one target's real video and forgeries and writes the files of the job.

  Returns:
    Processor seconds taken, files written.
  """
  start = time.process_time()
  s = job.settings
  height, width = frame_size(s.size)
  kinds = {kind for kind, _ in job.files}
  writers = {}
  with contextlib.ExitStack() as stack:
    for (kind, form), path in job.files.items():
      writer = VideoWriter(pathlib.Path(path), MASK_CRF if form == "mask" else CRF[form], height, width)
      stack.callback(writer.abandon)
      writers[kind, form] = writer
    manipulations = [m for m in MANIPULATIONS if m in kinds]
    for frame in render(s.seed, job.target, job.source, s.frames, s.size, manipulations):
      for (kind, form), writer in writers.items():
        writer.write(frame.masks[kind] if form == "mask" else frame.real if kind == "real" else frame.fakes[kind])
    for writer in writers.values():
      writer.finish()
    stack.pop_all()
  return time.process_time() - start, len(writers)


def _claim(root: pathlib.Path, settings: Settings) -> None:
  """Makes the root ours, or finds that it is, with the same settings."""
  record = {"generator_version": GENERATOR_VERSION, **dataclasses.asdict(settings)}
  path = root / SETTINGS_FILE
  if path.is_file():
    found = read_json(path, "remove the folder and make the dataset again")
    if found != record:
      differing = sorted(k for k in {*found, *record} if found.get(k) != record.get(k))
      listed = ", ".join(f"{k} {found.get(k)} (now {record.get(k)})" for k in differing)
      raise UserError(
        f"{root} holds a synthetic dataset made with {listed}: its videos do not go together with these. Give the same "
        "options to finish it, or another --output."
      )
    return
  if root.exists() and (not root.is_dir() or any(root.iterdir())):
    raise UserError(
      f"{root} exists and is no synthetic dataset ({SETTINGS_FILE} is missing): give an empty or new folder."
    )
  root.mkdir(parents=True, exist_ok=True)
  write_whole(path, json.dumps(record, indent=1) + "\n")
