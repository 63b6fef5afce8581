"""The page about several videos: a table that sorts, with a link to the page of each."""

import collections
from collections.abc import Sequence

from dfdetect_jax.prediction.about import About
from dfdetect_jax.prediction.page import WORDS
from dfdetect_jax.prediction.style import document, esc
from dfdetect_jax.prediction.verdict import FAILED, VideoVerdict, shown

_ORDER = {"fake": 0, "undecided": 1, "real": 2, FAILED: 3}


def index_page(verdicts: Sequence[tuple[VideoVerdict, str]], about: About, total: int) -> str:
  """The index as one HTML file.

  Args:
    verdicts: those that there are, each with the link to its page.
    about: the judge.
    total: number of videos that were asked for.
  """
  count = collections.Counter(v.verdict or FAILED for v, _ in verdicts)
  summary = ", ".join(f"{count[name]} {WORDS[name].lower()}" for name in _ORDER if count[name])
  left = f" {total - len(verdicts)} still to be judged." if total > len(verdicts) else ""
  header = ("verdict", "video", "score", "probability", "faces", "length [s]", "remarks")
  head = "".join(f'<th scope="col"><button>{h}</button></th>' for h in header)
  decision = about.decision
  return document(
    f"{len(verdicts)} of {total} videos judged",
    f"""<main><h1>{len(verdicts)} of {total} videos judged</h1>
<p>{esc(summary)}.{left}</p>
<p class="soft">Score above {decision.upper:.3f}: fake; up to {decision.lower:.3f}: real; between: undecided
({esc(decision.origin)}). The run was trained on {esc(about.trained_on)}.</p>
<div class="wide"><table><thead><tr>{head}</tr></thead>
<tbody>{"".join(_row(verdict, link) for verdict, link in verdicts)}</tbody></table></div></main>""",
  )


def _row(verdict: VideoVerdict, link: str) -> str:
  what = verdict.verdict or FAILED
  number = lambda value, digits: ("", -1) if value is None else (f"{value:.{digits}f}", value)  # noqa: E731
  reasons = [verdict.reason] if verdict.status != "ok" else [g.reason for g in verdict.not_scored] + list(verdict.notes)
  remarks = "; ".join(reasons[:2]) + (f"; {len(reasons) - 2} more" if len(reasons) > 2 else "")
  cells = [
    (f'<span class="{what}">{WORDS[what]}</span>', _ORDER[what]),
    (f'<a href="{esc(link)}">{esc(shown(verdict.path))}</a>', None),  # sorted by its text
    number(verdict.score, 3),
    number(verdict.probability, 2),
    number(float(len(verdict.tracks)) if verdict.tracks else None, 0),
    number(verdict.seconds or None, 1),
    (f"<small>{esc(remarks)}</small>", None),
  ]
  keys = [' class="long"' if key is None else f' class="short" data-key="{key}"' for _, key in cells]
  return "<tr>" + "".join(f"<td{key}>{cell}</td>" for key, (cell, _) in zip(keys, cells, strict=True)) + "</tr>\n"
