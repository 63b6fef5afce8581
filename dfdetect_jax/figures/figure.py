"""What every figure is: a name, what it needs, and a function that draws it and says what values it shows."""

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
from matplotlib.figure import Figure as Canvas

from dfdetect_jax.errors import UserError, unwritable
from dfdetect_jax.evaluation import style
from dfdetect_jax.figures import samples
from dfdetect_jax.figures.explain import Explanation, make_explainer
from dfdetect_jax.figures.samples import Sample
from dfdetect_jax.folders import write_json, write_whole
from dfdetect_jax.runs.restore import Run, restore_run
from dfdetect_jax.schema import read_tracks

PHOTO_SIZE = 224  # pixels of the crops in figures that need no network, at most: stored crops are not enlarged


@dataclasses.dataclass(frozen=True, eq=False)
class Drawn:
  """A finished figure.

  Attributes:
    picture: PNG or SVG.
    caption: what it shows, of what.
    values: what is drawn, as JSON can hold it; written beside the picture.
  """

  picture: bytes
  caption: str
  values: dict[str, Any]

  @property
  def ending(self) -> str:
    """Of the picture's file."""
    return "png" if self.picture.startswith(b"\x89PNG") else "svg"

  @property
  def small(self) -> bytes:
    """The picture for a page: photographs as JPEG, a fifth of the PNG's bytes."""
    if self.ending == "svg":
      return self.picture
    image = cv2.imdecode(np.frombuffer(self.picture, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None, "drawn just now"
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes()


class Material:
  """What the user gave: videos or shards, and runs.

  Args:
    data: dataset folder, "" if there is none.
    videos: files.
    workdirs: of runs.
    scores: score file, "" if there is none.
    split: of the dataset folder.
    seed: of whatever is drawn by lot.
  """

  def __init__(
    self,
    data: str = "",
    videos: Sequence[str] = (),
    workdirs: Sequence[str] = (),
    scores: str = "",
    split: str = "test",
    seed: int = 0,
  ):
    self.data, self.videos, self.workdirs = data, tuple(videos), tuple(workdirs)
    self.scores, self.split, self.seed = scores, split, seed

  @functools.cache  # noqa: B019, one object lives as long as the program
  def samples(self, size: int = 0) -> list[Sample]:
    """Real first, then its forgeries; of files, in their order.

    Args:
      size: of the crops in pixels; 0: as they are, at most `PHOTO_SIZE`.

    Raises:
      UserError: nothing was given, or it cannot be used.
    """
    if self.videos:
      return samples.from_videos(self.videos, size or PHOTO_SIZE)
    if not self.data:
      raise UserError("give --data=SHARDS, video files (real ones first), or --demo: there is nothing to draw.")
    size = size or min(PHOTO_SIZE, read_tracks(self.data, self.split)[0].size)
    return samples.from_shards(self.data, size, self.split)

  def both(self, size: int = 0) -> tuple[Sample, Sample]:
    """A real and a forged sample; of files, the first two.

    Raises:
      UserError: there are not two.
    """
    found = self.samples(size)
    if len(found) < 2:
      raise UserError("this figure compares a real and a forged video: give two video files, the real one first.")
    return found[0], found[1]

  @functools.cache  # noqa: B019
  def _loaded(self, workdir: str) -> Run:
    return restore_run(workdir)

  def runs(self, method: str = "") -> list[Run]:
    """The runs of a method (of all, if "").

    Raises:
      UserError: there is none.
    """
    found = [run for run in map(self._loaded, self.workdirs) if method in ("", run.config.method)]
    if not found:
      raise UserError(f"give --workdir=RUN of a trained '{method or 'detector'}', or --demo.")
    return found

  @functools.cache  # noqa: B019
  def _explainer(self, workdir: str) -> Callable[[Any, np.ndarray], Explanation]:
    return make_explainer(self._loaded(workdir).method)

  def explained(self, run: Run, clips: np.ndarray) -> Explanation:
    """Explanation of clips, on the host."""
    import jax

    workdir = next(w for w in self.workdirs if self._loaded(w) is run)
    return jax.device_get(self._explainer(workdir)(run.variables, clips))


@dataclasses.dataclass(frozen=True)
class Figure:
  """A figure of a paper.

  Attributes:
    name: such as `dip_figure7`.
    title: what it shows, in a few words.
    reference: paper and number.
    needs: what must be given, for the list.
    draw: draws it.
    method: whose run it needs, "" = none.
  """

  name: str
  title: str
  reference: str
  needs: str
  draw: Callable[[Material], Drawn]
  method: str = ""


def grid(
  rows: Sequence[str], columns: Sequence[str], cell: float = 1.25, left: float = 1.15
) -> tuple[Canvas, np.ndarray]:
  """A canvas of square pictures with names of rows and columns; axes `[rows, columns]`."""
  canvas = Canvas(figsize=(left + cell * len(columns), 0.35 + cell * len(rows)), layout="constrained")
  axes = canvas.subplots(len(rows), len(columns), squeeze=False)
  engine: Any = canvas.get_layout_engine()
  engine.set(w_pad=0.015, h_pad=0.015, wspace=0.01, hspace=0.01)
  for ax in axes.flat:
    ax.set(xticks=[], yticks=[])
    for spine in ax.spines.values():
      spine.set_visible(False)
  for ax, name in zip(axes[0], columns):
    ax.set_title(name, fontsize=9)
  for ax, name in zip(axes[:, 0], rows):
    ax.set_ylabel(name, fontsize=9, rotation=0, ha="right", va="center", labelpad=6)
  return canvas, axes


def evenly(count: int, of: int) -> np.ndarray:
  """`count` (or all) of the indices 0 … `of` − 1, spread evenly, ends included."""
  return np.unique(np.linspace(0, of - 1, min(count, of)).round().astype(int))


def write(drawn: Drawn, name: str, output: pathlib.Path) -> pathlib.Path:
  """Writes NAME.png (or .svg) and NAME.json with the values; returns the picture's path.

  Raises:
    UserError: they cannot be written.
  """
  path = output / f"{name}.{drawn.ending}"
  try:
    output.mkdir(parents=True, exist_ok=True)
    write_whole(path, drawn.picture)
    write_json(output / f"{name}.json", {"caption": drawn.caption, "values": drawn.values})
  except OSError as error:
    raise unwritable(output, error, "choose another --output") from error
  return path


look, to_png, to_svg = style.look, style.to_png, style.to_svg
