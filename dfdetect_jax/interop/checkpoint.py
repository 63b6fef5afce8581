"""Converted weights on disk: a run that has made no step yet, which all that takes a run can take.

Besides `config.json` and `best/` of every run the folder holds `source.safetensors`, the file's arrays as its key table
names them, from which any variant can start (`interop.start`); `conversion.json`, where they come from, the checksum of
each and what became of it; and, where the weights are those of a run of ours, `train_videos.csv`, what they have seen.
"""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import optax

from dfdetect_jax.errors import UserError, unwritable
from dfdetect_jax.files import damaged, make, read_json, sealed
from dfdetect_jax.folders import write_json
from dfdetect_jax.interop import files
from dfdetect_jax.interop.transfer import Report
from dfdetect_jax.methods import Method
from dfdetect_jax.runs import run_config
from dfdetect_jax.runs.checkpoints import Checkpoints
from dfdetect_jax.runs.restore import restore_run
from dfdetect_jax.runs.state import init_state
from dfdetect_jax.runs.trained_videos import TrainedVideo, write_trained_videos
from dfdetect_jax.runs.weight_files import digest

CONVERSION_FILE, SOURCE_FILE = "conversion.json", "source.safetensors"
FORMAT = 2
_CURE = "convert the weights again"


@dataclasses.dataclass(frozen=True)
class Source:
  """Where converted weights come from.

  Attributes:
    file, sha256: the weight file.
    normalisation: convention that its first layer expected, see `interop.normalisation`; folded already.
    known_by: how that is known.
    partial: whether what did not fit was left, as asked.
    seen: whether what the weights were trained on is known; it is then in `train_videos.csv`.
    about: what people should know of weights whose training is not listed, "" if nothing.
  """

  file: str
  sha256: str
  normalisation: str
  known_by: str
  partial: bool
  seen: bool = False
  about: str = ""


@dataclasses.dataclass(frozen=True)
class Stored:
  """Shape, dtype and checksum (`weight_files.digest`) of an array."""

  shape: list[int]
  dtype: str
  sha256: str


@dataclasses.dataclass(frozen=True)
class Conversion:
  """A folder of converted weights: `source`, and what `source.safetensors` holds."""

  directory: str
  source: Source
  arrays: dict[str, Stored]

  def shapes(self) -> dict[str, np.ndarray]:
    """Arrays of the right shapes that take no memory, to see what fits where."""
    return {n: np.broadcast_to(np.zeros((), a.dtype), a.shape) for n, a in self.arrays.items()}

  def read(self) -> dict[str, np.ndarray]:
    """The arrays.

    Raises:
      UserError: the file is missing or damaged; each array that differs from its checksum is named.
    """
    path = pathlib.Path(self.directory) / SOURCE_FILE
    arrays = files.read(path)
    damaged = [n for n in {*arrays, *self.arrays} if n not in arrays or n not in self.arrays
               or digest(arrays[n]) != self.arrays[n].sha256]  # fmt: skip
    if damaged:
      raise UserError(
        f"{path} is damaged: {len(damaged)} arrays are not what was converted ({', '.join(sorted(damaged)[:8])}). "
        f"Convert {self.source.file} again."
      )
    return arrays


def save(
  directory: str | pathlib.Path,
  config: ml_collections.ConfigDict,
  method: Method,
  variables: Any,
  report: Report,
  source: Source,
  arrays: Mapping[str, np.ndarray],
  seen: Sequence[TrainedVideo] = (),
) -> None:
  """Writes converted weights.

  Args:
    directory: a new folder.
    config: of the method.
    method: what it builds.
    variables: `{"params": …}` and the other collections.
    report: of the conversion.
    source: where the weights come from.
    arrays: the file's, prepared and with its normalisation folded.
    seen: videos that the weights were trained on.

  Raises:
    UserError: the folder holds a run already, or cannot be written.
  """
  directory = pathlib.Path(directory)
  try:
    if (directory / run_config.CONFIG_FILE).exists():
      raise UserError(f"{directory} holds a run or converted weights already: choose another folder, or remove it.")
    directory.mkdir(parents=True, exist_ok=True)
    files.write(directory / SOURCE_FILE, dict(arrays), {"from": source.file})
    if source.seen:
      write_trained_videos(directory, (), inherited=seen)
    listed = {n: dataclasses.asdict(Stored([*a.shape], a.dtype.name, digest(a))) for n, a in arrays.items()}
    about = {"format": FORMAT, "source": dataclasses.asdict(source)}
    write_json(directory / CONVERSION_FILE, sealed(about | dataclasses.asdict(report) | {"arrays": listed}))
    checkpoints = Checkpoints(directory, keep=1)
    # Only weights are kept as "best", so the optimizer does not matter.
    checkpoints.save_best(init_state(method, optax.identity(), jax.random.key(0), variables))
    checkpoints.close()
    # Last: a folder without its config is no run, and an interrupted conversion can be made again.
    run_config.save_config(directory, config)
  except (OSError, ValueError) as error:
    where = str(directory) if len(str(directory)) < 200 else f"{str(directory)[:80]}…"
    raise unwritable(where, error) from error


def read_conversion(directory: str | pathlib.Path) -> Conversion | None:
  """What a folder of converted weights says of itself, None where the folder is none.

  Raises:
    DamagedFile: `conversion.json` is damaged, or of an older version.
  """
  path = pathlib.Path(directory) / CONVERSION_FILE
  if not path.is_file():
    return None
  content = read_json(path, _CURE)
  if content.get("format") != FORMAT:
    raise damaged(path, f"it has format {content.get('format')}, this version writes {FORMAT}", _CURE)
  fields = {name: content[name] for name in ("source", "arrays") if name in content}
  found = make(Conversion, fields | {"directory": str(directory)}, path, _CURE)
  for name, array in found.arrays.items():
    if any(side < 0 for side in array.shape) or array.dtype not in np.sctypeDict:
      raise damaged(path, f"'{name}' is no array", _CURE)
  return found


def load(directory: str | pathlib.Path) -> tuple[nn.Module, dict[str, Any]]:
  """Loads a detector from the folder of a run, or from converted weights.

      model, variables = interop.load("weights/ftcn")
      outputs = model.apply(variables, clips)

  Args:
    directory: a workdir of `dfdetect_jax.train` (its best weights are taken), or a folder that
      `dfdetect_jax.interop.convert` made.

  Returns:
    The Linen module, and its variables in float32.

  Raises:
    UserError: the folder holds nothing of the kind.
  """
  run = restore_run(str(directory))
  return run.method.model, jax.tree.map(jnp.asarray, jax.device_get(run.variables))
