"""All studies by name."""

from dfdetect_jax.errors import unknown
from dfdetect_jax.studies import dil, dip, reals, sdr, st_ilif
from dfdetect_jax.studies.definition import Study

STUDIES = {study.name: study for paper in (st_ilif, sdr, dip, dil, reals) for study in paper.STUDIES}


def get_study(name: str) -> Study:
  """The study of that name.

  Raises:
    UserError: there is none.
  """
  if name not in STUDIES:
    raise unknown("study", name, STUDIES)
  return STUDIES[name]
