"""What can be learned from real videos alone: no paper's table, but one that this project adds to them.

Every method's variant `reals` is trained, and its steps are selected, on FF++'s real videos with self-made forgeries
(`dfdetect_jax.augment.self_blending`), and tested on forgeries of which it has seen none. Nothing is printed anywhere
to compare with.
"""

from dfdetect_jax.evaluation.protocols import PROTOCOLS
from dfdetect_jax.studies.definition import Cell, Study, Training

ROWS = {"ST-ILIF": "st_ilif", "FTCN": "ftcn", "SDR": "sdr", "DIP": "dip", "DIL": "dil"}
PROTOCOL = PROTOCOLS["reals-only"]

STUDIES = (
  Study(
    "reals_only",
    "learning from real videos alone",
    "this project",
    tuple(
      Cell(row, videos.name, None, parts=((Training(f"{config}:reals", PROTOCOL.train), videos),))
      for row, config in ROWS.items()
      for videos in PROTOCOL.test
    ),
    ("Trained on FF++'s real videos (c23) and forgeries made of them; no paper prints these figures.",),
  ),
)
