"""Writes docs/decisions.md: every choice that a paper leaves open, from the docstrings of the modules that take it.

python docs/make_decisions.py [--check]
"""

import ast
import pathlib
import re
import sys
from collections.abc import Iterator

ROOT = pathlib.Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "decisions.md"
TITLES = {
  "st_ilif": "ST-ILIF", "ftcn": "FTCN", "sdr": "SDR", "dip": "DIP", "dil": "DIL", "baselines": "Baselines",
  "augment": "Augmentation", "layers": "Layers",
}  # fmt: skip
HEAD = """# Decisions

What the papers leave open, and what we chose. This page is made by `docs/make_decisions.py` from the docstrings of the
modules that choose; each is a config field or a constant there.
"""


def main() -> int:
  """Writes the page, or with --check says whether it is up to date."""
  page = make_page()
  if "--check" in sys.argv:
    return int(page != PAGE.read_text())
  PAGE.write_text(page)
  return 0


def make_page() -> str:
  """The page, from the sources as they are."""
  lines = [HEAD]
  for name, title in TITLES.items():
    places = [ROOT / "dfdetect_jax" / "methods" / name, ROOT / "dfdetect_jax" / name, ROOT / "configs" / f"{name}.py"]
    rows = [row for place in places for row in _rows(place)]
    if rows:
      lines += [f"## {title}\n", "| where | what |", "|---|---|", *rows, ""]
  return "\n".join(lines)


def _rows(place: pathlib.Path) -> Iterator[str]:
  for file in sorted(place.rglob("*.py")) if place.is_dir() else [place] if place.is_file() else []:
    for owner, text in _docstrings(file):
      for passage in _passages(text):
        where = file.relative_to(ROOT).as_posix() + (f" `{owner}`" if owner else "")
        yield f"| {where} | {passage.replace('|', chr(92) + '|')} |"


def _docstrings(file: pathlib.Path) -> Iterator[tuple[str, str]]:
  tree = ast.parse(file.read_text())
  for node in ast.walk(tree):
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and (text := ast.get_docstring(node)):
      yield getattr(node, "name", ""), text


def _passages(text: str) -> Iterator[str]:
  """The argument's entry, or else the sentences, in which the word stands."""
  for paragraph in re.split(r"\n\s*\n", text):
    entries = re.split(r"\n(?=  [\w, ]+: )", paragraph) if re.match(r"(Args|Attributes):", paragraph) else None
    if entries:
      yield from (" ".join(entry.split()) for entry in entries if re.search(r"\bdecisions?\b", entry, re.I))
      continue
    flat = " ".join(paragraph.split())
    if re.search(r"\bdecisions?: ", flat, re.I):
      yield flat
    else:
      sentences = re.split(r"(?<=[.;]) (?=[A-Z\"`|∂])", flat)
      yield from (s for s in sentences if re.search(r"\bdecisions?\b", s, re.I))


if __name__ == "__main__":
  sys.exit(main())
