"""The one look of all pictures: colours that the colour-blind tell apart, names taken literally, equal bytes."""

import contextlib
import io
from collections.abc import Iterator
from typing import Any

import matplotlib as mpl
from cycler import cycler
from matplotlib.figure import Figure

REAL, FAKE, INK, SOFT, PALE = "#2a6f97", "#c8553d", "#1d2733", "#8a95a1", "#dde3ea"
CYCLE = ("#1d2733", "#c8553d", "#2a6f97", "#d9a404", "#5a8f5c", "#7d5ba6", "#a4683c", "#4a9a9f", "#b3477d", "#6b7480")
# Of values from nothing to much, and of differences about zero: ordered in brightness, safe for the colour-blind.
SEQUENTIAL, DIVERGING = "inferno", "RdBu_r"

_SETTINGS: dict[Any, Any] = {
  "text.parse_math": False,  # a `$` in a file's or a set's name is a dollar sign
  "svg.hashsalt": "dfdetect_jax",  # the same figures give the same bytes
  "svg.fonttype": "none",  # letters stay letters: smaller files, searchable and read aloud
  "font.family": ["sans-serif"],
  "text.color": INK,
  "axes.labelcolor": INK,
  "axes.edgecolor": SOFT,
  "axes.titlesize": 11,
  "axes.titlecolor": INK,
  "axes.spines.top": False,
  "axes.spines.right": False,
  **{
    f"{axis}tick.{what}": value
    for axis in "xy"
    for what, value in (("color", SOFT), ("labelcolor", INK), ("labelsize", 9))
  },
  "axes.titleweight": "bold",
  "axes.prop_cycle": cycler(color=CYCLE),
  "legend.fontsize": 8.5,
  "legend.title_fontsize": 8.5,
  "legend.frameon": False,
  "image.cmap": SEQUENTIAL,
}


@contextlib.contextmanager
def look() -> Iterator[None]:
  """Everything that is drawn inside has the look; matplotlib outside stays as the user set it."""
  with mpl.rc_context(_SETTINGS):
    yield


def to_svg(figure: Figure) -> bytes:
  """The picture as SVG, drawn and finished in the look."""
  return _saved(figure, "svg", metadata={"Date": None})


def to_png(figure: Figure) -> bytes:
  """The picture as PNG at twice the screen's resolution, for what is photographs."""
  return _saved(figure, "png", dpi=144, metadata={"Software": None})


def _saved(figure: Figure, form: str, **options) -> bytes:
  out = io.BytesIO()
  with look():
    figure.savefig(out, format=form, **options)
  return out.getvalue()
