"""The tables of ST-ILIF (Zhang et al., "Spatiotemporal Inconsistency Learning and Interactive Fusion for Deepfake Video
Detection", ACM TOMM 2024): 2-8, 10 and 11.

Table 1 (quality of FF++'s videos) shows nothing that a network decides; what Table 9 shows (parameters and operations)
stands in every page's list of trainings. Celeb-DF is
Celeb-DF-v2: the paper counts 5,639 forgeries. Assumed:
- Table 5 has a network for each manipulation and compression. It can't be Table 4's one network for all four: if that
  misjudged r real videos, Table 5's c23 accuracies would make 24 - 3 r mistakes among all 700, and Table 4's make 19.
- Table 8 trains on c40 for Celeb-DF and DFDC and on c23 for DF-1.0, like Tables 10 and 11, whose values it repeats.
- I3D, a competitor without a named backbone, is I3D on ResNet-50, measured in Tables 5 and 10. So is DIL ("Delving").
- FF++ is built with the first 270 frames of training videos and 140 of the others
  (`--max-frames=train=270,val=140,test=140`).
- Every row of the paper's own setting, and of each T, has one beside it with our recurrence (`scan`); Table 2's network
  has no recurrence.

A column that the paper calls AUC though its values are accuracies is given twice: ACC, with what is printed, and AUC.
"""

import dataclasses
from collections.abc import Mapping, Sequence

from dfdetect_jax.data.videos import VideoSet
from dfdetect_jax.evaluation.protocols import CROSS_DATASETS, LEAKING_TARGETS, PROTOCOLS
from dfdetect_jax.studies.cells import Part, again, measured_by, on
from dfdetect_jax.studies.definition import Cell, Study, Training, quoted

INTRA = {quality: PROTOCOLS[f"intra-dataset-{quality}"] for quality in ("c23", "c40")}
C23, C40 = INTRA["c23"].train, INTRA["c40"].train
NAMES = {"Celeb-DF": "Celeb-DF-v2", "DFDC": "DFDC"}
FROM_C40 = {column: VideoSet(name, CROSS_DATASETS[name]) for column, name in NAMES.items()}
DF_RAND = VideoSet("DF-1.0 std/rand", CROSS_DATASETS["DeeperForensics-1.0"], ("end_to_end_random_level",))
EACH = {
  f"{quality} {short} ACC": videos
  for quality, protocol in INTRA.items()
  for short, videos in zip(("DF", "F2F", "FS", "NT"), protocol.test[1:], strict=True)
}
# The paper's own setting is `st_ilif` without a variant in every table, so that all of them share its runs.
OURS = "st_ilif"

SCAN_NOTE = (
  "Rows named scan are ours: §4.3 stacks a clip's differences in channels, which leaves the ConvGRUs a single step; "
  "there the ConvGRUs run over the differences."
)
ACCURACIES = (
  "The table's caption says AUC, the text of its section video-level accuracy, and the values are multiples of 1/{}, "
  "the number of test videos: they are compared with accuracies, and AUC is measured beside them."
)
SIZE_NOTE = (
  "Table 9 gives ST-ILIF 11.7 M parameters and 1.8 GFLOPs. Those are ResNet-18's, with its classifier and counting a "
  "multiplication and an addition as one; the list of trainings below has what this network comes to."
)
DF_RAND_NOTES = (
  "std/rand is read as the forgeries of DeeperForensics-1.0 at random levels of distortion alone.",
  "Its real videos are FF++'s c23 ones, each distorted as the forgery of it is (data_pipelines.build does so unless "
  "--clean-reals was given: distortion alone then tells real from fake).",
  LEAKING_TARGETS,
)
DFDC_NOTE = (
  "The paper draws 2,000 real and 5,843 forged videos of DFDC and does not say which; all of test is taken. Shards of "
  "data_pipelines.build --source=dfdc --draw=2000 are such a draw, from the training parts."
)


def _each(config: str) -> dict[str, Part]:
  """Trained and tested on each manipulation at each compression."""
  return {column: (Training(config, videos), videos) for column, videos in EACH.items()}


def _across(config: str) -> dict[str, Part]:
  """Trained on c40 for Celeb-DF and DFDC, on c23 for DF-1.0."""
  return on(Training(config, C40), FROM_C40) | on(Training(config, C23), {"DF-1.0": DF_RAND})


def _with_auc(cells: Sequence[Cell]) -> tuple[Cell, ...]:
  """The cells, and behind each measured accuracy the AUC of the same scores, for which nothing is printed."""
  both = []
  for cell in cells:
    both.append(cell)
    if cell.parts:
      column = cell.column.replace("ACC", "AUC")
      both.append(dataclasses.replace(cell, column=column, printed=None, metric="auc"))
  return tuple(both)


def _with_scan(cells: Sequence[Cell], *rows: str) -> tuple[Cell, ...]:
  """The cells, and those rows again with our recurrence (`configs/st_ilif.py:scan`)."""
  return (*cells, *again(cells, rows, "scan", ("model.recurrence", "scan")))


def _ablation(number: int, title: str, rows: Mapping[str, tuple[str, float]], scan: Sequence[str] = ()) -> Study:
  """A table of one column, FF++ c23: row -> config and printed value; `scan` names the rows to measure so as well."""
  cells = [Cell(row, "FF++ c23 ACC", printed, "acc", ((Training(c, C23), C23),)) for row, (c, printed) in rows.items()]
  notes = (ACCURACIES.format(700), SCAN_NOTE) if scan else (ACCURACIES.format(700),)
  every = _with_auc(_with_scan(cells, *scan))
  return Study(f"st_ilif_table{number}", title, f"ST-ILIF, Table {number}", every, notes)


STUDIES = (
  _ablation(
    2,
    "Phase-aware stream alone: the image that it gets beside the grey one",
    {
      "Sobel": ("st_ilif:table2_sobel", 95.29),
      "Prewitt": ("st_ilif:table2_prewitt", 95.71),
      "Amplitude reconstruction": ("st_ilif:table2_amplitude", 95.14),
      "Phase reconstruction": ("st_ilif:table2_phase", 96.00),
    },
  ),
  _ablation(
    3,
    "Sequence stream alone, without and with TDM",
    {"ResNet18": ("st_ilif:table3_resnet18", 92.14), "TDM+ResNet18": ("st_ilif:table3_tdm", 95.71)},
    ("TDM+ResNet18",),
  ),
  _ablation(
    4,
    "Interaction and fusion of the two streams",
    {
      "neither": ("st_ilif:table4_none", 95.57),
      "CAFIM": ("st_ilif:table4_cafim", 96.14),
      "AFFM": ("st_ilif:table4_affm", 96.57),
      "CAFIM + AFFM": (OURS, 97.29),
    },
    ("CAFIM + AFFM",),
  ),
  Study(
    "st_ilif_table5",
    "One manipulation of FF++, lightly and heavily compressed",
    "ST-ILIF, Table 5",
    _with_auc(
      _with_scan(
        measured_by(
          quoted(
            tuple(EACH),
            """
          C3D                     | 92.86 | 88.57 | 91.97 | 89.64 | 89.29 | 82.86 | 87.86 | 87.14
          I3D                     | 92.86 | 92.86 | 96.43 | 90.36 | 91.07 | 86.43 | 91.43 | 78.57
          FaceNetLSTM             | 89.00 | 87.00 | 90.00 | -     | -     | -     | -     | -
          Comotion-35             | 95.95 | 85.35 | 93.60 | 88.25 | 91.60 | -     | -     | -
          Comotion-70             | 99.10 | 93.25 | 98.30 | 90.45 | -     | -     | -     | -
          ADDNet-3d               | 92.14 | 83.93 | 92.50 | 78.21 | 90.36 | 78.21 | 80.00 | 69.29
          Long-Distance Attention | 99.29 | 99.64 | 98.58 | 94.29 | -     | -     | -     | -
          MSVT                    | 95.79 | 93.72 | 92.93 | 92.24 | -     | -     | -     | -
          FAMM                    | -     | -     | -     | -     | 90.00 | 91.00 | 92.75 | 87.50
          ST-ILIF                 | 98.57 | 99.64 | 99.29 | 93.93 | 96.43 | 88.93 | 94.64 | 76.79
          """,
            "acc",
          ),
          {"ST-ILIF": _each("st_ilif:table5_ffpp"), "I3D": _each("baselines:i3d_r50")},
        ),
        "ST-ILIF",
      )
    ),
    (
      SCAN_NOTE,
      SIZE_NOTE,
      ACCURACIES.format(280),
      "C3D on c23 FS: 91.97 is no multiple of 1/280; DIL's Table 1 has 91.79 (two digits swapped).",
      "Long-Distance Attention on c23 FS: 98.58 is no multiple of 1/280 either; 276 of 280 are 98.57.",
      "Comotion-35 has one value on c40 alone, under DF: perhaps a figure of another column.",
    ),
  ),
  _ablation(
    6,
    "Frames of a clip, sequence stream alone",
    {
      "3 frames": ("st_ilif:table6_t3", 96.57),
      "5 frames": ("st_ilif:table3_tdm", 95.71),
      "7 frames": ("st_ilif:table6_t7", 96.00),
      "9 frames": ("st_ilif:table6_t9", 95.86),
    },
    ("3 frames", "5 frames", "7 frames", "9 frames"),
  ),
  Study(
    "st_ilif_table7",
    "Three frames or five, on FF++",
    "ST-ILIF, Table 7",
    _with_scan(
      measured_by(
        quoted(
          ("FF++ c23 AUC", "FF++ c23 ACC"),
          """
        3 frames | 99.22 | 97.14
        5 frames | 99.35 | 97.29
        """,
          ("auc", "acc"),
        ),
        {
          row: on(Training(config, C23), {"FF++ c23 AUC": C23, "FF++ c23 ACC": C23})
          for row, config in (("3 frames", "st_ilif:table7_t3"), ("5 frames", OURS))
        },
      ),
      "3 frames",
      "5 frames",
    ),
    (SCAN_NOTE,),
  ),
  Study(
    "st_ilif_table8",
    "Three frames or five, on other datasets",
    "ST-ILIF, Table 8",
    _with_scan(
      measured_by(
        quoted(
          ("Celeb-DF", "DFDC", "DF-1.0"),
          """
        3 frames | 72.00 | 66.30 | 88.50
        5 frames | 78.95 | 63.37 | 91.07
        """,
        ),
        {"3 frames": _across("st_ilif:table7_t3"), "5 frames": _across(OURS)},
      ),
      "3 frames",
      "5 frames",
    ),
    (
      SCAN_NOTE,
      "The table does not say what is trained on: c40 for Celeb-DF and DFDC, c23 for DF-1.0, as in Tables 10 and 11.",
      "Three frames are far worse than five on Celeb-DF but better on DFDC, which the text passes over.",
      DFDC_NOTE,
      *DF_RAND_NOTES,
    ),
  ),
  Study(
    "st_ilif_table10",
    "From FF++ c40 to other datasets",
    "ST-ILIF, Table 10",
    _with_scan(
      measured_by(
        quoted(
          ("Celeb-DF", "DFDC"),
          """
        Xception  | 65.50 | 59.39
        I3D       | 74.11 | 66.87
        VA-LogReg | 55.10 | -
        TEI       | 74.66 | 67.42
        D-FWA     | 56.90 | -
        Capsule   | 57.50 | -
        V4D       | 70.08 | 67.34
        DIANet    | 70.40 | -
        DSANet    | 73.71 | 68.08
        ADDNet-3D | 60.85 | 65.89
        STIL      | 75.58 | 67.88
        Delving   | 77.65 | 68.43
        ST-ILIF   | 78.95 | 63.37
        """,
        ),
        {
          row: on(Training(config, C40), FROM_C40)
          for row, config in (("I3D", "baselines:i3d_r50"), ("Delving", "dil:table3_cross"), ("ST-ILIF", OURS))
        },
      ),
      "ST-ILIF",
    ),
    (
      SCAN_NOTE,
      "All rows but the last have the values of DIL's Table 3 (DIL is called Delving here); DIL cites DFDC-Preview.",
      DFDC_NOTE,
    ),
  ),
  Study(
    "st_ilif_table11",
    "From FF++ c23 to distorted videos of DeeperForensics-1.0",
    "ST-ILIF, Table 11",
    _with_scan(
      measured_by(
        quoted(
          ("FF++ c23", "DF-1.0 std/rand"),
          """
        MesoNet   | 98.76 | 57.66
        Xception  | 98.94 | 70.03
        Unmasking | 85.44 | 52.89
        TSDA      | 96.00 | 73.49
        Ensemble  | 99.11 | 73.45
        MTD-Net   | 99.38 | 84.21
        ST-ILIF   | 99.35 | 91.07
        """,
        ),
        {"ST-ILIF": on(Training(OURS, C23), {"FF++ c23": C23, "DF-1.0 std/rand": DF_RAND})},
      ),
      "ST-ILIF",
    ),
    (SCAN_NOTE, *DF_RAND_NOTES),
  ),
)
