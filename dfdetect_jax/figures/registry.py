"""All figures by name, and those of the papers that are drawn elsewhere."""

from dfdetect_jax.errors import UserError, unknown
from dfdetect_jax.figures import embedding, failures, heat_maps, motion, patterns, phase, robustness, snippets
from dfdetect_jax.figures.figure import Figure

_ALL = (
  *phase.FIGURES, *motion.FIGURES, *robustness.FIGURES, *heat_maps.FIGURES, *patterns.FIGURES, *embedding.FIGURES,
  *failures.FIGURES, *snippets.FIGURES,
)  # fmt: skip
FIGURES: dict[str, Figure] = {
  figure.name: figure
  for figure in sorted(_ALL, key=lambda f: (f.name.partition("_figure")[0], int(f.name.rpartition("figure")[2])))
}
# Figures that are tables drawn as curves.
ELSEWHERE = {"sdr_figure2": "number of branches: python -m dfdetect_jax.study run sdr_figure2"}


def get_figure(name: str) -> Figure:
  """The figure of that name.

  Raises:
    UserError: there is none.
  """
  if name in ELSEWHERE:
    raise UserError(f"'{name}' is a study: {ELSEWHERE[name]}.")
  if name not in FIGURES:
    raise unknown("figure, nor a file,", name, [*FIGURES, *ELSEWHERE])
  return FIGURES[name]


def listed() -> str:
  """All figures, a line each."""
  lines = [f"{f.name:18} {f.title} ({f.reference}); needs {f.needs}" for f in FIGURES.values()]
  return "\n".join([*lines, *(f"{name:18} a study: {text}" for name, text in ELSEWHERE.items())])
