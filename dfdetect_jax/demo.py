"""The whole road in a few minutes on a CPU, from nothing: data, shards, training, evaluation, report, a verdict.

  python -m dfdetect_jax.demo [--output=demo]

Makes a small set of rendered talking heads and four forgeries of each, builds face-track shards, trains a small DIP,
evaluates it on people it has never seen, writes a report, and judges one real and one forged video. Every step is one
of the commands that you would type yourself, and is printed; run the demo again and it goes on where it was stopped.

It shows that everything works together. Its figures say nothing about real deepfakes.
"""

import argparse
import pathlib
import time

from dfdetect_jax.errors import exit_on_user_error
from dfdetect_jax.programs import run


def main(argv: list[str] | None = None) -> None:
  """Parses arguments and runs the steps; see the module's docstring."""
  parser = argparse.ArgumentParser(
    "python -m dfdetect_jax.demo", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument("--output", default="demo", metavar="DIR", help="folder for everything it makes (default: demo)")
  parser.add_argument("--identities", type=int, default=40, metavar="N", help="people to render (default: 40)")
  parser.add_argument("--steps", type=int, default=0, metavar="N", help="training steps (default: the config's)")
  args = parser.parse_args(argv)
  start = time.monotonic()
  out = pathlib.Path(args.output)
  videos, shards, workdir, report = (str(out / name) for name in ("videos", "shards", "run", "report"))
  with exit_on_user_error("demo"):
    run(
      "data_pipelines.synthetic", f"--output={videos}", f"--identities={args.identities}", "--compressions=c23",
      f"--contact-sheet={out / 'videos.png'}",
    )  # fmt: skip
    run("data_pipelines.build", "--source=synthetic", f"--root={videos}", f"--output={shards}", "--size=64")
    steps = [f"--config.total_steps={args.steps}"] if args.steps else []
    run("dfdetect_jax.train", "--config=configs/dip.py:small", f"--workdir={workdir}", f"--data={shards}", *steps)
    evaluate = ("dfdetect_jax.evaluate", f"--workdir={workdir}", f"--data={shards}")
    validation = f"--val={out / 'val' / 'scores.csv'}"
    run(*evaluate, "--split=val", f"--output={out / 'val'}")
    run(*evaluate, "--split=test", f"--output={out / 'test'}", validation)
    run("dfdetect_jax.evaluation.report", str(out / "test" / "scores.csv"), validation, f"--output={report}")
    real = sorted((out / "videos/original_sequences/youtube/c23/videos").glob("*.mp4"))[-1]
    fake = next(iter(sorted((out / "videos/manipulated_sequences/Deepfakes/c23/videos").glob(f"{real.stem}_*.mp4"))))
    run(
      "dfdetect_jax.predict", f"--workdir={workdir}", str(real), str(fake), f"--report={out / 'verdicts'}",
      accepted=(0, 3, 10),
    )  # fmt: skip
  minutes = (time.monotonic() - start) / 60
  print(
    f"\nDone in {minutes:.1f} minutes. Look at {out}/videos.png, {report}/report.html and {out}/verdicts/index.html."
  )


if __name__ == "__main__":
  main()
