"""The page of a study: figures against scikit-learn, what is missing or quoted, and where everything comes from."""

import csv
import dataclasses
import html.parser
import json
import urllib.parse

import numpy as np
import pytest
from sklearn import metrics as sk

from dfdetect_jax.errors import UserError
from dfdetect_jax.evaluation.scores import VideoScore, write_scores
from dfdetect_jax.files import file_sha256
from dfdetect_jax.runs.provenance import FORMAT
from dfdetect_jax.studies import page, strict
from dfdetect_jax.studies.collect import Figure, Origin, collect
from dfdetect_jax.studies.definition import Cell


def _write(folder, seed, dataset="toy", people=30, noise=0.6):
  """Scores of people with a real video, a forgery by DF and one by FS each."""
  rng = np.random.default_rng(seed)
  rows = [
    VideoScore(
      video_id=f"{dataset}/{kind}/c23/{person}",
      label=int(kind != "original"),
      score=float(np.clip((1 - noise) * (kind != "original") + noise * rng.random(), 0, 1)),
      dataset=dataset,
      manipulation=kind,
      compression="c23",
      split="test",
      identity=f"{person}",
    )
    for person in range(people)
    for kind in ("original", "DF", "FS")
  ]
  folder.mkdir(parents=True)
  write_scores(folder / "scores.csv", rows)
  return rows


@pytest.fixture
def measured(toy_study, settings):
  """The toy study with scores: both seeds of `plain` on both sets, one seed of `wide` on one; and `plain`'s rows."""
  plain, wide = (next(settings.parts(c)[0][0] for c in toy_study.cells if c.row == row) for row in ("plain", "wide"))
  rows = {}
  for seed in (0, 1):
    folder = settings.run_folder(plain, seed) / "scores"
    rows["toy", seed] = _write(folder / "clean/toy-c23", seed, noise=0.8 + 0.1 * seed)
    rows["elsewhere", seed] = _write(folder / "clean/celeb_df_v2-c23", 5 + seed, "celeb_df_v2", 20, 1.0)
    _write(folder / "blur-3/toy-c23", 9, noise=0.1)  # distorted copies are another set
    (settings.run_folder(plain, seed) / "config.json").write_text("{}")
  _write(settings.run_folder(wide, 0) / "scores/clean/toy-c23", 3)
  figures = collect(toy_study, settings)
  return toy_study, settings, {(f.cell.row, f.cell.column): f for f in figures}, rows


def _auc(rows, manipulations):
  kept = [r for r in rows if r.manipulation in ("original", *manipulations)]
  return 100 * sk.roc_auc_score([r.label for r in kept], [r.score for r in kept])


def test_figures_are_scikit_learns(measured):
  """Guards mean and sd over seeds, the choice of videos, the mean over sets, and the difference from the paper."""
  _, _, figures, rows = measured
  on_toy = [_auc(rows["toy", seed], ["DF"]) for seed in (0, 1)]
  elsewhere = [_auc(rows["elsewhere", seed], ["DF", "FS"]) for seed in (0, 1)]
  both = np.mean([on_toy, elsewhere], axis=0)
  for column, values in (("toy", on_toy), ("elsewhere", elsewhere), ("mean", both)):
    figure = figures["plain", column]
    assert figure.mean == pytest.approx(np.mean(values), abs=1e-9) and figure.sd == pytest.approx(
      np.std(values, ddof=1)
    )
    assert figure.seeds == (0, 1) and figure.difference == pytest.approx(np.mean(values) - figure.cell.printed)
  kept = [r for r in rows["toy", 0] if r.manipulation != "FS"]
  accuracy = 100 * sk.accuracy_score([r.label for r in kept], [r.score > 0.5 for r in kept])
  other = [r for r in rows["toy", 1] if r.manipulation != "FS"]
  accuracy = (accuracy + 100 * sk.accuracy_score([r.label for r in other], [r.score > 0.5 for r in other])) / 2
  assert figures["plain", "toy ACC"].mean == pytest.approx(accuracy)
  assert figures["plain", "toy ACC"].difference is None


def test_intervals_are_of_the_mean_over_seeds(measured):
  """Guards the interval: people are drawn, the same for both seeds; a plain loop over resamples agrees."""
  _, _, figures, rows = measured
  rng, samples = np.random.default_rng(0), []
  scores = {
    kind: np.array([[r.score for r in rows["toy", seed] if r.manipulation == kind] for seed in (0, 1)])
    for kind in ("original", "DF")
  }  # [seed, person]
  for _ in range(4000):
    drawn = rng.integers(30, size=30)
    real, fake = scores["original"][:, drawn], scores["DF"][:, drawn]
    samples.append(100 * np.mean(fake[:, :, None] > real[:, None, :]))
  low, high = figures["plain", "toy"].interval
  # Three standard errors of such quantiles; draws of their own for each seed would narrow the interval by five.
  assert low == pytest.approx(np.quantile(samples, 0.025), abs=1.0)
  assert high == pytest.approx(np.quantile(samples, 0.975), abs=1.0)


def test_what_is_missing_is_said(measured):
  """Guards cells without a figure: never run, one seed of two, half of an average, quoted."""
  _, _, figures, _ = measured
  assert (figures["wide", "elsewhere"].mean, figures["wide", "elsewhere"].reason) == (None, "not run")
  assert figures["wide", "mean"].reason == "1 of 2 parts"
  assert (figures["wide", "toy"].seeds, figures["wide", "toy"].wanted, figures["wide", "toy"].sd) == ((0,), 2, None)
  assert figures["other | method", "toy"].reason == "quoted" and figures["other | method", "toy"].mean is None


class _Links(html.parser.HTMLParser):
  def __init__(self):
    super().__init__()
    self.links, self.kinds = [], {}

  def handle_starttag(self, tag, attributes):
    attributes = dict(attributes)
    self.links += [v for k, v in attributes.items() if k in ("href", "src")]
    self.kinds.setdefault(attributes.get("class"), []).append(tag)


def test_the_page_stands_alone_and_leads_to_its_origins(measured, tmp_path):
  """Guards the three files: links that exist and are relative, one picture inside, escaped words, rows of the CSV."""
  study, settings, figures, _ = measured
  output = tmp_path / "pages"
  paths = page.write(study, list(figures.values()), settings, output)
  assert [path.name for path in paths] == ["toy_table.html", "toy_table.md", "toy_table.csv"] and len(
    list(output.iterdir())
  ) == 3
  text, markdown = paths[0].read_text(), paths[1].read_text()
  seen = _Links()
  seen.feed(text)
  files = [link for link in seen.links if not link.startswith("data:")]
  assert sum(link.startswith("data:image/svg+xml") for link in seen.links) == 1
  assert files and all((output / urllib.parse.unquote(link)).exists() and "://" not in link for link in files)
  assert any(link.endswith("clean/toy-c23/scores.csv") for link in files)
  assert len(seen.kinds["quoted"]) == 2 and len(seen.kinds["missing"]) == 2
  assert "A &lt;note&gt;." in text and "not run" in text and "1 of 2 seeds" in text and "notice" not in seen.kinds
  figure = figures["plain", "toy"]
  assert f"{figure.mean:.2f}" in text and f"printed 95.25, {figure.difference:+.2f}".replace("-", "−") in markdown
  assert "other \\| method" in markdown and "*90.00*" in markdown and "*not run*" in markdown
  with paths[2].open(newline="") as file:
    rows = {(row["row"], row["column"]): row for row in csv.DictReader(file)}
  assert len(rows) == len(study.cells) and rows["wide", "elsewhere"]["status"] == "not run"
  row = rows["plain", "mean"]
  assert float(row["measured"]) == pytest.approx(figures["plain", "mean"].mean, abs=1e-6)
  assert (row["seeds"], row["seeds_wanted"], row["status"], row["printed"]) == ("2", "2", "measured", "87.6")
  assert len(row["scores"].split(";")) == 4 and all((output / path).is_file() for path in row["scores"].split(";"))
  assert len(row["config"].split(";")) == 2 and rows["other | method", "toy"]["measured"] == ""


def test_a_demo_says_so(measured, tmp_path):
  """Guards the disclaimer, in HTML and Markdown."""
  study, settings, figures, _ = measured
  demo = dataclasses.replace(settings, demo=True, size="")
  html_path, markdown, _ = page.write(study, list(figures.values()), demo, tmp_path / "pages")
  for path in (html_path, markdown):
    assert path.read_text().count("Demo: not a claim.") == 1


def test_curves_are_drawn_along_the_axis(measured, tmp_path):
  """Guards the picture of a figure: numbers on its axis, a curve a row; nothing where nothing is measured."""
  from dfdetect_jax.studies.picture import picture

  study, settings, figures, _ = measured
  places = {"toy": "1", "elsewhere": "2.5"}
  curve = [
    dataclasses.replace(f, cell=dataclasses.replace(f.cell, column=places[column]))
    for (_, column), f in figures.items()
    if column in places
  ]
  drawn = dataclasses.replace(study, axis="strength", cells=tuple(f.cell for f in curve))
  assert b"<svg" in picture(drawn, curve)
  assert picture(drawn, [f for f in curve if f.mean is None or not f.cell.parts]) is None


def _provenance(path, dirty=False, trained="a" * 64, scored="b" * 64):
  from dfdetect_jax.folders import write_json
  from dfdetect_jax.runs.provenance import FORMAT, PROVENANCE_FILE

  code = {"sha256": "c" * 64, "commit": "d" * 40, "dirty": dirty}
  run = {"sessions": [{"code": code, "data": {"path": "p", "sha256": trained}}]}
  content = {
    "format": FORMAT, "scores": {"file": path.name, "sha256": file_sha256(path)}, "code": code, "run": run,
    "left_out": [],
    "data": {"path": "q", "sha256": scored}, "split": "test",
  }  # fmt: skip
  write_json(path.with_name(PROVENANCE_FILE), content)


def test_strict_refuses_to_mix(measured):
  """Guards --strict: no provenance, uncommitted code, other training shards, other test shards are each refused."""
  _, _, figures, _ = measured
  figures = list(figures.values())
  files = sorted({origin.scores for figure in figures for origin in figure.origins})
  with pytest.raises(UserError, match="nothing tells where"):
    strict.check_same_origin(figures)
  for path in files:
    _provenance(path, scored=path.parent.name.ljust(64, "-"))
  strict.check_same_origin(figures)
  place = files[0].parent.name.ljust(64, "-")
  for changed, part in (
    ({"dirty": True}, "code that differs from its commit"),
    ({"trained": "e" * 64}, "the shards trained on are not the same"),
    ({"scored": "f" * 64}, "the shards scored for clean/.* are not the same"),
  ):
    _provenance(files[0], **({"scored": place} | changed))
    with pytest.raises(UserError, match=part):
      strict.check_same_origin(figures)


def test_nothing_measured_is_a_page_too(toy_study, settings, tmp_path):
  """Guards the first collect of a study: a page of printed figures, without a picture."""
  figures = collect(toy_study, settings)
  path, *_ = page.write(toy_study, figures, settings, tmp_path / "pages")
  assert "0 of 8 cells are measured" in path.read_text() and "<img" not in path.read_text()


def test_known_leaks_stand_on_the_page(tmp_path):
  """Guards what was told while scoring: it stands with the figures, once, with how many score files it is of."""
  origins = []
  for seed in range(2):
    scores = tmp_path / f"{seed}" / "scores.csv"
    scores.parent.mkdir()
    scores.write_text("video_id,label,score\n")
    content = {
      "format": FORMAT,
      "scores": {"file": "scores.csv", "sha256": file_sha256(scores)},
      "warnings": ["people stand in both"],
    }
    scores.with_name("provenance.json").write_text(json.dumps(content))
    origins.append(Origin(None, seed, tmp_path, scores))
  figure = Figure(Cell("row", "column", None), (0, 1), 2, 99.0, None, None, tuple(origins))
  assert page._warnings([figure, figure]) == ["2 score files: people stand in both"]


def test_cells_say_what_was_not_there_and_what_was_seen(measured, tmp_path):
  """Guards partial and contaminated test sets: the cells that they are in are marked, in the page and in the table."""
  study, settings, figures, rows = measured
  origin = next(o for f in figures.values() for o in f.origins if o.scores.parent.name == "toy-c23" and o.seed == 0)
  real = next(row for row in rows["toy", 0] if not row.label)
  fake = next(row for row in rows["toy", 0] if row.manipulation == "DF")
  absent = [
    {"video_id": f"toy/{n}", "label": 1, "dataset": "toy", "manipulation": "DF", "compression": "c23"} for n in range(3)
  ]
  content = {
    "format": FORMAT, "scores": {"file": "scores.csv", "sha256": file_sha256(origin.scores)}, "run": None,
    "left_out": [],
    "absent": absent, "contaminated": [real.video_id, fake.video_id],
  }  # fmt: skip
  origin.scores.with_name("provenance.json").write_text(json.dumps(content))
  again = {(f.cell.row, f.cell.column): f for f in collect(study, settings)}
  marked = {place: figure.remarks for place, figure in again.items() if figure.remarks}
  places = {place for place, f in again.items() if any(o.scores == origin.scores for o in f.origins)}
  assert places and marked.keys() == places
  for remarks in marked.values():
    assert any(text.startswith("CONTAMINATED: the run has seen ") for text in remarks), remarks
    assert any(text.endswith("listed videos") for text in remarks), remarks
  text = page.table(list(again.values()), tmp_path)
  assert text.count("measured; CONTAMINATED: the run has seen") == len(marked)
