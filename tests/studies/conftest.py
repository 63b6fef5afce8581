"""A study of the toy detector on the toy dataset."""

import pathlib

import pytest

from dfdetect_jax.data.catalogue import Catalogue
from dfdetect_jax.data.videos import VideoSet
from dfdetect_jax.studies.definition import Cell, Study, Training
from dfdetect_jax.studies.settings import Settings

TOY_CONFIG = str(pathlib.Path(__file__).resolve().parents[1] / "toy_method.py")
TOY = VideoSet("toy", "toy", ("DF",), ("c23",))
ELSEWHERE = VideoSet("elsewhere", "celeb_df_v2")


@pytest.fixture
def toy_study() -> Study:
  """Two rows on two sets, one of which nobody has; an average of them; a quoted row."""
  plain = Training(TOY_CONFIG, TOY)
  wide = Training(TOY_CONFIG, TOY, (("model.width", 24),))
  cells = [Cell("other | method", "toy", 90.0), Cell("other | method", "elsewhere", 70.5)]
  for row, training in (("plain", plain), ("wide", wide)):
    cells += [
      Cell(row, "toy", 95.25, parts=((training, TOY),)),
      Cell(row, "toy ACC", None, "acc", ((training, TOY),)),
      Cell(row, "elsewhere", 80.0, parts=((training, ELSEWHERE),)),
      Cell(row, "mean", 87.6, parts=((training, TOY), (training, ELSEWHERE))),
    ]
  return Study("toy_table", "two widths", "nobody, Table 0", tuple(cells), ("A <note>.",))


@pytest.fixture
def settings(tmp_path) -> Settings:
  """A working folder with two seeds."""
  return Settings(tmp_path / "work", seeds=(0, 1))


@pytest.fixture
def catalogue(toy_dataset) -> Catalogue:
  """The toy dataset alone."""
  return Catalogue([toy_dataset])
