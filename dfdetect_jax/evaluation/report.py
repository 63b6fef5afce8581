"""Everything that score files say, with intervals, and how they compare.

  python -m dfdetect_jax.evaluation.report runs/dip/test/scores.csv --output=runs/dip/report
  python -m dfdetect_jax.evaluation.report dip.csv ftcn.csv --val=dip_val.csv --val=ftcn_val.csv

Prints Markdown; --output=DIR also writes report.md, report.html (self-contained, with pictures) and report.json. With
several files a summary stands above, and each further one is compared with the first on the same videos. The threshold
of ACC@val is chosen on --val=val_scores.csv, given once per score file in their order. Below each file stands where it
comes from, if provenance.json lies beside it; --strict refuses files that do not belong side by side.
"""

import argparse
import json
import pathlib
from collections.abc import Sequence

from dfdetect_jax.datasets import title_of
from dfdetect_jax.errors import UserError, exit_on_user_error, unwritable
from dfdetect_jax.evaluation import metrics, statistics
from dfdetect_jax.evaluation.document import (
  Block,
  Cell,
  Heading,
  Items,
  Paragraph,
  Picture,
  Table,
  to_html,
  to_markdown,
)
from dfdetect_jax.evaluation.provenance import check_same, described, read_provenance
from dfdetect_jax.evaluation.scores import VideoScore, read_scores
from dfdetect_jax.evaluation.summary import Figures, Levels, Summary, to_json
from dfdetect_jax.evaluation.worst import worst_blocks
from dfdetect_jax.files import file_sha256
from dfdetect_jax.folders import write_whole

_SETS = {"per_manipulation": "Per manipulation", "per_dataset": "Per dataset", "per_compression": "Per compression"}
_LISTED_FAILURES = 20
METHOD_TITLES = {"dip": "DIP", "st_ilif": "ST-ILIF", "ftcn": "FTCN", "sdr": "SDR", "dil": "DIL"}


def threshold_from(val: Sequence[VideoScore], scores: Sequence[VideoScore], where: str) -> float:
  """The threshold chosen on validation scores, once it is sure that they are no test scores.

  Raises:
    UserError: `val` holds videos of the test split, or videos of `scores`.
  """
  test = [s.video_id for s in val if s.split == "test"]
  if test:
    raise UserError(
      f"{where}: a threshold is chosen on validation scores, but '{test[0]}' ({len(test)} in all) is of the test "
      "split. Score the validation split (dfdetect_jax.evaluate --split=val) and give that file."
    )
  shared = {s.video_id for s in val} & {s.video_id for s in scores}
  if shared:
    raise UserError(
      f"{where}: {len(shared)} of the validation videos, such as '{min(shared)}', stand in the evaluated score file "
      "too. A threshold chosen on the videos it is judged by says nothing: give scores of other videos."
    )
  return metrics.choose_threshold(*metrics.labels_and_scores(metrics.apply_failed_policy(val, "exclude")))


def format_figure(name: str, value: float | None, interval: Sequence[float] | None = None) -> Cell:
  """A table's cell: per cent with two decimals (log-loss: nats with three), the interval beside it."""
  if value is None:
    return Cell("undefined")
  scale, digits = (1, 3) if name == "log_loss" else (100, 2)
  detail = f"[{interval[0] * scale:.{digits}f}, {interval[1] * scale:.{digits}f}]" if interval else ""
  return Cell(f"{value * scale:.{digits}f}", detail)


def file_blocks(
  title: str, scores: Sequence[VideoScore], summary: Summary, warnings: Sequence[str] = (), level: int = 2
) -> list[Block]:
  """The part of a report that is about one score file.

  Args:
    title: of the part.
    scores: rows of the file.
    summary: that of `metrics.summarise`.
    warnings: what was told when it was scored: known leaks, shared people, stand-ins.
    level: of its heading; 1 where it is the whole page.
  """
  blocks: list[Block] = [
    Heading(title, level),
    *(Paragraph(warning, notice=True) for warning in warnings),
    Paragraph(_facts(summary)),
  ]
  blocks.append(Heading("Overall", 3))
  with_threshold = summary.threshold is not None
  blocks += figures_table([(f"{level} level", f) for level, f in vars(summary.overall).items()], with_threshold)
  for key, name in _SETS.items():
    groups: dict[str, Levels] = getattr(summary, key)
    if len(groups) > 1 or (key == "per_manipulation" and groups):
      blocks.append(Heading(name, 3))
      blocks += figures_table([(group, levels.video) for group, levels in groups.items()], with_threshold)
  used = metrics.apply_failed_policy(scores, summary.failed.policy)
  if used:
    from dfdetect_jax.evaluation import plots  # what draws takes a second to import: --help need not wait for it

    sets = {"all videos": metrics.labels_and_scores(used)}
    sets |= {name: metrics.labels_and_scores(m) for name, m in metrics.groups(used)["per_manipulation"].items()}
    blocks.append(Picture(plots.score_pictures(sets), f"{title}: video-level scores."))
  failures = summary.failed.videos
  if failures:
    blocks.append(Heading("Videos that could not be scored", 3))
    rows = [(f.video_id, "fake" if f.label else "real", f.reason) for f in failures[:_LISTED_FAILURES]]
    blocks.append(Table(("video", "label", "reason"), rows, figures=False))
    if len(failures) > _LISTED_FAILURES:
      blocks.append(Paragraph(f"… and {len(failures) - _LISTED_FAILURES} more; the score file names them all."))
  return blocks


def comparison_blocks(titles: Sequence[str], comparison: dict) -> list[Block]:
  """The part of a report that compares two score files; `comparison` is that of `statistics.compare`."""
  first, second = titles
  left_out = f", {comparison['excluded']} left out because they failed in either" if comparison["excluded"] else ""
  rows: list[list[str | Cell]] = []
  for name, row in comparison["bootstrap"].items():
    if row["first"] is not None:
      difference = format_figure(name, row["difference"], row["interval"])
      both = [format_figure(name, row[side]) for side in ("first", "second")]
      rows.append([_with_unit(name), *both, difference, _p_value(row["p"])])
  delong = comparison["delong"]
  if delong["difference"] is not None:
    both = [format_figure("auc", value) for value in delong["auc"]]
    difference = format_figure("auc", delong["difference"], delong["interval"])
    rows.append(["AUC [%], DeLong", *both, difference, _p_value(delong["p"])])
  return [
    Heading(f"{second} against {first}"),
    Paragraph(
      f"{comparison['n']} videos scored by both{left_out}. Differences are {second} minus {first}, with 95 % "
      "interval and two-sided p-value of the paired bootstrap; DeLong's test takes the videos as independent."
      + (f" DeLong: {delong['undefined']}." if "undefined" in delong else "")
    ),
    Table(("metric", first, second, "difference", "p"), rows),
  ]


def _facts(summary: Summary) -> str:
  video, failed = summary.overall.video, summary.failed
  policy = {"half": "counted with score 0.5", "exclude": "left out"}[failed.policy]
  text = f"{video.n} videos, {video.real} real and {video.fake} fake. "
  if failed.count:
    text += f"{failed.count} could not be scored: {policy}. "
  else:
    text += "Every video could be scored. "
  if summary.threshold is not None:
    text += f"Threshold of {metrics.METRICS['acc_at_threshold']}: {summary.threshold:.4f} ({summary.threshold_rule}). "
  if worst := summary.worst_manipulation:
    text += f"Worst manipulation: {worst.name} (AUC {100 * worst.auc:.2f} %). "
  return text + (
    f"Intervals: 95 %, from {statistics.RESAMPLES} bootstrap resamples of {video.clusters} identities (a video of "
    "unknown identity is one of its own)."
  )


def figures_table(rows: Sequence[tuple[str, Figures]], with_threshold: bool = False) -> list[Block]:
  """Table of figures (rows by name), and below it why some are undefined.

  Args:
    rows: name and figures, as `metrics.summarise` gives them for a set and a level.
    with_threshold: whether a threshold was chosen on validation scores, so that ACC@val has a column.
  """
  names = [n for n in metrics.METRICS if n != "acc_at_threshold" or with_threshold]
  header = ["", "real + fake", *(_with_unit(n) for n in names)]
  lines: list[list[str | Cell]] = []
  notes: dict[str, list[str]] = {}  # what is to be said -> rows that it is said of
  for name, figures in rows:
    for why, start in ((figures.undefined, "{} "), (figures.no_interval or {}, "no interval of {}: ")):
      reasons: dict[str, list[str]] = {}
      for metric in names:
        if metric in why:
          reasons.setdefault(why[metric], []).append(metrics.METRICS[metric])
      for reason, which in reasons.items():
        text = start.format(", ".join(which)) + reason
        notes.setdefault(text, []).append(name)
    for caution in figures.cautions or ():
      notes.setdefault(caution, []).append(name)
    if figures.n is not None:
      cells = [format_figure(metric, getattr(figures, metric), figures.interval(metric)) for metric in names]
      lines.append([name, f"{figures.real} + {figures.fake}", *cells])
  texts = [f"{'all' if len(of) == len(rows) > 1 else ', '.join(of)}: {text}." for text, of in notes.items()]
  return [Table(header, lines), *([Items(texts)] if texts else [])]


def _with_unit(metric: str) -> str:
  return metrics.METRICS[metric] + (" [nats]" if metric == "log_loss" else " [%]")


def _p_value(p: float | None) -> str:
  return "undefined" if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"


def summary_blocks(titles: Sequence[str], summaries: Sequence[Summary]) -> list[Block]:
  """The table that stands above several files: a row each, at video level."""
  names = ("auc", "acc", "balanced_acc", "tpr_at_1", "tpr_at_5", "log_loss")
  rows: list[list[str | Cell]] = []
  for title, summary in zip(titles, summaries, strict=True):
    video, worst = summary.overall.video, summary.worst_manipulation
    cells = [format_figure(name, getattr(video, name), video.interval(name)) for name in names]
    last = Cell(f"{100 * worst.auc:.2f}", worst.name) if worst else Cell("none", kind="missing")
    rows.append([title, f"{video.real} + {video.fake}", *cells, last])
  header = ["", "real + fake", *(_with_unit(name) for name in names), "worst manipulation, AUC [%]"]
  return [Heading("Summary"), Table(header, rows)]


def titles_of(
  paths: Sequence[pathlib.Path], tables: Sequence[Sequence[VideoScore]], provenances: Sequence[dict | None]
) -> list[str]:
  """What each file is called: its method and sets, with seed, step or folders where that is not enough.

  A file that nothing tells the method of is called by its path.
  """
  short = _short_paths(paths)
  levels: list[list[str]] = [[], [], [], []]
  for path, table, provenance in zip(short, tables, provenances, strict=True):
    run = provenance and provenance["run"]
    if not run or provenance is None:
      for level in levels:
        level.append(path)
      continue
    sets = dict.fromkeys(" ".join(filter(None, (title_of(s.dataset), s.compression))) for s in table)
    split = "" if provenance["split"] == "test" else f", split {provenance['split']}"
    name = f"{METHOD_TITLES.get(run['method'], run['method'])} on {', '.join(sets)}{split}"
    seed = f"{name}, seed {run['seed']}"
    for level, text in zip(
      levels, (name, seed, f"{seed}, step {provenance['checkpoint']['step']}", f"{name} ({path})")
    ):
      level.append(text)
  return next(level for level in [*levels, short] if len(set(level)) == len(level))


def _short_paths(paths: Sequence[pathlib.Path]) -> list[str]:
  """Short names of the files that tell them apart: the file's name, with as many folders as that takes."""
  for depth in range(1, max(len(p.parts) for p in paths) + 1):
    names = ["/".join(p.parts[-depth:]) for p in paths]
    if len(set(names)) == len(names):
      return names
  raise UserError(f"the same score file is given twice: {paths[0]}.")


def report(
  paths: Sequence[pathlib.Path],
  val_paths: Sequence[pathlib.Path] = (),
  failed: str = "half",
  strict: bool = False,
  worst: int = 4,
) -> tuple[list[Block], dict]:
  """Evaluates score files, and compares each further one with the first.

  Args:
    paths: the score files.
    val_paths: validation scores of each, in the same order; none: no ACC@val.
    failed: "half" or "exclude", see `metrics.summarise`.
    strict: refuse files that must not stand side by side, see `check_same`.
    worst: of each class so many videos that were judged most wrongly are shown.

  Returns:
    The page, and what it shows as one JSON-able dict: `files` (by path: title, sha256, provenance, summary) and
    `comparisons`.
  """
  if val_paths and len(val_paths) != len(paths):
    raise UserError(
      f"{len(paths)} score files need as many --val files, in the same order; there are {len(val_paths)}."
    )
  _short_paths(paths)  # refuses the same file twice
  tables = [read_scores(path) for path in paths]
  provenances = [read_provenance(path) for path in paths]
  titles = titles_of(paths, tables, provenances)
  if strict:
    check_same(dict(zip(_short_paths(paths), provenances, strict=True)))
  thresholds: list[float | None] = [None] * len(paths)
  for number, path in enumerate(val_paths):
    thresholds[number] = threshold_from(read_scores(path), tables[number], str(path))
  blocks: list[Block] = [Heading("Evaluation report", 1)] if len(paths) > 1 else []
  files, comparisons = {}, []
  intervals = statistics.bootstrap_intervals
  summaries = [metrics.summarise(t, failed, at, intervals) for t, at in zip(tables, thresholds, strict=True)]
  if len(paths) > 1:
    blocks += summary_blocks(titles, summaries)
  for path, title, table, summary, provenance in zip(paths, titles, tables, summaries, provenances, strict=True):
    checksum = file_sha256(path)
    files[str(path)] = {"title": title, "sha256": checksum, "provenance": provenance, "summary": to_json(summary)}
    blocks += file_blocks(title, table, summary, (provenance or {}).get("warnings", ()), 2 if len(paths) > 1 else 1)
    blocks += [*worst_blocks(table, provenance, worst), Heading("Where this comes from", 3)]
    blocks.append(Paragraph(f"Score file: {path} (sha256 {checksum[:16]}…)."))
    if provenance:
      blocks.append(Table(("", ""), described(provenance), figures=False))
    else:
      blocks.append(Paragraph("Nothing tells which run, code and shards it was made by."))
  from dfdetect_jax.evaluation import plots

  for number in range(1, len(paths)):
    comparison = statistics.compare(tables[0], tables[number], failed, (thresholds[0], thresholds[number]))
    comparisons.append({"first": str(paths[0]), "second": str(paths[number]), **comparison})
    blocks += comparison_blocks((titles[0], titles[number]), comparison)
    curves = {titles[n]: metrics.labels_and_scores(tables[n]) for n in (0, number)}
    blocks.append(Picture(plots.roc_picture(curves), f"ROC curves of {titles[0]} and {titles[number]}."))
  return blocks, {"files": files, "comparisons": comparisons}


def main(argv: Sequence[str] | None = None) -> None:
  """Parses the command line, prints the report and writes it where asked."""
  parser = argparse.ArgumentParser(
    "python -m dfdetect_jax.evaluation.report",
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  parser.add_argument(
    "scores", nargs="+", type=pathlib.Path, help="score files; each further one is compared with the first"
  )
  parser.add_argument(
    "--val", action="append", default=[], type=pathlib.Path, help="validation scores, once per score file"
  )
  parser.add_argument(
    "--failed", default="half", choices=metrics.FAILED_POLICIES, help="failed videos: 0.5, or left out"
  )
  strict = "refuse files without provenance, of uncommitted code, of other test videos or of other training shards"
  parser.add_argument("--strict", action="store_true", help=strict)
  parser.add_argument("--output", type=pathlib.Path, help="folder for report.md, report.html and report.json")
  worst = "show so many videos of each class that were judged most wrongly (default 4; 0: none)"
  parser.add_argument("--worst", type=int, default=4, metavar="N", help=worst)
  args = parser.parse_args(argv)
  blocks, figures = report(args.scores, args.val, args.failed, args.strict, args.worst)
  markdown = to_markdown(blocks)
  print(markdown, end="")
  if args.output:
    pages = {"report.md": markdown, "report.html": to_html(blocks), "report.json": json.dumps(figures, indent=2) + "\n"}
    try:
      args.output.mkdir(parents=True, exist_ok=True)
      for name, text in pages.items():
        write_whole(args.output / name, text)
    except OSError as error:
      raise unwritable(args.output, error) from error


if __name__ == "__main__":
  with exit_on_user_error("report"):
    main()
