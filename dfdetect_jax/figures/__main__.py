"""Draws the papers' figures from your runs and videos.

  python -m dfdetect_jax.figures list
  python -m dfdetect_jax.figures st_ilif_figure1 real.mp4 fake.mp4
  python -m dfdetect_jax.figures dip_figure7 dip_figure8 --workdir=runs/dip --data=shards/ffpp_c23
  python -m dfdetect_jax.figures dip_figure6 --workdir=runs/dip --workdir=runs/ftcn
  python -m dfdetect_jax.figures all --demo

Writes OUTPUT/NAME.png (photographs, at twice the screen's resolution) or NAME.svg (curves), OUTPUT/NAME.json with the
values that are drawn, and OUTPUT/figures.html, one self-contained page of everything that this call draws, which grows
with it. `all` draws what can be drawn of what is given, and says what cannot and why.
"""

import argparse
import pathlib

from dfdetect_jax.errors import UserError, exit_on_user_error, unwritable
from dfdetect_jax.evaluation.document import Block, Heading, Items, Paragraph, Picture, to_html
from dfdetect_jax.figures import demo
from dfdetect_jax.figures.figure import Drawn, Figure, Material, write
from dfdetect_jax.figures.registry import FIGURES, get_figure, listed
from dfdetect_jax.folders import write_whole


def main(argv: list[str] | None = None) -> None:
  """Parses arguments and draws; see the module's docstring."""
  parser = argparse.ArgumentParser(
    "python -m dfdetect_jax.figures", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  add = parser.add_argument
  add("names", nargs="+", metavar="NAME|VIDEO", help="figures ('list' shows them, 'all' draws them), and video files: "
      "a real one first, then forgeries of it")  # fmt: skip
  add("--workdir", action="append", default=[], metavar="RUN", help="trained run; several where figures compare them")
  add("--data", default="", metavar="DIR", help="dataset folder made by data_pipelines.build")
  add("--split", default="test", choices=("train", "val", "test"), help="of the dataset folder (default: test)")
  add("--scores", default="", metavar="CSV", help="score file that failures are chosen from")
  add("--seed", type=int, default=0, help="of what is drawn by lot: videos of t-SNE and its start (default 0)")
  add("--output", default="figures", metavar="DIR", help="folder for pictures and page (default: figures)")
  add("--demo", nargs="?", const="demo", default="", metavar="DIR", help="generated people and small networks trained "
      "on them, made in DIR (default: demo) as far as they are not there")  # fmt: skip
  add("--demo-steps", type=int, default=60, metavar="N", help="training steps of the demo's networks (default 60)")
  args = parser.parse_args(argv)
  with exit_on_user_error("figures"):
    if args.names == ["list"]:
      print(listed())
      return
    figures, videos, everything = _asked(args.names)
    output = pathlib.Path(args.output)
    try:
      output.mkdir(parents=True, exist_ok=True)
      _write_page(output, [], {}, bool(args.demo))
    except OSError as error:
      raise unwritable(output, error, "choose another --output") from error
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
  write_whole(output / "figures.html", to_html(blocks))


if __name__ == "__main__":
  main()
