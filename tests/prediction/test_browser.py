"""The pages in a real browser, where there is one: no error, nothing wider than a phone, everything by keyboard."""

import html
import json
import re
import shutil
import subprocess

import pytest

from dfdetect_jax.evaluation.calibration import Decision, Reliability
from dfdetect_jax.prediction.about import About
from dfdetect_jax.prediction.clips import Dense
from dfdetect_jax.prediction.evidence import Evidence
from dfdetect_jax.prediction.index_page import index_page
from dfdetect_jax.prediction.judge import judge
from dfdetect_jax.prediction.page import verdict_page
from dfdetect_jax.prediction.verdict import VideoVerdict

BROWSER = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chromium-browser")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")]

ABOUT = About(
  workdir="runs/toy", method="toy", step=20, weights="teacher", checkpoint="", trained_on="3 videos", reliability=
  Reliability(), decision=Decision(threshold=0.5, lower=0.4, upper=0.6, temperature=None, origin="for a test"),
  over_tracks="max", dense=Dense(), rows=(("model", "toy " + "x" * 90), ("faces", "squares")),
)  # fmt: skip

# Looks at a page in a frame of the width of a phone, and uses it as a keyboard would: native controls take the focus,
# and Enter on one is a click.
HARNESS = """<!doctype html><body><iframe style="width:390px;height:900px" srcdoc="{page}"></iframe><pre></pre><script>
const frame = document.querySelector("iframe");
frame.onload = () => {{
  const doc = frame.contentDocument, found = {{errors: [], unfocusable: 0, pressed: [], order: []}};
  found.width = doc.documentElement.scrollWidth;
  found.dark = frame.contentWindow.matchMedia("(prefers-color-scheme: dark)").matches;
  found.paper = frame.contentWindow.getComputedStyle(doc.body).backgroundColor;
  for (const control of doc.querySelectorAll("button, a, summary")) {{
    control.focus();
    if (doc.activeElement !== control) found.unfocusable++;
    if (control.matches(".strip")) {{ control.click(); found.pressed.push(control.getAttribute("aria-pressed")); }}
  }}
  const heads = doc.querySelectorAll("th button");
  for (const [column, times] of [[2, 1], [2, 2], [0, 1], [1, 1]])
    if (heads.length) {{
      for (const other of doc.querySelectorAll("th")) other.removeAttribute("aria-sort");
      for (let n = 0; n < times; n++) heads[column].click();
      found.order.push([...doc.querySelectorAll("tbody tr")].map(row => row.cells[column].textContent));
    }}
  document.querySelector("pre").textContent = JSON.stringify(found);
}};
</script></body>"""


def looked_at(page, tmp_path, *flags):
  """What the harness found, and what the browser said of the page."""
  (tmp_path / "harness.html").write_text(HARNESS.format(page=html.escape(page, quote=True)))
  quiet = ("--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync")
  how = ("--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}")
  what = ("--enable-logging=stderr", "--virtual-time-budget=3000", "--dump-dom", (tmp_path / "harness.html").as_uri())
  done = subprocess.run([BROWSER, *quiet, *how, *flags, *what], capture_output=True, text=True, timeout=180)
  console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
  return json.loads(html.unescape(re.search("<pre>(.*?)</pre>", done.stdout, re.S)[1])), console


def test_a_verdict_page_in_a_browser(toy_judge, film, tmp_path):
  """Guards the page: no console error, 390 pixels, dark mode, each control by keyboard, clips that play."""
  evidence = Evidence(heat=lambda picture, *rest: picture)
  path = film("v" * 60 + " with a long name.mp4", 60, [(0, 0, 60, 100), (1, 20, 60, 10)])
  verdict = judge(toy_judge(dense=Dense(stride=4)), path, watcher=evidence)
  page = verdict_page(verdict, ABOUT, {t.track: evidence.clips(n) for n, t in enumerate(verdict.tracks)}, "index.html")
  found, console = looked_at(page, tmp_path)
  assert not console and found["unfocusable"] == 0 and found["width"] <= 390
  assert found["pressed"] == ["true"] * 8 and found["paper"] == "rgb(255, 255, 255)"
  dark, console = looked_at(page, tmp_path, "--blink-settings=preferredColorScheme=0")
  assert not console and dark["dark"] and dark["paper"] == "rgb(20, 24, 29)"


def test_the_index_sorts(tmp_path):
  """Guards the table of several videos: by number where there are numbers, by severity, by name."""
  of = lambda name, verdict, score: (VideoVerdict(path=name, verdict=verdict, score=score), "x.html")  # noqa: E731
  failed = (VideoVerdict(path="d" * 120 + ".mp4", status="failed", reason="no <b>face</b>"), "x.html")
  page = index_page([of("b", "real", 0.25), failed, of("c", "fake", 0.9), of("a", "undecided", 0.5)], ABOUT, 5)
  found, console = looked_at(page, tmp_path)
  assert not console and found["unfocusable"] == 0 and found["width"] <= 390
  up, down, severity, names = found["order"]
  assert up == ["", "0.250", "0.500", "0.900"] and down == up[::-1]
  assert severity == ["FAKE", "UNDECIDED", "REAL", "NOT JUDGED"]
  assert [name[0] for name in names] == ["a", "b", "c", "d"]
