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

from dfdetect_jax.errors import exit_on_user_error


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
    from dfdetect_jax.figures.program import run_program  # --help need not wait for jax and matplotlib

    run_program(args)


if __name__ == "__main__":
  main()
