"""Whether a study can reproduce its table here: data, weights, leaks, memory and time, before the first step."""

import dataclasses
from collections.abc import Sequence

import jax

from dfdetect_jax import methods
from dfdetect_jax.data.catalogue import DatasetFolder
from dfdetect_jax.data.videos import VideoSet, find_leaks, leaking_videos
from dfdetect_jax.datasets import DATASETS
from dfdetect_jax.errors import UserError
from dfdetect_jax.interop import checkpoint, start
from dfdetect_jax.schema import read_failures
from dfdetect_jax.studies.forecast import Lengths, Speed
from dfdetect_jax.studies.plan import Run
from dfdetect_jax.studies.recipe import Recipe
from dfdetect_jax.training import memory

READY, NOT_READY = 0, 3


@dataclasses.dataclass
class Findings:
  """What was found: `lines` for people, what is `missing`, and which of that is `fatal`: a run would not start."""

  lines: list[str] = dataclasses.field(default_factory=list)
  missing: list[str] = dataclasses.field(default_factory=list)
  fatal: list[str] = dataclasses.field(default_factory=list)

  def lacks(self, what: str, fatal: bool = False) -> None:
    """Notes something that is missing, once."""
    if what not in self.missing:
      self.missing.append(what)
    if fatal and what not in self.fatal:
      self.fatal.append(what)

  def __str__(self) -> str:
    if not self.missing:
      return "\n".join([*self.lines, "", "ready"])
    return "\n".join([*self.lines, "", f"not ready, {len(self.missing)} things:", *(f"  - {m}" for m in self.missing)])


def check(
  runs: Sequence[Run], devices: int, gib: float | None, speeds: dict[str, Speed], published: bool = True
) -> Findings:
  """Looks at every training and every test of a plan.

  Args:
    runs: see `plan.make_plan`.
    devices: of a training; 0 leaves memory out.
    gib: memory of each, None where it is not known: then what is needed is told.
    speeds: step times by `Recipe.speed`.
    published: whether numbers of videos are compared with the authors'; not of a demo's stand-ins.
  """
  found = Findings()
  trainings = {run.recipe.name: run for run in runs}
  _videos(trainings.values(), found, published)
  _weights([run.recipe for run in trainings.values() if not run.trained], found)
  _leaks(trainings.values(), found)
  if devices:
    _memory([run.recipe for run in trainings.values() if not run.trained], devices, gib, found)
  _time(runs, speeds, found)
  return found


def _videos(runs, found: Findings, published: bool) -> None:
  """Sets found, and their videos per split against what the authors print."""
  found.lines.append("Videos (real + fake; failed ones count, they are scored as 0.5):")
  seen: dict[tuple[VideoSet, str, DatasetFolder], None] = {}
  for run in runs:
    if run.data is not None:
      dataset = DATASETS.get(run.recipe.videos.dataset)
      together = ["train+val"] if dataset is not None and dataset.count("train+val") else []
      seen |= dict.fromkeys((run.recipe.videos, split, run.data) for split in ("train", "val", *together))
    seen |= {(videos, "test", folder): None for videos, folder in run.sets.items()}
    for what in run.missing:
      found.lacks(what)
  for videos, split, folder in seen:
    real, fake = count(folder, videos, split)
    expected = DATASETS[videos.dataset].count(split, videos.manipulations) if videos.dataset in DATASETS else None
    what = f"{videos.described()} {split}: {real} + {fake}"
    if split == "val" and not (real and fake):
      found.lacks(f"{what}: nothing can be selected by them", fatal=real + fake > 0)
    if not published or expected is None or videos.distortion:
      found.lines.append(f"  {what}")
    elif expected == (real, fake):
      found.lines.append(f"  {what}, as published")
    else:
      found.lines.append(f"  {what}, published are {expected[0]} + {expected[1]}")
      found.lacks(f"{what} of {expected[0]} + {expected[1]} that the authors publish, in {folder.path}")


def count(folder: DatasetFolder, videos: VideoSet, split: str) -> tuple[int, int]:
  """Real and fake videos of a set in a split ("train+val": in both), with those in which no face was found."""
  splits = split.split("+")
  failed = [f for name in splits for f in read_failures(folder.path, name) if f.label in (0, 1)]
  labels = {v.video_id: v.label for v in (*folder.tracks, *failed) if v.split in splits and videos.holds(v)}
  return sum(label == 0 for label in labels.values()), sum(label == 1 for label in labels.values())


def _weights(recipes: Sequence[Recipe], found: Findings) -> None:
  """Weights that are given, whole, and mapped onto every variant that starts from them."""
  found.lines += ["", "Weights:"]
  verified: set[str] = set()
  users: dict[str, list[str]] = {}
  for recipe in recipes:
    init = recipe.config.init
    if recipe.unweighted:
      found.lacks(recipe.unweighted, fatal=True)
      users.setdefault(f"{recipe.network}: not given, the paper starts from {recipe.config.starts_from}", [])
    elif not init or init == start.RANDOM:
      users.setdefault(f"{recipe.network}: random", []).append(recipe.shown)
    else:
      try:
        if init not in verified and (conversion := checkpoint.read_conversion(init)) is not None:
          conversion.read()
        verified.add(init)
        report = start.mapping(init, recipe.config, shapes(recipe))
        _, unknown = start.inherited_videos(init)
      except UserError as error:
        found.lacks(f"{recipe.shown}: {error}", fatal=True)
        continue
      loaded = f"{len(report.loaded)} arrays loaded, {len(report.adapted)} adapted"
      random = ", ".join(report.random_modules()) or "nothing"
      users.setdefault(f"{recipe.network}: {init} ({report.table}), {loaded}; random: {random}", []).append(
        recipe.shown
      )
      if unknown:
        users.setdefault(f"{recipe.network}: {unknown}", [])
  for line, who in users.items():
    found.lines.append(f"  {line}" + (f"  [{', '.join(dict.fromkeys(who))}]" if who else ""))


_SHAPES: dict[str, object] = {}


def model_key(recipe: Recipe) -> str:
  """Equal for trainings whose models have the same variables."""
  return "\n".join(recipe.config[name].to_json() for name in ("model", "clips")) + recipe.config.method


def shapes(recipe: Recipe):
  """Shapes of a model's variables; variants that differ in training alone share them. No device is asked for."""
  key = model_key(recipe)
  if key not in _SHAPES:
    rng = jax.eval_shape(lambda: jax.random.key(0))
    _SHAPES[key] = jax.eval_shape(methods.build(recipe.config).init, rng)
  return _SHAPES[key]


def _leaks(runs, found: Findings) -> None:
  """What training sets, and the weights they start from, share with test sets."""
  found.lines += ["", "Leaks from training into tests (--leaks says whether figures drop or keep them):"]
  before = len(found.lines)
  known: dict = {}
  for run in runs:
    init = run.recipe.config.init
    inherited: list = []
    if init not in ("", start.RANDOM):
      try:
        inherited, _ = start.inherited_videos(init)
      except UserError:
        pass  # told under weights
    if run.data is None:
      continue
    learned = [t for t in run.data.tracks if t.split != "test" and run.recipe.videos.holds(t)]
    for videos, folder in run.sets.items():
      key = (run.recipe.videos, run.data.path, init, videos, folder.path)
      if key in known:
        continue
      tested = [t for t in folder.tracks if t.split == "test" and videos.holds(t)]
      seen = [*learned, *inherited]
      again, all_ids = leaking_videos(seen, tested), {t.video_id for t in tested}
      people = any(leak.kind == "identity" for leak in find_leaks(seen, tested))
      known[key] = None
      if again:
        found.lines.append(f"  {run.recipe.videos.described()} → {videos.described()}: {len(again)} of {len(all_ids)}")
        if again == all_ids:
          found.lacks(f"all test videos of {videos.described()} were trained on: nothing is left to judge by")
      elif people:
        found.lines.append(f"  {run.recipe.videos.described()} → {videos.described()}: people alone, in other videos")
  if len(found.lines) == before:
    found.lines.append("  none")


def _memory(recipes: Sequence[Recipe], devices: int, gib: float | None, found: Findings) -> None:
  """What each training needs of each device."""
  given = f" of {gib:g} GiB" if gib else ""
  found.lines += ["", f"Memory per device, on {devices} device{'s' * (devices > 1)}{given}, by shapes:"]
  needs: dict[str, list[str]] = {}
  for recipe in recipes:
    try:
      need = memory.estimate(recipe.config, devices)
    except UserError as error:
      found.lacks(f"{recipe.shown}: {error}", fatal=True)
      continue
    fits = gib is None or need.fits(gib)
    line = f"{need}, {memory.device_size(need)}" + ("" if fits else f": DOES NOT FIT into {gib:g} GiB")
    needs.setdefault(line, []).append(recipe.shown)
    if not fits:
      found.lacks(
        f"{recipe.shown} needs {need.total / 2**30:.1f} GiB of each device: take more devices, --set=remat="
        "nothing_saveable, --set=dtype=bfloat16, or --set=accumulate=N (batch statistics then see a part at a time)"
      )
  found.lines += [f"  {line}  [{', '.join(dict.fromkeys(who))}]" for line, who in needs.items()]


def _time(runs: Sequence[Run], speeds: dict[str, Speed], found: Findings) -> None:
  """Device-hours that are left, as far as step times were measured."""
  lengths, hours, unknown = Lengths(), 0.0, 0
  for run in runs:
    if run.trained:
      continue
    total, speed = lengths(run), speeds.get(run.recipe.speed)
    if total is None or speed is None or speed.seconds is None:
      unknown += 1
    else:
      hours += total * speed.seconds * speed.devices / 3600
  text = f"{hours:.3g} device-hours"
  if unknown:
    text += f", and {unknown} of {len(runs)} runs unknown: `plan --measure` times a few steps on the devices there"
  found.lines += ["", f"Time: {text}."]
