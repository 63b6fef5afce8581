"""All studies by name."""

import difflib

from dfdetect_jax.errors import UserError
from dfdetect_jax.studies import dil, dip, sdr, st_ilif
from dfdetect_jax.studies.study import Study

STUDIES = {study.name: study for paper in (st_ilif, sdr, dip, dil) for study in paper.STUDIES}


def get_study(name: str) -> Study:
  """The study of that name.

  Raises:
    UserError: there is none.
  """
  if name not in STUDIES:
    close = difflib.get_close_matches(name, STUDIES, 1)
    meant = f" Did you mean '{close[0]}'?" if close else ""
    raise UserError(f"there is no study '{name}'.{meant} There are: {', '.join(STUDIES)}.")
  return STUDIES[name]
