"""The report as a program: its figures are those of the score file, its page stands alone, mistakes are told."""

import html
import json
import pathlib
import re
import subprocess
import sys

import markdown
import numpy as np
import pytest
from sklearn import metrics as sk

from dfdetect_jax.errors import UserError
from dfdetect_jax.evaluation import document, metrics, report, scores
from dfdetect_jax.evaluation.worst import worst_blocks, worst_videos

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]


def _scores(path, seed, split="test", first=0, labels=(0, 1, 1)):
  rng = np.random.default_rng(seed)
  rows = [
    scores.VideoScore(
      video_id=f"D/{'AB'[k - 1] if k else 'original'}/c23/{i}",
      label=y,
      score=float(np.clip(0.3 * y + 0.7 * rng.random(), 0, 1)),
      dataset="D",
      manipulation="AB"[k - 1] if k else "original",
      compression="c23",
      split=split,
      identity=f"{i}",
    )
    for i in range(first, first + 25)
    for k, y in enumerate(labels)
  ]
  rows.append(scores.failed_video(f"D/A/c23/x{first}", 1, "no | face <b>", dataset="D", manipulation="A", split=split))
  scores.write_scores(path, rows)
  return rows


@pytest.mark.slow
def test_program_writes_what_scikit_learn_says(tmp_path):
  """Guards the whole program on two files: printed figures, the three files, pictures inside the page."""
  import matplotlib.font_manager  # noqa: F401, whoever imports it first on a machine is told that it takes a moment

  rows = _scores(tmp_path / "a.csv", 0)
  _scores(tmp_path / "b.csv", 1)
  for name in "ab":
    _scores(tmp_path / f"val_{name}.csv", 2, "val", 100)
  done = subprocess.run(
    [sys.executable, "-W", "error", "-m", "dfdetect_jax.evaluation.report", tmp_path / "a.csv", tmp_path / "b.csv",
     f"--val={tmp_path / 'val_a.csv'}", f"--val={tmp_path / 'val_b.csv'}", f"--output={tmp_path / 'out'}"],
    cwd=REPOSITORY, capture_output=True, text=True, check=True,
  )  # fmt: skip
  assert done.stderr == ""
  auc = 100 * sk.roc_auc_score(*metrics.labels_and_scores(rows))
  assert re.search(rf"\| video level \| 25 \+ 51 \| {auc:.2f} \[[\d.]+, [\d.]+\] \|", done.stdout)
  assert "no \\| face &lt;b>" in done.stdout and "## b.csv against a.csv" in done.stdout
  assert (tmp_path / "out/report.md").read_text() == done.stdout
  page = (tmp_path / "out/report.html").read_text()
  assert page.count("data:image/svg+xml;base64,") == 3
  assert "no | face &lt;b&gt;" in page and "http" not in re.sub(r'base64,[^"]*', "", page)
  figures = json.loads((tmp_path / "out/report.json").read_text())
  summary = figures["files"][str(tmp_path / "a.csv")]["summary"]
  assert summary["overall"]["video"]["auc"] == pytest.approx(auc / 100, abs=1e-12)
  assert summary["threshold"] == metrics.choose_threshold(
    *metrics.labels_and_scores(scores.read_scores(tmp_path / "val_a.csv")[:-1])
  )
  assert figures["comparisons"][0]["n"] == 76
  assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["report.html", "report.json", "report.md"]


def test_program_tells_a_users_mistake_without_traceback(tmp_path):
  """Guards exit status 2 and the one paragraph for a missing file."""
  done = subprocess.run(
    [sys.executable, "-m", "dfdetect_jax.evaluation.report", "none.csv"], cwd=REPOSITORY, capture_output=True, text=True
  )
  assert done.returncode == 2 and "none.csv" in done.stderr and "Traceback" not in done.stderr


def test_threshold_from_test_videos_is_refused(tmp_path):
  """Guards selection on val only: planted test videos in the validation file, by split and by id."""
  rows = _scores(tmp_path / "a.csv", 0)
  with pytest.raises(UserError, match="76 in all"):
    _scores(tmp_path / "val.csv", 1, "test", 100)
    report.report([tmp_path / "a.csv"], [tmp_path / "val.csv"])
  planted = [
    *_scores(tmp_path / "val.csv", 1, "val", 100),
    scores.VideoScore(video_id=rows[3].video_id, label=0, score=0.5),
  ]
  scores.write_scores(tmp_path / "val.csv", planted)
  with pytest.raises(UserError, match="1 of the validation videos, such as 'D/original/c23/1'"):
    report.report([tmp_path / "a.csv"], [tmp_path / "val.csv"])
  with pytest.raises(UserError, match="as many --val files"):
    report.report([tmp_path / "a.csv"], [tmp_path / "val.csv"] * 2)


def test_same_scores_give_the_same_page(tmp_path):
  """Guards against dates and random ids in the page: a report can be compared with the committed one."""
  _scores(tmp_path / "a.csv", 0)
  pages = [document.to_html(report.report([tmp_path / "a.csv"])[0]) for _ in range(2)]
  assert pages[0] == pages[1]


def test_one_class_reports_undefined(tmp_path):
  """Guards against a crash of tables or pictures on a folder of fakes only."""
  _scores(tmp_path / "a.csv", 0, labels=(1, 1, 1))
  text = document.to_markdown(report.report([tmp_path / "a.csv"])[0])
  assert "| undefined |" in text and "EER, AP, TPR@FPR 1 %, TPR@FPR 5 % undefined: all of them are fake." in text


def test_several_files_are_summed_up_first(tmp_path):
  """Guards the table above: a row for each file, before the files' own parts, with the worst manipulation."""
  for number in range(2):
    _scores(tmp_path / f"{number}.csv", number)
  blocks, figures = report.report([tmp_path / "0.csv", tmp_path / "1.csv"])
  heading = blocks.index(document.Heading("Summary"))
  assert heading < blocks.index(document.Heading("0.csv")) and [row[0] for row in blocks[heading + 1].rows] == [
    "0.csv",
    "1.csv",
  ]
  summary = figures["files"][str(tmp_path / "1.csv")]["summary"]
  aucs = {name: f["video"]["auc"] for name, f in summary["per_manipulation"].items()}
  assert summary["worst_manipulation"]["auc"] == min(aucs.values())
  assert blocks[heading + 1].rows[1][-1].detail == min(aucs, key=aucs.get)


def test_titles_are_methods_and_sets():
  """Guards what files are called: by method and sets where these tell them apart, with seed and step where not."""
  rows = [scores.VideoScore(video_id="a", label=0, score=0.5, dataset="faceforensics", compression="c23")]

  def titles(*runs):
    provenances = [
      run and {"run": {"method": run[0], "seed": run[1]}, "split": "test", "checkpoint": {"step": run[2]}}
      for run in runs
    ]
    paths = [pathlib.Path(f"{n}/scores.csv") for n in range(len(runs))]
    return report.titles_of(paths, [rows] * len(runs), provenances)

  assert titles(("dip", 0, 5), ("st_ilif", 0, 5)) == ["DIP on FF++ c23", "ST-ILIF on FF++ c23"]
  assert titles(("dip", 0, 5), ("dip", 1, 5)) == ["DIP on FF++ c23, seed 0", "DIP on FF++ c23, seed 1"]
  assert titles(("dip", 0, 5), ("dip", 0, 9))[1] == "DIP on FF++ c23, seed 0, step 9"
  assert titles(("dip", 0, 5), ("dip", 0, 5))[1] == "DIP on FF++ c23 (1/scores.csv)"
  assert titles(("mine", 0, 5), None) == ["mine on FF++ c23", "1/scores.csv"]


def test_worst_videos_are_the_most_wrong_ones():
  """Guards the choice: by distance from the truth, wrong sides only, failed videos never, both classes apart."""
  values = {"a": (0, 0.9), "b": (0, 0.2), "c": (1, 0.4), "d": (1, 0.05), "e": (1, 0.99), "f": (0, 0.95), "g": (0, 0.6)}
  rows = [scores.VideoScore(video_id=name, label=y, score=p) for name, (y, p) in values.items()]
  rows.append(scores.failed_video("x", 1, "no face"))
  assert [s.video_id for s in worst_videos(rows, 2)] == ["f", "a", "d", "c"]
  assert worst_videos(rows, 0) == []


@pytest.mark.slow
def test_worst_videos_are_shown_by_the_frames_they_were_judged_by(toy_dataset, tmp_path):
  """Guards the strips: the shards' frames of the clip that is most wrong, and a sentence where these are gone."""
  import cv2

  from dfdetect_jax import schema
  from dfdetect_jax.data.frames import FrameReader
  from dfdetect_jax.runs.provenance import data_fingerprint

  track = next(t for t in schema.read_tracks(toy_dataset, "test") if t.label == 1 and t.frames > 12)
  row = scores.VideoScore(
    video_id=track.video_id, label=1, score=0.2, clip_scores=((0.3, 0.1),), clip_starts=((0, 7),), clip_frames=4
  )
  provenance = {"data": data_fingerprint(toy_dataset), "split": "test"}
  [strip] = worst_blocks([row], provenance, 1)[-1].strips
  assert "frames from 7 on" in strip.text
  shown = cv2.imdecode(np.frombuffer(strip.jpeg, np.uint8), cv2.IMREAD_COLOR_RGB).astype(float)
  frames = FrameReader(str(toy_dataset), "test", 112).read(track.first + 7, 4, track)
  assert np.abs(shown - np.concatenate(list(frames), axis=1)).mean() < 6  # JPEG
  gone = worst_blocks([row], {"data": {"path": str(tmp_path), "sha256": ""}, "split": "test"}, 1)
  assert "no longer at" in gone[1].text and gone[-1].strips[0].jpeg == b""


def test_names_with_dollars_are_names(tmp_path):
  """Guards pictures against mathtext: `$` in a set's name is drawn, not parsed (an unmatched one would be an error)."""
  from dfdetect_jax.evaluation import plots

  labels, values = np.array([0, 1, 0, 1]), np.array([0.1, 0.9, 0.4, 0.3])
  picture = plots.roc_picture({"cost $x_1$": (labels, values), r"\frac{$": (labels, values)}).decode()
  assert "cost $x_1$" in picture and r"\frac{$" in picture


def test_titles_tell_files_apart(tmp_path):
  """Guards two runs' scores.csv from appearing under one name, and the same file given twice."""
  for run in ("run1", "run2"):
    (tmp_path / run).mkdir()
    _scores(tmp_path / run / "scores.csv", 0)
  text = document.to_markdown(report.report([tmp_path / "run1/scores.csv", tmp_path / "run2/scores.csv"])[0])
  assert "## run2/scores.csv against run1/scores.csv" in text
  with pytest.raises(UserError, match="given twice"):
    report.report([tmp_path / "run1/scores.csv"] * 2)


@pytest.mark.parametrize(
  "name",
  ["<img src=x onerror=alert(1)>", "[x](javascript:alert(1))", "![x](http://x/y.png)", "a\n\n# b", "`a`*b*", "a|b"],
)
def test_markdown_takes_names_for_names(name):
  """Guards report.md against names that are HTML, links, pictures, headings or rows of a table: a parser shows them as
  they stand."""
  blocks = [
    document.Heading(name, 1), document.Paragraph(name), document.Paragraph(name, notice=True), document.Items([name]),
    document.Table([name, "n"], [[name, document.Cell(name, name)], [(document.Cell(name),), "1"]]),
  ]  # fmt: skip
  page = markdown.markdown(document.to_markdown(blocks), extensions=["tables"])
  assert not re.search("<img|<a |<code>|<em>|<h2", page) and page.count("<h1>") == 1
  words = html.unescape(re.sub("<[^>]+>", " ", page))
  assert " ".join(words.split()).count(" ".join(name.split())) == 9 and page.count("<td") == 4
