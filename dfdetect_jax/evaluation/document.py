"""A page of headings, paragraphs, tables and pictures that is written as Markdown and as self-contained HTML."""

import base64
import dataclasses
import html
import re
from collections.abc import Sequence


@dataclasses.dataclass(frozen=True)
class Heading:
  """A heading; level 1 is the page's title."""

  text: str
  level: int = 2


@dataclasses.dataclass(frozen=True)
class Paragraph:
  """Plain text; a notice stands out."""

  text: str
  notice: bool = False


@dataclasses.dataclass(frozen=True)
class Items:
  """A list of remarks."""

  texts: Sequence[str]


@dataclasses.dataclass(frozen=True)
class Cell:
  """A figure with what belongs to it, such as its interval (a line each); a link where there is one.

  `kind` tells figures apart at a glance: "" is one's own, "quoted" another's, "missing" none.
  """

  text: str
  detail: str = ""
  link: str = ""
  kind: str = ""


@dataclasses.dataclass(frozen=True)
class Table:
  """A table; the first column names the rows, the others hold figures (or, with `figures=False`, words).

  A cell of several is a tuple.
  """

  header: Sequence[str]
  rows: Sequence[Sequence[str | Cell | tuple[Cell, ...]]]
  figures: bool = True


@dataclasses.dataclass(frozen=True)
class Picture:
  """An SVG (or PNG, or JPEG) picture, shown in the HTML only; `caption` stands below it."""

  svg: bytes
  caption: str


@dataclasses.dataclass(frozen=True)
class Strip:
  """Some frames of a video side by side, with what they are."""

  jpeg: bytes
  title: str
  text: str


@dataclasses.dataclass(frozen=True)
class Strips:
  """Strips of several videos; in Markdown their titles and texts."""

  strips: Sequence[Strip]


Block = Heading | Paragraph | Items | Table | Picture | Strips


def to_markdown(blocks: Sequence[Block]) -> str:
  """The page as Markdown, without its pictures."""
  parts = []
  for block in blocks:
    match block:
      case Heading(text, level):
        parts.append(f"{'#' * level} {_markdown(text)}")
      case Paragraph(text, notice):
        parts.append(f"> **{_markdown(text)}**" if notice else _markdown(text))
      case Items(texts):
        parts.append("\n".join(f"- {_markdown(text)}" for text in texts))
      case Table(header, rows, figures):
        rule = ["---"] + ["---:" if figures else "---"] * (len(header) - 1)
        lines = [[_markdown_cell(c) for c in header], rule, *([_markdown_cell(c) for c in r] for r in rows)]
        parts.append("\n".join("| " + " | ".join(line) + " |" for line in lines))
      case Strips(strips):
        parts.append("\n".join(f"- {_markdown(strip.title)}: {_markdown(strip.text)}" for strip in strips))
  return "\n\n".join(parts) + "\n"


def to_html(blocks: Sequence[Block]) -> str:
  """The page as one HTML file that needs no other file and no network."""
  title = next((b.text for b in blocks if isinstance(b, Heading)), "")
  section = title
  parts = []
  for block in blocks:
    match block:
      case Heading(text, level):
        section = text
        parts.append(f"<h{level}>{html.escape(text)}</h{level}>")
      case Paragraph(text, notice):
        kind = ' class="notice"' if notice else ""
        parts.append(f"<p{kind}>{html.escape(text)}</p>")
      case Items(texts):
        parts.append("<ul>" + "".join(f"<li>{html.escape(text)}</li>" for text in texts) + "</ul>")
      case Table(header, rows, figures):
        head = "".join(f'<th scope="col">{html.escape(h)}</th>' for h in header)
        kind = "figures" if figures else "words"
        body = "".join("<tr>" + "".join(_html_cell(c) for c in row) + "</tr>\n" for row in rows)
        parts.append(
          f'{_wide(f"{section}: table")}<table class="{kind}"><thead><tr>{head}</tr></thead>\n'
          f"<tbody>{body}</tbody></table></div>"
        )
      case Picture(svg, caption):
        data = base64.b64encode(svg).decode()
        caption = html.escape(caption)
        form = {b"\x89PNG": "png", b"\xff\xd8\xff\xe0": "jpeg"}.get(svg[:4], "svg+xml")
        image = f'<img alt="{caption}" src="data:image/{form};base64,{data}">'
        parts.append(f"<figure>{_wide(caption)}{image}</div><figcaption>{caption}</figcaption></figure>")
      case Strips(strips):
        parts.append(f'<div class="strips">{"".join(map(_html_strip, strips))}</div>')
  return _PAGE.format(title=html.escape(title), style=_STYLE, body="\n".join(parts))


def _wide(name: str) -> str:
  """Opens a box that scrolls sideways where the screen is narrow, by the keyboard too."""
  return f'<div class="wide" tabindex="0" role="region" aria-label="{html.escape(name, quote=True)}">'


def _html_strip(strip: Strip) -> str:
  title, text = html.escape(strip.title, quote=True), html.escape(strip.text)
  data = base64.b64encode(strip.jpeg).decode()
  image = f'<img alt="frames of {title}" src="data:image/jpeg;base64,{data}">' if strip.jpeg else ""
  return f"<figure>{image}<figcaption><b>{title}</b> {text}</figcaption></figure>"


_MARKUP = re.compile(r"[`*\\]|\](?=[\[(:])|<(?=[A-Za-z/!?])")


def _markdown(text: str) -> str:
  """A text as Markdown that reads as it stands: names of files and sets are data, no markup, links or HTML."""
  line = re.sub(r"\s*[\n\r]\s*", " ", text)
  return _MARKUP.sub(lambda found: "&lt;" if found[0] == "<" else f"\\{found[0]}", line)


def _markdown_cell(cell: str | Cell | tuple[Cell, ...]) -> str:
  if isinstance(cell, str):
    return _markdown(cell).replace("|", "\\|")
  if isinstance(cell, tuple):
    return ", ".join(map(_markdown_cell, cell))
  text = f"[{_markdown(cell.text)}]({cell.link})" if cell.link else _markdown(cell.text)
  text = f"*{text}*" if cell.kind else text
  return " ".join([text, *map(_markdown, cell.detail.split("\n"))]).rstrip().replace("|", "\\|")


def _html_cell(cell: str | Cell | tuple[Cell, ...]) -> str:
  if isinstance(cell, tuple):
    return f"<td>{', '.join(map(_html_content, cell))}</td>"
  kind = f' class="{cell.kind}"' if isinstance(cell, Cell) and cell.kind else ""
  return f"<td{kind}>{_html_content(cell)}</td>"


def _html_content(cell: str | Cell) -> str:
  if isinstance(cell, str):
    return html.escape(cell)
  text = html.escape(cell.text)
  if cell.link:
    text = f'<a href="{html.escape(cell.link, quote=True)}">{text}</a>'
  return text + "".join(f"<small>{html.escape(line)}</small>" for line in cell.detail.split("\n") if line)


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
{body}
</body>
</html>
"""

_STYLE = """
:root { color-scheme: light dark; --ink: #1d2733; --soft: #5f6b78; --line: #dde3ea; --band: #f5f7fa; --page: #fff;
  --link: #1f5f8b; --notice: #fdf8e7; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6ebf0; --soft: #a3afbb; --line: #36424e; --band: #1e2730;
  --page: #141a20; --link: #7fb8de; --notice: #33290f; } }
body { max-width: 1120px; margin: 2.5rem auto; padding: 0 1.5rem; color: var(--ink); background: var(--page);
  font: 15px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
h1, h2, h3 { overflow-wrap: anywhere; }
h1 { font-size: 1.7rem; letter-spacing: -.01em; margin: 0 0 .4rem; }
h2 { font-size: 1.25rem; margin: 2.6rem 0 .6rem; padding-bottom: .35rem; border-bottom: 2px solid var(--ink); }
h3 { font-size: 1rem; margin: 1.7rem 0 .5rem; }
p { margin: .4rem 0 .8rem; color: var(--soft); max-width: 85ch; overflow-wrap: anywhere; }
.wide { overflow-x: auto; }
.wide:focus-visible { outline: 2px solid var(--link); }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th { text-align: right; font-weight: 600; font-size: .8rem; color: var(--soft); padding: .4rem .6rem;
  border-bottom: 1px solid var(--ink); white-space: nowrap; }
td { text-align: right; padding: .4rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
.words th, .words td { text-align: left; overflow-wrap: anywhere; }
.words td small { white-space: normal; }
td:first-child { font-weight: 500; overflow-wrap: anywhere; min-width: 13rem; }
.figures th:first-child, .figures td:first-child { position: sticky; left: 0; background: var(--page); }
tbody tr:hover { background: var(--band); }
td small { display: block; color: var(--soft); font-size: .76rem; white-space: nowrap; }
a { color: var(--link); }
.quoted, .missing { color: var(--soft); font-style: italic; }
.missing { font-size: .85rem; }
.notice { border-left: 4px solid #d9a404; background: var(--notice); color: var(--ink); padding: .6rem .9rem; }
ul { margin: .4rem 0 .8rem; padding-left: 1.2rem; color: var(--soft); max-width: 85ch; }
figure { margin: 1.2rem 0; }
figure .wide { background: #fff; border-radius: 6px; }
figure img { display: block; width: 100%; min-width: 44rem; height: auto; }
figcaption { color: var(--soft); font-size: .85rem; overflow-wrap: anywhere; }
.strips { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(min(100%, 30rem), 1fr)); }
.strips figure { margin: 0; }
.strips img { min-width: 0; border-radius: 4px; }
@media (max-width: 600px) {
  body { margin: 1.2rem auto; padding: 0 .9rem; }
  h1 { font-size: 1.35rem; }
  td:first-child { min-width: 6.5rem; max-width: 9.5rem; }
}
"""
