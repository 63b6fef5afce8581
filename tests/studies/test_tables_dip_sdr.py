"""The tables of DIP and SDR as studies: complete, consistent with themselves, and measured by what their rows say."""

import importlib
import re
import statistics

import pytest

from dfdetect_jax.datasets import FOUR
from dfdetect_jax.evaluation.metrics import METRICS
from dfdetect_jax.evaluation.protocols import DISTORTIONS, LEVELS, PROTOCOLS
from dfdetect_jax.runs.config import override
from dfdetect_jax.studies import dip, sdr
from dfdetect_jax.studies.cells import again, measured_by
from dfdetect_jax.studies.definition import Study, Training, quoted
from dfdetect_jax.studies.registry import get_study

STUDIES = (*dip.STUDIES, *sdr.STUDIES)
PAIRS = {(protocol.train, videos) for protocol in PROTOCOLS.values() for videos in protocol.test}

# Counted in the papers: figures of the rows that are measured here, and of the others.
COUNTS = {
  "dip_table1": (4, 29), "dip_table2": (5 + 6, 56), "dip_table3": (20, 10), "dip_table4": (30, 0),
  "dip_table5": (12, 0), "dip_table6": (35, 0), "dip_table7": (18 + 9, 0), "dip_table8": (30 + 30, 0),
  "dip_figure6": (80, 0),
  "sdr_table1": (5 + 20, 40), "sdr_table2": (9, 18), "sdr_table3": (8 + 2, 0), "sdr_figure2": (24, 0),
}  # fmt: skip

# Columns that the papers call averages: (number of decimals, what of).
AVERAGES = {
  ("dip_table2", "Average"): (2, ("CDF", "DFDC-P", "DFDC", "DFR", "WDF")),
  ("dip_table3", "Avg"): (1, ("DF", "FS", "F2F", "NT")),
  ("dip_table5", "Average"): (1, ("FF++", "CDF", "DFDC-P")),
  ("dip_table6", "Cross Avg."): (2, ("CDF", "DFDC-P", "WDF")),
  ("sdr_table1", "Avg AUC"): (1, ("DF AUC", "FS AUC", "F2F AUC", "NT AUC")),
  ("sdr_table1", "Avg ACC"): (1, ("DF ACC", "FS ACC", "F2F ACC", "NT ACC")),
  ("sdr_table2", "Avg"): (1, ("Celeb", "DFDC")),
}
# Printed averages that are not the mean of their row; the notes of the studies say so.
ODD = {
  ("dip_table2", "RECCE"): 74.67,
  ("dip_table2", "SBI"): 79.78,
  ("dip_table2", "FTCN"): 82.70,
  ("dip_table5", "DIP"): 92.9,
}


def cells(study):
  return {(cell.row, cell.column): cell for cell in get_study(study).cells}


def trainings(studies=STUDIES):
  return {training for study in studies for cell in study.cells for training, _ in cell.parts}


def resolved(training):
  """The config of a training, as a run would have it."""
  file, _, name = training.config.partition(":")
  return override(importlib.import_module(f"configs.{file}").get_config(name), dict(training.overrides))


def test_all_tables_and_figures_are_there_and_complete():
  """Guards against a table, row or column lost in transcription."""
  counts = {s.name: (sum(bool(c.parts) for c in s.cells), sum(not c.parts for c in s.cells)) for s in STUDIES}
  assert counts == COUNTS
  assert all(get_study(study.name) is study for study in STUDIES)


def test_columns_stand_in_the_papers_order():
  """Guards the order of columns whose first row has gaps: by first cells, Table II would end with WDF."""
  assert get_study("dip_table1").columns == ("C40 ACC", "C40 AUC", "C23 ACC", "C23 AUC")
  assert get_study("dip_table2").columns == ("CDF", "DFDC-P", "DFDC", "DFR", "WDF", "Average")
  assert get_study("dip_table3").columns == ("DF", "FS", "F2F", "NT", "Avg")
  assert get_study("dip_table4").columns == ("DF", "F2F", "FS", "NT", "CDF")
  assert get_study("dip_figure6").columns == ("1", "2", "3", "4", "5")
  curves = (*DISTORTIONS, "average")
  assert get_study("dip_figure6").rows == (*curves, *(f"{curve}, Xception" for curve in curves))
  disjoint = quoted(("A", "B", "C"), "one | 1 | - | -\ntwo | - | 1 | 1")
  assert Study("", "", "", disjoint).columns == ("A", "B", "C")


@pytest.mark.parametrize("study", STUDIES, ids=lambda study: study.name)
def test_cells_are_well_formed(study):
  """Guards against doubled cells, unknown metrics, figures that are no percentages, and tests off protocol.

  Of each pair, the train split of the one and the test split of the other are read: they must stand together in a
  protocol, which knows nothing of a manipulation tested at the other quality or a left-out one trained on.
  """
  assert len({(cell.row, cell.column) for cell in study.cells}) == len(study.cells)
  for cell in study.cells:
    assert cell.metric in METRICS
    if cell.printed is None:
      assert cell.parts, f"{cell} is neither printed nor measured"
    else:
      assert 45 < cell.printed <= 100, "all figures of these papers are AUC or accuracy in per cent"
    assert len(set(cell.parts)) == len(cell.parts)
    for training, videos in cell.parts:
      assert (training.videos, videos) in PAIRS
      assert len(training.videos.compressions) == 1 and not training.videos.distortion
  assert bool(study.axis) == ("figure" in study.name)


def test_every_training_has_its_config_and_no_two_are_the_same():
  """Guards against variants that do not exist, and against one run, hours on a GPU, planned under two names."""
  seen = {}
  for training in trainings() - {Training("dip:table6_k7_t20", dip.C23)}:  # its name tells a demo which graph to take
    key = (repr(resolved(training).to_dict()), training.videos)
    assert key not in seen, f"{training} is {seen[key]} once more"
    seen[key] = training
  # Xception after all of FF++ and four times after three manipulations; rows of ours in DIP's VII and VIII, SDR's III.
  assert len(seen) == 55 + 5 + (3 + 6 + 1)


@pytest.mark.parametrize(("study", "column"), AVERAGES)
def test_averages_are_of_their_rows(study, column):
  """Guards transcription (a wrong digit leaves the mean) and that a measured average is of what the printed one is."""
  decimals, columns = AVERAGES[study, column]
  table, odd = cells(study), {}
  for row in get_study(study).rows:
    if (row, column) not in table:
      assert row == "FTCN" and column == "Avg ACC"
      continue
    members = [table[row, c] for c in columns if (row, c) in table]
    average = table[row, column]
    if abs(statistics.fmean(m.printed for m in members) - average.printed) > 0.5 * 10**-decimals + 1e-9:
      odd[study, row] = average.printed
    parts = [part for member in members for part in member.parts]
    assert set(average.parts) == set(parts) and len(average.parts) == len(parts)
    assert {m.metric for m in members} == {average.metric}
  assert odd == {key: value for key, value in ODD.items() if key[0] == study}
  assert all(f"{value:.{decimals}f}" in " ".join(get_study(study).notes) for value in odd.values())


@pytest.mark.parametrize(
  ("study", "row", "column", "printed", "metric", "config", "train", "test"),
  [
    ("dip_table1", "DIP", "C40 ACC", 92.33, "acc", "dip", "FF++ c40", "FF++ c40"),
    ("dip_table1", "DIP", "C40 AUC", 95.16, "auc", "dip", "FF++ c40", "FF++ c40"),
    ("dip_table1", "DIP", "C23 ACC", 99.10, "acc", "dip", "FF++ c23", "FF++ c23"),
    ("dip_table1", "DIP", "C23 AUC", 99.46, "auc", "dip", "FF++ c23", "FF++ c23"),
    ("dip_table2", "DIP", "DFDC-P", 87.98, "auc", "dip", "FF++ c23", "DFDC-Preview"),
    ("dip_table2", "DIP", "DFDC", 79.90, "auc", "dip", "FF++ c23", "DFDC"),
    ("dip_table2", "DIP", "DFR", 98.02, "auc", "dip", "FF++ c23", "DeeperForensics-1.0"),
    ("dip_table2", "DIP", "WDF", 81.12, "auc", "dip", "FF++ c23", "WildDeepfake"),
    ("dip_table2", "FTCN", "CDF", 86.90, "auc", "ftcn", "FF++ c23", "Celeb-DF-v2"),
    ("dip_table3", "DIP", "FS", 99.0, "auc", "dip", "FF++ c23 without FaceSwap", "FaceSwap"),
    ("dip_table3", "DIL", "F2F", 94.8, "auc", "dil:table3_cross", "FF++ c23 without Face2Face", "Face2Face"),
    ("dip_table4", "SA:TA 6:1", "FS", 93.7, "auc", "dip:table4_sa6_ta1", "FF++ c40", "FaceSwap"),
    ("dip_table4", "SA:TA 1:3", "F2F", 89.6, "auc", "dip:table4_sa1_ta3", "FF++ c40", "Face2Face"),
    ("dip_table4", "SA:TA 1:1", "CDF", 83.1, "auc", "dip:table4_sa1_ta1", "FF++ c23", "Celeb-DF-v2"),
    ("dip_table5", "ViViT", "DFDC-P", 74.2, "auc", "dip:table5_vivit", "FF++ c23", "DFDC-Preview"),
    ("dip_table6", "k_n 15, t 25", "WDF", 80.76, "auc", "dip:table6_k15_t25", "FF++ c23", "WildDeepfake"),
    ("dip_table7", "IDM", "CDF", 86.4, "auc", "dip:table7_idm", "FF++ c23", "Celeb-DF-v2"),
    ("dip_table7", "DiCA", "DFDC-P", 84.6, "auc", "dip:table7_dica", "FF++ c23", "DFDC-Preview"),
    ("dip_table8", "w/o Noise Aug.", "FFhf", 97.02, "auc", "dip:table8_no_noise", "FF++ c23", "FFhf"),
    ("dip_table8", "Original", "FFta", 98.62, "auc", "dip", "FF++ c23", "FFta"),
    ("dip_figure6", "contrast", "3", None, "auc", "dip", "FF++ c23", "contrast-3"),
    ("sdr_table1", "SDR", "FS ACC", 97.9, "acc", "sdr:table1_leave_one_out", "FF++ c23 without FaceSwap", "FaceSwap"),
    ("sdr_table1", "FTCN", "F2F AUC", 99.5, "auc", "ftcn:leave_one_out", "FF++ c23 without Face2Face", "Face2Face"),
    ("sdr_table2", "SDR", "DFDC", 76.2, "auc", "sdr", "FF++ c23", "DFDC"),
    ("sdr_table3", "TRFI", "Celeb", 87.9, "auc", "sdr:table3_trfi", "FF++ c23", "Celeb-DF-v2"),
    ("sdr_figure2", "Celeb-DF-v2 ACC", "5", None, "acc", "sdr:fig2_branches5", "FF++ c23", "Celeb-DF-v2"),
    ("sdr_figure2", "FF++ AUC", "4", None, "auc", "sdr", "FF++ c23", "FF++ c23"),
    (
      "sdr_table1",
      "Xception",
      "FS ACC",
      47.5,
      "acc",
      "baselines:xception_leave_one_out",
      "FF++ c23 without FaceSwap",
      "FaceSwap",
    ),
  ],
)
def test_figures_as_the_papers_print_them(study, row, column, printed, metric, config, train, test):
  """Guards columns and rows against a swap: values read in the papers by hand, and what measures them."""
  cell = cells(study)[row, column]
  assert (cell.printed, cell.metric) == (printed, metric)
  ((training, videos),) = cell.parts
  assert (training.config, training.videos.name, videos.name) == (config, train, test)


def test_quoted_figures_as_the_papers_print_them():
  """Guards rows with gaps, where a figure slips easily into the next column."""
  for study, row, column, printed in (
    ("dip_table1", "ISTVT", "C40 ACC", 96.15), ("dip_table1", "ISTVT", "C23 ACC", 99.00),
    ("dip_table1", "UiA-ViT", "C23 AUC", 99.33), ("dip_table1", "CDIN", "C40 AUC", 96.80),
    ("dip_table2", "DCL", "DFR", 94.42), ("dip_table2", "DCL", "WDF", 76.87), ("dip_table2", "CDIN", "DFDC", 78.40),
    ("dip_table2", "AltFreezing", "DFR", 99.30), ("dip_table2", "LipForensics", "DFDC", 73.50),
    ("sdr_table1", "RECCE", "FS ACC", 93.4), ("sdr_table2", "SDIF", "Avg", 81.2),
  ):  # fmt: skip
    cell = cells(study)[row, column]
    assert (cell.printed, cell.parts) == (printed, ())
  assert ("ISTVT", "C40 AUC") not in cells("dip_table1")
  assert ("DCL", "DFDC") not in cells("dip_table2")


def test_left_out_columns_leave_out_what_they_are_named_after():
  """Guards the order of the columns, which differs between papers (DF, FS, F2F, NT) and FF++ (DF, F2F, FS, NT)."""
  long = {"DF": "Deepfakes", "FS": "FaceSwap", "F2F": "Face2Face", "NT": "NeuralTextures"}
  for study in ("dip_table3", "sdr_table1"):
    for (_, column), cell in cells(study).items():
      if cell.parts and not column.startswith("Avg"):
        ((training, videos),) = cell.parts
        assert videos.manipulations == (long[column.split()[0]],)
        assert {*training.videos.manipulations, *videos.manipulations} == set(FOUR)
        assert len(training.videos.manipulations) == 3


def configs_by_row(study):
  """Row -> the configs of its cells, which differ in their videos at most."""
  return {
    row: [resolved(t) for t in {t for cell in get_study(study).cells if cell.row == row for t, _ in cell.parts}]
    for row in get_study(study).rows
  }


def test_rows_of_ablations_change_what_they_are_named_after():
  """Guards against a row measured by another row's variant: the names are compared with the configs' own fields."""
  for row, configs in configs_by_row("dip_table4").items():
    assert len(configs) == 2
    assert all([c.model.spatial, c.model.temporal] == [int(n) for n in re.findall(r"\d+", row)] for c in configs)
  for row, (config,) in configs_by_row("dip_table6").items():
    assert [config.model.k_n, config.model.t] == [int(n) for n in re.findall(r"\d+", row)]
  ours = {
    "local density": ("local", "none"),
    "distances over E": ("stationary", "width"),
    "unit features": ("stationary", "unit"),
  }
  for row, (config,) in configs_by_row("dip_table7").items():
    row, _, name = row.partition(", ")
    assert (config.model.density, config.model.feature_scale) == ours.get(name, ("stationary", "none"))
    on = [name for name, c in (("DiCA", config.model.dica), ("IDM", config.model.idm)) if c]
    on += ["DA loss"] if config.objective.da_weight else []
    assert (" + ".join(on) or "none") == row
  kinds = {"HFreq": "blur", "Noise": "noise", "Color": "saturation", "Tempo": "temporal"}
  for row, (config,) in configs_by_row("dip_table8").items():
    row, _, name = row.partition(", ")
    assert config.objective.student_augmented == (name == "student too")
    off = [kind for kind, field in kinds.items() if not config.augment[field]]
    assert off == ([] if row == "Original" else list(kinds) if row == "w/o Aug." else [row.split()[1]])
  for row, (config,) in configs_by_row("sdr_table3").items():
    row, _, name = row.partition(", ")
    assert len(config.objective.redrawn) == (4 if name else 2)
    tpa, trfi = config.objective.tpa and config.model.trfi, config.model.trfi
    contrastive = trfi and config.objective.gamma > 0
    names = [name for name, c in (("TPA", tpa), ("TRFI", trfi), ("contrastive", contrastive)) if c]
    assert (" + ".join(names) or "none") == row
  for cell in get_study("sdr_figure2").cells:
    assert resolved(cell.parts[0][0]).model.branches == int(cell.column)


def test_robustness_averages_over_distortions_at_a_level():
  """Guards Fig. 6: 35 different perturbed sets under one training, and the average over kinds, not over levels."""
  table = cells("dip_figure6")
  sets = {videos for cell in table.values() for _, videos in cell.parts}
  assert {(v.distortion, v.level) for v in sets} == {(d, level) for d in DISTORTIONS for level in LEVELS}
  of = {"": "dip", "Xception": "baselines:xception"}
  for (row, column), cell in table.items():
    row, _, network = row.partition(", ")
    assert {t for t, _ in cell.parts} == {Training(of[network], PROTOCOLS["robustness"].train)}
    assert {v.level for _, v in cell.parts} == {int(column)}
    assert [v.distortion for _, v in cell.parts] == (list(DISTORTIONS) if row == "average" else [row])


def test_measured_refuses_rows_that_the_table_does_not_have():
  """Guards against a mistyped row, which would silently stay quoted."""
  with pytest.raises(KeyError, match="DlP"):
    measured_by(quoted(("CDF",), "DIP | 88.36"), {"DlP": {}})


def test_again_refuses_rows_that_are_not_measured():
  """Guards rows of ours against a mistyped or a quoted one, which would silently be missing."""
  with pytest.raises(KeyError, match="DIP"):
    again(quoted(("CDF",), "DIP | 88.36"), ("DIP",), "scan", ("model.t", 3))
