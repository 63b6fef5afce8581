"""The frame of the pages about verdicts: one HTML file that needs no other file and no network."""

import html

# Vermilion and blue of Okabe and Ito's palette are told apart by every eye; lighter ones on a dark ground.
_STYLE = """
:root { color-scheme: light dark; --paper: #fff; --ink: #1d2733; --soft: #55616e; --line: #d9dfe6; --band: #f3f5f8;
  --fake: #b34a00; --real: #00639c; --undecided: #5b6470; --grid: #b9c2cc; }
@media (prefers-color-scheme: dark) { :root { --paper: #14181d; --ink: #e6eaef; --soft: #a4afbb; --line: #303842;
  --band: #1d232a; --fake: #ff9145; --real: #5ab4f0; --undecided: #a9b2bd; --grid: #4b5663; } }
* { box-sizing: border-box; }
body { max-width: 1100px; margin: 0 auto; padding: 1.5rem 1.25rem 3rem; color: var(--ink); background: var(--paper);
  font: 15px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
h1 + p { overflow-wrap: anywhere; }
h1 { font-size: 1.35rem; line-height: 1.3; margin: .2rem 0; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; margin: 2.2rem 0 .5rem; padding-bottom: .3rem; border-bottom: 1px solid var(--line); }
p { margin: .35rem 0; max-width: 80ch; }
.soft, small, figcaption { color: var(--soft); }
a { color: var(--real); }
:focus-visible { outline: 3px solid var(--real); outline-offset: 2px; }

.verdict { margin-top: 1rem; display: flex; flex-wrap: wrap; gap: 1.25rem; align-items: flex-start; }
.badge { font-weight: 700; font-size: 1.5rem; letter-spacing: .04em; padding: .35rem .9rem; border: 3px solid;
  border-radius: .5rem; white-space: nowrap; }
.fake { color: var(--fake); } .real { color: var(--real); } .undecided, .failed { color: var(--undecided); }
.undecided.badge { border-style: dashed; } .failed.badge { border-style: dotted; }
.verdict > div { flex: 1 1 22rem; min-width: 0; }
.notice { border-left: 4px solid var(--fake); background: var(--band); padding: .5rem .8rem; }
.plot { position: relative; margin: .25rem 0 1.4rem; }
.plot svg { display: block; width: 100%; background: var(--band); overflow: visible; }
.tick { position: absolute; top: 100%; font-size: .72rem; color: var(--soft); transform: translateX(-50%);
  white-space: nowrap; }
.tick:first-of-type { transform: none; } .tick.last { transform: translateX(-100%); }
.face { display: grid; grid-template-columns: 84px 1fr; gap: .9rem; align-items: start; margin: 1rem 0; }
.face > img { width: 84px; height: 84px; border-radius: .35rem; }
.face h3 { font-size: .95rem; margin: 0 0 .2rem; font-weight: 600; }
.clips { display: grid; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); gap: 1.1rem; }
figure { margin: 0; min-width: 0; }
.key { position: relative; line-height: 0; }
.key img { width: 100%; height: auto; border-radius: .35rem; }
.key .heat { position: absolute; inset: 0; opacity: 0; }
.key:hover .heat, .clips.heated .heat { opacity: 1; }
.box { position: absolute; border: 2px solid #fff; box-shadow: 0 0 0 2px #000a, inset 0 0 0 1px #000a; }
.strip { display: block; width: 96px; height: 96px; padding: 0; border: 0; border-radius: .35rem; cursor: pointer;
  background-size: calc(var(--n) * 100%) 100%; background-position: 0 0; }
.strip[aria-pressed=true] { animation: play var(--t) steps(var(--n), jump-none) infinite; }
@keyframes play { from { background-position: 0 0; } to { background-position: 100% 0; } }
.row { display: flex; gap: .7rem; align-items: center; margin-top: .5rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; width: 100%; }
th, td { text-align: left; padding: .35rem .7rem .35rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
th { font-size: .8rem; color: var(--soft); font-weight: 600; }
td.long { overflow-wrap: anywhere; min-width: 9rem; } td.short { white-space: nowrap; }
.facts td:first-child { white-space: nowrap; color: var(--soft); width: 9rem; }
th button, .plain { font: inherit; color: inherit; background: none; border: 0; padding: 0; cursor: pointer;
  text-decoration: underline dotted; }
th[aria-sort=ascending] button::after { content: " \\2191"; }
th[aria-sort=descending] button::after { content: " \\2193"; }
summary { cursor: pointer; }
ul { margin: .35rem 0; padding-left: 1.2rem; max-width: 80ch; }
@media (max-width: 560px) { .face { grid-template-columns: 56px 1fr; gap: .6rem; }
  .face > img { width: 56px; height: 56px; } .facts td:first-child { white-space: normal; width: 6rem; }
  .verdict > div { flex-basis: 100%; } }
@media print { .strip { display: none; } }
"""

_SCRIPT = """
document.addEventListener("click", event => {
  const button = event.target.closest("button");
  if (!button) return;
  if (button.classList.contains("strip"))
    button.setAttribute("aria-pressed", button.getAttribute("aria-pressed") !== "true");
  if (button.dataset.heat !== undefined) {
    const on = document.querySelector(".clips").classList.toggle("heated");
    button.setAttribute("aria-pressed", on);
  }
  const head = button.closest("th");
  if (head) {
    const table = head.closest("table"), body = table.tBodies[0], column = head.cellIndex;
    const down = head.getAttribute("aria-sort") === "ascending";
    for (const other of head.parentElement.cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const key = row => row.cells[column].dataset.key ?? row.cells[column].textContent;
    const order = (a, b) => isNaN(a - b) || a === "" || b === "" ? a.localeCompare(b) : a - b;
    const rows = [...body.rows].sort((a, b) => order(key(a), key(b)));
    if (down) rows.reverse();
    body.append(...rows);
  }
});
"""


def esc(text: object) -> str:
  """Text for HTML, also within quotes: whatever a file is called, it is no markup."""
  return html.escape(str(text), quote=True)


def document(title: str, body: str) -> str:
  """A whole page; the browser is told to fetch nothing."""
  policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
  return (
    '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
    f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
    '<meta name="viewport" content="width=device-width, initial-scale=1">\n<link rel="icon" href="data:,">\n'
    f"<title>{esc(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n{body}\n<script>{_SCRIPT}</script>\n"
    "</body>\n</html>\n"
  )
