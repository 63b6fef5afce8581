"""What the user chose for a working folder; kept in it, so that no later command has to say it again."""

import argparse
import dataclasses
import json
import pathlib
from typing import Any

from dfdetect_jax.data.videos import VideoSet
from dfdetect_jax.errors import UserError, unknown, unwritable
from dfdetect_jax.files import convert, read_json, sealed
from dfdetect_jax.folders import on_disk, write_whole
from dfdetect_jax.runs.config_files import load_config
from dfdetect_jax.studies import demo
from dfdetect_jax.studies.definition import Cell, Training
from dfdetect_jax.studies.recipe import Recipe, network_of, parse_change, resolve

FILE = "study.json"
# What the trainings of a working folder have in common; another value would be another set of runs.
FIXED = ("demo", "size", "steps", "identities", "frames", "init", "changes", "leaks")
_CURE = "remove it and give the options again"
OPTION = {"size": "variant", "changes": "set"}


@dataclasses.dataclass(frozen=True)
class Settings:
  """Choices for the studies of a working folder.

  Attributes:
    workdir: folder of all runs and pages.
    data: dataset folders, or folders that hold some.
    seeds: of each training.
    demo: generated data stand in for every dataset.
    size: "" for the tables' settings, else the variant that gives a reduced size.
    steps: training steps, 0 as the configs say.
    identities, frames: of the demo's generated sets.
    init: weights to start from, by network.
    from_scratch: whether what is given no weights starts from random ones, although its paper does not.
    changes: further config fields, for every training.
    leaks: what happens to test videos that a run has seen: "drop" or "keep", see `runs.trained_videos`.
  """

  workdir: pathlib.Path
  data: tuple[str, ...] = ()
  seeds: tuple[int, ...] = (0, 1, 2)
  demo: bool = False
  size: str = ""
  steps: int = 0
  identities: int = 16
  frames: int = 48
  init: dict[str, str] = dataclasses.field(default_factory=dict)
  from_scratch: bool = False
  changes: dict[str, Any] = dataclasses.field(default_factory=dict)
  leaks: str = "drop"

  def recipe(self, training: Training) -> Recipe:
    """The training as these settings make it."""
    steps = {"total_steps": self.steps, "eval_every": 0, "checkpoint_every": self.steps} if self.steps else {}
    if self.steps:
      steps["log_every"] = max(1, min(25, self.steps // 4))
    return resolve(
      training, self.videos(training.videos), self.size, steps | self.changes, self.init, self.from_scratch
    )

  def videos(self, videos: VideoSet) -> VideoSet:
    """The videos as they are at hand: a demo has stand-ins."""
    return demo.stand_in(videos) if self.demo else videos

  def parts(self, cell: Cell) -> list[tuple[Recipe, VideoSet]]:
    """What measures a cell."""
    return [(self.recipe(training), self.videos(videos)) for training, videos in cell.parts]

  def run_folder(self, recipe: Recipe, seed: int) -> pathlib.Path:
    """Workdir of a run."""
    return self.workdir / "trainings" / recipe.name / f"seed{seed}"

  def save(self) -> None:
    """Keeps the choices in the working folder.

    Raises:
      UserError: it cannot be written.
    """
    values = {k: v for k, v in dataclasses.asdict(self).items() if k != "workdir"}
    text, path = json.dumps(sealed(values), indent=2) + "\n", self.workdir / FILE
    try:
      self.workdir.mkdir(parents=True, exist_ok=True)
      if path.is_file() and path.read_text() == text:  # the tasks of an array all come here
        return
      write_whole(path, text)
    except OSError as error:
      raise unwritable(self.workdir, error, "choose another --workdir") from error


def load(args: argparse.Namespace) -> Settings:
  """The choices of a command line, and where it is silent those that the working folder keeps.

  Raises:
    UserError: an option is malformed, or would make the folder's runs other ones than they are.
  """
  workdir = on_disk(args.workdir)
  given = _given(args)
  kept = {}
  if (workdir / FILE).exists():
    kept = json.loads(json.dumps(convert(Settings, read_json(workdir / FILE, _CURE), workdir / FILE, _CURE)))
    for network, folder in kept.get("init", {}).items():  # a network that no study had so far may be added
      given.get("init", {}).setdefault(network, folder)
    for name in FIXED:
      before, now = kept.get(name), json.loads(json.dumps(given.get(name)))
      if name == "init" and now:
        before, now = ({m: values.get(m) for m in kept["init"]} for values in (kept["init"], now))
      if name in given and name in kept and now != before:
        raise UserError(
          f"{workdir} was begun with --{OPTION.get(name, name)} {before or 'not given'}, now it is {now}: these are "
          "other runs. Give the same (or leave it out), or another --workdir."
        )
  values = kept | given
  if values.get("demo"):
    for name, value in {"size": "small", "steps": 150, "seeds": (0,)}.items():
      values.setdefault(name, value)
    if given.get("data"):
      raise UserError("--demo makes its own data: leave out --data.")
  values = {k: tuple(v) if k in ("data", "seeds") else v for k, v in values.items()}
  if values.get("size") and not values.get("demo"):
    raise UserError("--variant gives a demo's size: give --demo with it.")
  return Settings(workdir, **values)


def networks() -> list[str]:
  """Names of the networks that studies train."""
  from dfdetect_jax.studies.registry import STUDIES

  trainings = dict.fromkeys(t.config for study in STUDIES.values() for c in study.cells for t, _ in c.parts)
  return sorted({network_of(load_config(config)) for config in trainings})


def _given(args: argparse.Namespace) -> dict[str, Any]:
  """The options of the command line that were given."""
  given: dict[str, Any] = {}
  if args.data:
    given["data"] = tuple(path for text in args.data for path in text.split(",") if path)
  if args.seeds:
    words = args.seeds.split(",")
    if not all(word.isdecimal() for word in words) or len(set(words)) < len(words):
      raise UserError(f"--seeds={args.seeds} must be different whole numbers, for example --seeds=0,1,2")
    given["seeds"] = tuple(map(int, words))
  for option, name in (("steps", "steps"), ("variant", "size"), ("identities", "identities"), ("frames", "frames")):
    value = getattr(args, option)
    if value is not None:
      if isinstance(value, int) and value < 1:
        raise UserError(f"--{option}={value} must be at least 1.")
      given[name] = value
  if args.leaks:
    given["leaks"] = args.leaks
  if args.demo:
    given["demo"] = True
  if args.from_scratch:
    given["from_scratch"] = True
  for text in args.init:
    network, _, folder = text.partition("=")
    if not folder:
      raise UserError(f"--init={text} must be NETWORK=DIR, for example --init=dip=weights/vit_b16")
    if network not in (known := networks()):
      raise unknown("network", network, known, f"--init={text}: ")
    given.setdefault("init", {})[network] = folder
  if args.set:
    given["changes"] = dict(map(parse_change, args.set))
  return given
