"""`python -m dfdetect_jax.figures` behind its command line."""

import argparse
import pathlib

from dfdetect_jax.devices.compiled import keep_compiled
from dfdetect_jax.errors import UserError, unwritable
from dfdetect_jax.evaluation.document import Block, Heading, Items, Paragraph, Picture, to_html
from dfdetect_jax.figures import demo
from dfdetect_jax.figures.figure import Drawn, Figure, Material, write
from dfdetect_jax.figures.registry import FIGURES, get_figure, listed
from dfdetect_jax.folders import write_whole


def run_program(args: argparse.Namespace) -> None:
  """Draws what the arguments ask for.

  Args:
    args: of `dfdetect_jax.figures`.

  Raises:
    UserError: something that was given is wrong, or a figure that was named cannot be drawn.
  """
  if args.names == ["list"]:
    print(listed())
    return
  keep_compiled()
  figures, videos, everything = _asked(args.names)
  output = pathlib.Path(args.output)
  _write_page(output, [], {}, bool(args.demo))
  if args.demo:
    methods = [m for m in ("dip", "st_ilif", "dil") if any(f.method == m for f in figures)]
    if not methods and any(f.name == "dip_figure10" for f in figures):
      methods = ["dip"]
    material = demo.make(pathlib.Path(args.demo), methods, args.demo_steps)
  else:
    material = Material(args.data, videos, args.workdir, args.scores, args.split, args.seed)
  drawn, missing = _draw(figures, material, output, bool(args.demo))
  print(f"{len(drawn)} of {len(figures)} figures are in {output}, all of them on {output / 'figures.html'}.")
  if missing and not everything:  # what is named is wanted; the others are drawn nevertheless
    raise UserError("; ".join(f"{name}: {why}" for name, why in missing.items()))


def _asked(names: list[str]) -> tuple[list[Figure], list[str], bool]:
  """The figures, the video files, and whether all figures were asked for."""
  if "all" in names:
    return list(FIGURES.values()), _files([n for n in names if n != "all"]), True
  figures = [n for n in names if n in FIGURES or not pathlib.Path(n).exists()]
  if not figures:
    raise UserError(f"which figure of {', '.join(names)}? Name one, or 'all'; 'list' shows them.")
  return [get_figure(n) for n in dict.fromkeys(figures)], _files([n for n in names if n not in figures]), False


def _files(names: list[str]) -> list[str]:
  for name in names:
    if not pathlib.Path(name).is_file():
      get_figure(name)  # says that there is neither
  return names


def _draw(
  figures: list[Figure], material: Material, output: pathlib.Path, is_demo: bool
) -> tuple[list[tuple[Figure, Drawn]], dict[str, str]]:
  """Draws what can be drawn, each written as it comes; also returns why the others are not."""
  drawn, missing = [], {}
  for figure in figures:
    try:
      found = figure.draw(material)
    except UserError as error:
      missing[figure.name] = str(error)
      print(f"{figure.name}: not drawn: {error}", flush=True)
    else:
      print(f"{figure.name}: {write(found, figure.name, output)}", flush=True)
      drawn.append((figure, found))
    _write_page(output, drawn, missing, is_demo)
  return drawn, missing


def _write_page(
  output: pathlib.Path, drawn: list[tuple[Figure, Drawn]], missing: dict[str, str], is_demo: bool
) -> None:
  blocks: list[Block] = [Heading("Figures", 1), *([Paragraph(demo.NOTE, notice=True)] if is_demo else [])]
  for figure, found in drawn:
    blocks += [Heading(f"{figure.reference}: {figure.title}"), Picture(found.small, found.caption)]
  if missing:
    blocks += [Heading("Not drawn"), Items([f"{name}: {why}" for name, why in missing.items()])]
  try:
    output.mkdir(parents=True, exist_ok=True)
    write_whole(output / "figures.html", to_html(blocks))
  except OSError as error:
    raise unwritable(output, error, "choose another --output") from error
